"""Is the answer like the reference: token F1, ROUGE-L; and was there an answer at all. Knows words, not meanings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from genwright.errors import need
from genwright.evals.texts import declines, squad_words, without_citations
from genwright.evals.types import Card, Measure, Sample

_NO_REFERENCE = Measure(None, "the row has no reference answer")


class TokenF1:
    card = Card(
        title="Token F1",
        measures="Words in common with the reference answer: harmonic mean of precision and recall, citations left out.",
        lies="A right answer in other words scores low, a wrong one in the same words high ('is' for 'is not'). Long answers "
        "lose by their length. Compare systems with it, do not read it as a share of right answers.",
        source="Rajpurkar et al.: SQuAD (2016), evaluation script v1.1: lower case, no punctuation, no articles",
    )

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [Measure(token_f1(sample.answer, sample.reference)) if sample.reference else _NO_REFERENCE for sample in samples]


class RougeL:
    card = Card(
        title="ROUGE-L",
        measures="Longest common subsequence of words with the reference answer, as F measure.",
        lies="As token F1, and the order of words counts too. Other ROUGE programs give other values (tokens, stemming).",
        source="Lin: ROUGE (2004); words and stems as Google's rouge-score 0.1.2, English stemming on",
    )

    def __init__(self, stemming: bool = True):
        try:
            from nltk.stem.porter import PorterStemmer
            from rouge_score.tokenize import tokenize
        except ImportError as error:
            raise need("rouge-score", "metrics") from error
        self._tokenize = tokenize
        # As the library does it: words of more than three letters are stemmed. Kept, as most words come again.
        self._stem = lru_cache(maxsize=65536)(PorterStemmer().stem) if stemming else None

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [self._one(sample) if sample.reference else _NO_REFERENCE for sample in samples]

    def _one(self, sample: Sample) -> Measure:
        answer, reference = self._words(without_citations(sample.answer)), self._words(sample.reference)
        if not answer or not reference:
            return Measure(0.0)
        return Measure(2 * common_subsequence(answer, reference) / (len(answer) + len(reference)))

    def _words(self, text: str) -> list[str]:
        words = self._tokenize(text, None)
        return [self._stem(word) if len(word) > 3 else word for word in words] if self._stem else words


class Answered:
    card = Card(
        title="Answered",
        measures="1 if the target gave an answer, 0 if it declined, was blocked or failed.",
        lies="Says nothing about whether it should have declined. Knows common English ways of declining only.",
        source="own list of phrases",
    )

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [Measure(0.0, "declined") if declines(sample.answer) else Measure(1.0) for sample in samples]


def token_f1(text: str, reference: str) -> float:
    """F1 of words as SQuAD 1.1 counts them; two empty texts are alike."""
    left, right = Counter(squad_words(text)), Counter(squad_words(reference))
    if not left or not right:
        return float(left == right)
    common = sum((left & right).values())
    return 2 * common / (sum(left.values()) + sum(right.values()))


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time as bits of one integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    full = row = (1 << len(left)) - 1
    for word in right:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & full
    return len(left) - row.bit_count()
