"""Regular expressions in routes that cannot run away: Python's engine backtracks, and a route's writer may share the server.

A repetition inside a repetition, or a choice inside one, takes exponential time: refused. Each repetition without a bound costs a
power of the text's length: at most two are allowed, and the more there are the shorter the text that is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 500
"""Characters of a pattern."""
LOOKED_AT = (20_000, 4_000, 600)
"""Characters of the text, by the number of repetitions without a bound."""
_MANY = 50
"""Repetitions from which one counts as without a bound."""
_REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}


class Pattern:
    """A checked one."""

    __slots__ = ("_compiled", "limit")

    def __init__(self, compiled: re.Pattern[str], repeats: int):
        self._compiled, self.limit = compiled, LOOKED_AT[repeats]

    def found(self, text: str, at_end: bool = False) -> bool:
        """Whether it is in the text's beginning (or its end), as far as is looked at."""
        return bool(self._compiled.search(text[-self.limit :] if at_end else text[: self.limit]))


@lru_cache(1000)
def pattern(text: Any) -> Pattern:
    """Raises ValueError saying what does not fit."""
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
        raise ValueError(f"a pattern is a text of 1 to {LONGEST} characters")
    try:
        parsed, compiled = parser.parse(text), re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"'{text[:60]}' is no pattern: {error}") from error
    found = list(_repeats(parsed, False))
    if any(inside for _, inside in found):
        raise ValueError(f"'{text[:60]}' repeats a repetition or a choice, which can take for ever. Write it without")
    count = sum(unbounded for unbounded, _ in found)
    if count >= len(LOOKED_AT):
        raise ValueError(
            f"'{text[:60]}' has {count} repetitions without a bound; at most {len(LOOKED_AT) - 1} are allowed. Write {{1,40}}"
        )
    return Pattern(compiled, count)


def _repeats(parsed: Any, inside: bool) -> Iterator[tuple[bool, bool]]:
    """(without a bound, inside a repetition) of each repetition or choice that makes the engine try again."""
    for code, value in parsed:
        if code in _REPEATS:
            least, most, body = value
            if least != most:
                yield most >= _MANY, inside
            yield from _repeats(body, inside or most > 1)
        elif code is codes.BRANCH:
            yield False, inside
            for body in value[1]:
                yield from _repeats(body, inside)
        elif code is codes.SUBPATTERN:
            yield from _repeats(value[-1], inside)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            yield from _repeats(value[1], inside)
        elif code is codes.ATOMIC_GROUP:
            yield from _repeats(value, inside)
        elif code in (codes.GROUPREF, codes.GROUPREF_EXISTS):
            raise ValueError("a pattern names no group again")
