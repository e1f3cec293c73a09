"""Did the right documents come back, and how far up: recall, hit, MRR, nDCG at k, over unique documents.

A passage is relevant when its document's name (without folder and extension) is among the row's topics. Several passages of one
document count once, at the place of the first. Knows only what the answer came with, not the index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath

from genwright.errors import Invalid
from genwright.evals.types import Card, Measure, Passage, Sample

_LIES = (
    "Judges documents, not passages: the right document with the wrong part counts. A document that says the same but is not "
    "listed in `topics` counts as wrong. Sees only the passages that were handed to the model, so k above their number is that "
    "number."
)


class _AtK:
    """What these four share: unique documents in order, cut at k."""

    card: Card

    def __init__(self, k: int = 5):
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 1000:
            raise Invalid(f"k is {k}; it must be 1–1,000.")
        self.k = k

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [self._one(sample) if sample.topics else Measure(None, "the row names no topics") for sample in samples]

    def _one(self, sample: Sample) -> Measure:
        hits = relevance(sample.passages, sample.topics)[: self.k]
        comment = "" if any(hits) else f"none of {', '.join(sample.topics[:5])} among the passages"
        return Measure(self._value(hits, len(set(sample.topics))), comment)

    def _value(self, hits: list[bool], relevant: int) -> float:
        raise NotImplementedError


class Recall(_AtK):
    card = Card(
        title="Recall@k",
        measures="Share of the documents listed as answering the question that are among the first k retrieved.",
        lies=_LIES + " Low by right where topics list several documents that say the same: read `hit` beside it.",
        source="Manning, Raghavan, Schütze: Introduction to Information Retrieval (2008), chapter 8",
        family="retrieval",
    )

    def _value(self, hits: list[bool], relevant: int) -> float:
        return sum(hits) / min(relevant, self.k)


class Hit(_AtK):
    card = Card(
        title="Hit@k",
        measures="1 if any of the documents that answer the question is among the first k retrieved, else 0.",
        lies=_LIES,
        source="Success@k, e.g. TREC",
        family="retrieval",
    )

    def _value(self, hits: list[bool], relevant: int) -> float:
        return float(any(hits))


class ReciprocalRank(_AtK):
    card = Card(
        title="MRR@k",
        measures="1 / rank of the first right document, 0 if none is among the first k.",
        lies=_LIES + " Differences between ranks 1 and 2 weigh more than all others together.",
        source="Voorhees: The TREC-8 Question Answering Track Report (1999)",
        family="retrieval",
    )

    def _value(self, hits: list[bool], relevant: int) -> float:
        return 1 / (hits.index(True) + 1) if any(hits) else 0.0


class Ndcg(_AtK):
    card = Card(
        title="nDCG@k",
        measures="Gain of the right documents, discounted by the logarithm of their rank, over that of the best order.",
        lies=_LIES,
        source="Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques (2002); binary gains, log2(rank+1)",
        family="retrieval",
    )

    def _value(self, hits: list[bool], relevant: int) -> float:
        gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)
        return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, self.k) + 1))


def relevance(passages: Sequence[Passage], topics: Sequence[str]) -> list[bool]:
    """Whether each retrieved document is right, by rank of its first passage."""
    wanted = {topic.casefold() for topic in topics}
    documents: dict[str, bool] = {}
    for passage in sorted(passages, key=lambda passage: passage.n):
        path = PurePosixPath(passage.name)
        # Names such as `os.path` have a dot and no extension.
        names = {path.stem.casefold(), path.name.casefold()}
        key = next((name for name in names if name in wanted), passage.name)
        documents.setdefault(key, bool(names & wanted))
    return list(documents.values())
