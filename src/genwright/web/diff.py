"""The difference of two texts, line by line and word by word inside changed lines.

Pure; knows no HTML. The `diff` macro in `components.html` draws the rows.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Mark = Literal["same", "del", "ins"]
WORD = re.compile(r"\s+|\w+|[^\w\s]")
LINE_LIMIT = 4000  # characters; longer lines are marked whole, word matching is quadratic


@dataclass(frozen=True)
class Row:
    """One line of the view: its mark, its number in the old and new text, and its pieces with marks."""

    mark: Mark
    old: int | None
    new: int | None
    pieces: list[tuple[Mark, str]]


def lines(old: str, new: str) -> list[Row]:
    """All lines of both texts in reading order; deleted lines stand before the inserted ones."""
    before, after = old.splitlines(), new.splitlines()
    rows: list[Row] = []
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            rows += [Row("same", a + 1, b + 1, [("same", before[a])]) for a, b in zip(range(a0, a1), range(b0, b1), strict=True)]
            continue
        pairs = a1 - a0 if a1 - a0 == b1 - b0 else 0  # lines are compared word by word only where they plainly pair up
        rows += [Row("del", a + 1, None, _pieces(before[a], after[b0 + a - a0] if pairs else None, "del")) for a in range(a0, a1)]
        rows += [Row("ins", None, b + 1, _pieces(after[b], before[a0 + b - b0] if pairs else None, "ins")) for b in range(b0, b1)]
    return rows


def _pieces(line: str, other: str | None, mark: Mark) -> list[tuple[Mark, str]]:
    if other is None or len(line) + len(other) > LINE_LIMIT:
        return [(mark, line)]
    mine, theirs = WORD.findall(line), WORD.findall(other)
    pieces: list[tuple[Mark, str]] = []
    for tag, a0, a1, _, _ in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if a0 < a1:
            pieces.append(("same" if tag == "equal" else mark, "".join(mine[a0:a1])))
    return pieces
