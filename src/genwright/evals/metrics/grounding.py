"""Does the answer stand in its passages: lexical groundedness, and whether citations are right and there at all.

All of it compares words. A sentence is supported when enough of its content words stand in one passage and every number in it
does. Knows no meaning: `lies` on the cards says what that misses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from genwright.errors import Invalid
from genwright.evals.texts import cited, content_words, declines, sentences, without_citations
from genwright.evals.types import Card, Measure, Passage, Sample

_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w])")
_LIES = (
    "Words, not meaning: a claim turned round ('before' for 'after', a 'not' added) counts as supported, a good paraphrase as "
    "unsupported. An answer that copies its passages scores 1 whether or not it answers the question."
)


class _Support:
    """What the three share: which sentences are claims, and when one is supported."""

    card: Card

    def __init__(self, threshold: float = 0.6):
        if not 0 < threshold <= 1:
            raise Invalid(f"threshold is {threshold}; it must be above 0 and at most 1.")
        self.threshold = threshold

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Measure:
        if declines(sample.answer):
            return Measure(None, "declined: there is no claim")
        claims = [sentence for sentence in sentences(sample.answer) if len(content_words(sentence)) > 1]
        if not claims:
            return Measure(None, "there is no claim")
        return self._value(claims, sample.passages)

    def _value(self, claims: list[str], passages: list[Passage]) -> Measure:
        raise NotImplementedError

    def _supported(self, claim: str, passages: Sequence[Passage]) -> bool:
        words = content_words(claim)
        numbers = set(_NUMBER.findall(without_citations(claim)))
        for passage in passages:
            known = content_words(f"{passage.title} {passage.heading} {passage.text}")
            if len(words & known) >= self.threshold * len(words) and all(number in passage.text for number in numbers):
                return True
        return False


class Groundedness(_Support):
    card = Card(
        title="Groundedness (lexical)",
        measures="Share of the answer's sentences whose content words (at least 60 %) and numbers stand in one of its passages.",
        lies=_LIES,
        source="own; in the family of lexical faithfulness measures, e.g. Dziri et al.: BEGIN (2022), knowledge F1",
        family="grounding",
    )

    def _value(self, claims: list[str], passages: list[Passage]) -> Measure:
        loose = [claim for claim in claims if not self._supported(claim, passages)]
        comment = f"{len(loose)} of {len(claims)} not supported: {_short(loose[0])}" if loose else ""
        return Measure(1 - len(loose) / len(claims), comment)


class CitationCorrectness(_Support):
    card = Card(
        title="Citations right",
        measures="Share of citations that are right: the passage exists and the cited sentence stands in it.",
        lies=_LIES + " An answer without citations has no value here: read `cited` beside it.",
        source="citation precision, after Gao et al.: ALCE (2023), with words instead of an entailment model",
        family="grounding",
    )

    def _value(self, claims: list[str], passages: list[Passage]) -> Measure:
        by_number = {passage.n: passage for passage in passages}
        total, wrong = 0, []
        for claim in claims:
            for number in cited(claim):
                total += 1
                if number not in by_number:
                    wrong.append(f"[{number}] does not exist")
                elif not self._supported(claim, [by_number[number]]):
                    wrong.append(f"[{number}] does not say: {_short(claim)}")
        if not total:
            return Measure(None, "nothing is cited")
        return Measure(1 - len(wrong) / total, "; ".join(wrong[:3]))


class Cited(_Support):
    card = Card(
        title="Sentences cited",
        measures="Share of the answer's sentences that carry a citation.",
        lies="Counts citations, right or wrong.",
        source="citation coverage, after Gao et al.: ALCE (2023)",
        family="grounding",
    )

    def _value(self, claims: list[str], passages: list[Passage]) -> Measure:
        bare = [claim for claim in claims if not cited(claim)]
        return Measure(1 - len(bare) / len(claims), f"without citation: {_short(bare[0])}" if bare else "")


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "…"
