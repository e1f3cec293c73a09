"""Prompt injection by known patterns: a signal, no security boundary.

The text is read as it is meant (`normalise.views`), then weighted rules by family vote: score = 1 - product of (1 - weight), best
rule per family, plus a bonus where the words had been hidden. Rules are data (injection_rules.toml); all are bounded, so that the
time is linear. An attacker who reads them walks around them: what must not happen is prevented by permissions.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from genwright.errors import Invalid
from genwright.guardrails import normalise
from genwright.guardrails.types import Hit

THRESHOLD = 0.6
HIDDEN = 0.3
"""Weight of having hidden the words, once a rule matches them."""


class Pattern(NamedTuple):
    family: str
    weight: float
    needs: tuple[str, ...]
    """One of these must be in the view, else the pattern is not tried; empty: always tried."""
    search: re.Pattern[str]


class Rules(NamedTuple):
    words: list[Pattern]
    """For the words of a text, one space between and around."""
    raw: list[Pattern]
    """For the plain text with its marks."""


class Injection:
    """`threshold`: the score from which on it is a hit, above 0 up to 1. The hit is the whole text."""

    window = 512  # a heuristic over sentences: on a stream it sees that much at a time

    def __init__(self, threshold: float = THRESHOLD):
        if not 0 < threshold <= 1:
            raise Invalid(f"The guard 'injection' needs a threshold above 0 and up to 1, not {threshold}.", code="bad_parameters")
        self.threshold = threshold

    def check(self, text: str) -> list[Hit]:
        score, families = rate(text)
        if score < self.threshold:
            return []
        reason = f"It reads like an attempt to give the model other instructions ({', '.join(families)}; score {score:.2f})."
        return [Hit(families[0].split(" (")[0], reason, 0, len(text), "[REMOVED: INSTRUCTIONS]")]


def rate(text: str) -> tuple[float, list[str]]:
    """(score from 0 to 1, families that matched, strongest first) of the view that scores highest."""
    best: tuple[float, list[str]] = (0.0, [])
    seen = ""
    for name, view in normalise.views(text):
        if view == seen:
            continue
        seen = view
        found = _match(view)
        if not found:
            continue
        score = 1 - HIDDEN if name != "plain" else 1.0
        for weight in found.values():
            score *= 1 - weight
        suffix = "" if name == "plain" else f" (hidden by {name})"
        if 1 - score > best[0]:
            best = (1 - score, [family + suffix for family in sorted(found, key=lambda family: -found[family])])
    return best


def _match(view: str) -> dict[str, float]:
    """Family → weight of its strongest rule that matches."""
    found: dict[str, float] = {}
    rules, words = load(), normalise.words(view)
    for patterns, text in ((rules.words, words), (rules.raw, view)):
        for family, weight, needs, pattern in patterns:
            if weight > found.get(family, 0) and (not needs or any(map(text.__contains__, needs))) and pattern.search(text):
                found[family] = weight
    return found


@cache
def load() -> Rules:
    """The rules, read once. `{name}` in a pattern stands for a list, `_` for up to three words, `__` for up to six."""
    data = tomllib.loads(Path(__file__).with_name("injection_rules.toml").read_text(encoding="utf-8"))
    lists = {name: "(?:" + "|".join(line.strip() for line in value.split("|")) + ")" for name, value in data["lists"].items()}

    def pattern(row: dict[str, object], on_words: bool) -> Pattern:
        source = str(row["find"])
        for name, value in lists.items():
            source = source.replace("{" + name + "}", value)
        if on_words:
            source = source.replace(" __ ", r" (?:\w++ ){0,6}?").replace(" _ ", r" (?:\w++ ){0,3}?")
        needs = tuple(part.strip("_").replace("_", " ") for part in str(row.get("needs", "")).split())
        return Pattern(str(row["family"]), float(str(row["weight"])), needs, re.compile(source, re.MULTILINE))

    return Rules([pattern(row, True) for row in data["words"]], [pattern(row, False) for row in data["raw"]])
