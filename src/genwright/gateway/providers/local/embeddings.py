"""local/minilm: the bundled embedding model (`genwright.embed`) as an embeddings model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from genwright import embed
from genwright.gateway.media.operations import document_text
from genwright.gateway.providers.base import Embedded
from genwright.gateway.wire.openai import bad
from genwright.prices import Usage


class MiniLM:
    def embed(self, texts: Sequence[Any], options: dict[str, Any]) -> Embedded:
        """Slow enough for a thread. Raises Invalid for token numbers, another size, or a text over the model's length."""
        if options.get("dimensions") not in (None, embed.DIM):
            raise bad("dimensions", f"{embed.MODEL} has {embed.DIM} dimensions and cannot be cut. Nothing was embedded.")
        if any(not isinstance(text, str) for text in texts):
            raise bad("input", f"{embed.MODEL} takes texts: token numbers belong to one model's tokenizer. Nothing was embedded.")
        vectors = embed.embed_texts(list(texts))
        return Embedded(vectors, Usage(sum(embed.count_tokens(text) for text in texts)), embed.MODEL)

    def rerank(self, asked: dict[str, Any]) -> bytes:
        """Documents by cosine to the query, in the form of Cohere's and Jina's answers; a long one by its best window."""
        import numpy as np

        texts = [document_text(document) for document in asked["documents"]]
        windows = [(number, piece) for number, text in enumerate(texts) for piece in _windows(text)]
        vectors = embed.embed_texts([str(asked["query"]), *(piece for _, piece in windows)])
        cosine = vectors[1:] @ vectors[0]
        scores = np.full(len(texts), -1.0)
        np.maximum.at(scores, [number for number, _ in windows], cosine)
        order = sorted(range(len(texts)), key=lambda number: -scores[number])[: asked.get("top_n") or len(texts)]
        results: list[dict[str, Any]] = [{"index": n, "relevance_score": round(float(scores[n]), 6)} for n in order]
        if asked.get("return_documents"):
            for result in results:
                result["document"] = {"text": texts[result["index"]]}
        tokens = sum(embed.count_tokens(text) for text in [str(asked["query"]), *texts])
        return msgspec.json.encode({"model": embed.MODEL, "results": results, "usage": {"total_tokens": tokens}})


def _windows(text: str) -> list[str]:
    """The text in parts that the model can read whole."""
    if embed.fits(text):
        return [text]
    spans, most = embed.pieces(text), embed.MAX_TOKENS - 16  # a cut may make one more piece of a word
    return [text[spans[begin][0] : spans[min(begin + most, len(spans)) - 1][1]] for begin in range(0, len(spans), most)]
