"""Shortening a text by leaving sentences out, and how much is lost by it, measured with the bundled embedding.

Sentences are ranked by likeness to the question and to the text as a whole. Loss is 1 − cosine between the mean embeddings,
weighted by length, of the whole text and of what stays: 0 where nothing of the meaning moved. Extractive: no word is made up.
Everything here takes milliseconds to seconds of CPU: call it in a thread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHORTEST = 200
"""Characters below which a text stays as it is."""
MOST_SENTENCES = 300
LONGEST_SENTENCE = 600
"""Characters of a sentence that are embedded."""
_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?。！？]+[\"”’)\]]*|\n+|$)\s*")


def sentences(text: str) -> list[str]:
    """Pieces that join to the text again, about a sentence each."""
    found = _SENTENCE.findall(text)
    return found if "".join(found) == text else re.findall(r".*\n|.+", text)


def shorten(text: str, question: str, share: float) -> tuple[str, float]:
    """(text with about `share` of its characters, loss 0 … 1). The first sentence stays: it says what the text is about."""
    import numpy as np

    parts = sentences(text)
    if len(parts) < 3 or len(parts) > MOST_SENTENCES:
        return text, 0.0
    vectors = _embed([*parts, question])
    rows, asked = vectors[:-1], vectors[-1]
    lengths = np.array([len(part) for part in parts], np.float32)
    whole = _mean(rows, lengths)
    scores = rows @ whole + (rows @ asked if question else 0.0)
    stays, size, most = {0}, len(parts[0]), share * len(text)
    for index in np.argsort(-scores):
        if int(index) not in stays and size + len(parts[index]) <= most:
            stays.add(int(index))
            size += len(parts[index])
    chosen = sorted(stays)
    kept = "".join(parts[index] for index in chosen)
    loss = 1.0 - float(_mean(rows[chosen], lengths[chosen]) @ whole)
    return kept, round(max(loss, 0.0), 4)


def likeness(question: str, texts: list[str]) -> list[float]:
    """Cosine of each text's beginning with the question."""
    vectors = _embed([*texts, question])
    return [float(value) for value in vectors[:-1] @ vectors[-1]]


def _mean(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    import numpy as np

    mean = (rows * weights[:, None]).sum(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-9)


def _embed(texts: list[str]) -> np.ndarray:
    """Rows of norm 1; a text too long for the model is read as far as it goes."""
    from genwright import embed

    return embed.embed_texts([_fitting(text) for text in texts])


def _fitting(text: str) -> str:
    from genwright import embed

    text = text[:LONGEST_SENTENCE]
    while text and not embed.fits(text):
        text = text[: len(text) // 2]
    return text
