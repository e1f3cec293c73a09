"""Toxic words by a list: a smoke test, no classifier. English only, no context, no irony; a quoted word counts like a meant one.

The list (data/docs_qa/safety/toxic_terms.txt) says how it is to be matched: on word boundaries, leetspeak, spaced letters and
stretched letters undone.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from genwright.errors import Invalid
from genwright.guardrails.types import Hit

_TOKEN = re.compile(r"[\w@$!'’*]+")
_UNLEET = str.maketrans("013457@$!", "oieastasi")
_STRETCHED = re.compile(r"(.)\1{2,}")
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:([ .*_-])[^\W_])(?:\1[^\W_]){2,40}(?![^\W_])")


class Term(NamedTuple):
    """A term found: its weight from 0 to 1 and where it stands."""

    term: str
    weight: float
    start: int
    end: int


class Toxicity:
    """`threshold`: the weight from which on a term is a hit, above 0 up to 1."""

    window = 80  # the longest phrase of the list, spaced

    def __init__(self, threshold: float = 0.5):
        if not 0 < threshold <= 1:
            raise Invalid(f"The guard 'toxicity' needs a threshold above 0 and up to 1, not {threshold}.", code="bad_parameters")
        self.threshold = threshold

    def check(self, text: str) -> list[Hit]:
        return [
            Hit("toxic_term", f"The text holds a word or phrase of the toxicity list (weight {weight}).", start, end, "[REMOVED]")
            for _, weight, start, end in find(text)
            if weight >= self.threshold
        ]


def rate(text: str) -> float:
    """Score from 0 to 1: 1 - product of (1 - weight) over the terms in the text. For metrics."""
    score = 1.0
    for term in find(text):
        score *= 1 - term.weight
    return 1 - score


def find(text: str) -> list[Term]:
    """Terms of the list in the text, in order, longest first, not overlapping."""
    tokens = _tokens(text)
    terms = _terms()
    found: list[Term] = []
    at = 0
    while at < len(tokens):
        known = [term for spelling in tokens[at][0] for term in terms.get(spelling, ())]
        match = next((term for term in known if _follows(term[0], tokens, at)), None)
        if match is None:
            at += 1
            continue
        term, weight = match
        last = at + len(term) - 1
        found.append(Term(" ".join(term), weight, tokens[at][1], tokens[last][2]))
        at = last + 1
    return found


Token = tuple[tuple[str, ...], int, int]
"""Spellings to try, start, end."""


def _follows(term: tuple[str, ...], tokens: list[Token], at: int) -> bool:
    return at + len(term) <= len(tokens) and all(word in tokens[at + step][0] for step, word in enumerate(term))


def _tokens(text: str) -> list[Token]:
    spaced = {match.start(): match.end() for match in _SPACED.finditer(text)}
    tokens: list[Token] = []
    skip = 0
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        word = match[0]
        if start < skip or not word.strip("@$!'’*_"):
            continue
        if start in spaced:
            skip = end = spaced[start]
            word = re.sub(r"[ .*_-]", "", text[start:end])
        tokens.append((_spellings(word), start, end))
    return tokens


@lru_cache(maxsize=8192)
def _spellings(word: str) -> tuple[str, ...]:
    word = word.lower().replace("’", "'").strip("'*_")
    bare = word.strip("!")
    if bare.isascii() and bare.isalpha() and not _STRETCHED.search(bare):
        return (bare,)
    forms = [bare, bare.removesuffix("'s")]
    forms += [form.translate(_UNLEET) for form in (bare, word) if not form.isdigit()]
    forms += [_STRETCHED.sub(r"\1" * count, form) for form in tuple(forms) for count in (1, 2)]
    return tuple(dict.fromkeys(forms))


@cache
def _terms() -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """First word → (words, weight), longest first."""
    terms: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    text = files("genwright").joinpath("data", "docs_qa", "safety", "toxic_terms.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        term, tab, weight = line.partition("\t")
        if tab and not line.startswith("#"):
            words = tuple(_TOKEN.findall(term))
            terms.setdefault(words[0], []).append((words, float(weight)))
    for rows in terms.values():
        rows.sort(key=lambda row: -len(row[0]))
    return terms
