"""local/minilm: the bundled embedding model (`genwright.embed`) as an embeddings model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genwright import embed
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
