"""What a page shows of a document's text: a window around a place, cut at lines, in pieces. Pure."""

from __future__ import annotations

import itertools

import msgspec

from genwright.retrieval.types import Heading, Parsed

WINDOW = 20_000
"""Characters shown at once."""
BEFORE = 2_000
"""Characters shown before the place that was asked for."""
OUTLINE = 200
"""Headings listed at most."""


class Piece(msgspec.Struct, frozen=True):
    """A run of text that looks alike."""

    text: str
    kind: str = ""
    """"", heading or mark."""
    start: int = 0


def window(parsed: Parsed, start: int, end: int) -> tuple[int, int]:
    """[first, last) around the place, moved out to line ends; a short document whole."""
    text, size = parsed.text, len(parsed.text)
    if size <= WINDOW:
        return 0, size
    first = max(0, min(start - BEFORE, size - 1))
    if first:
        first = text.rfind("\n", max(0, first - 500), first) + 1 or first
    last = min(size, max(first + WINDOW, min(end, start + WINDOW) + BEFORE))
    cut = text.find("\n", last, last + 500)
    return first, cut + 1 if cut >= 0 and last < size else last


def pieces(parsed: Parsed, first: int, last: int, marked: tuple[int, int] | None) -> list[Piece]:
    """The text from `first` to `last` in order: headings and the marked place apart from the rest. Nothing is lost."""
    cuts = {first: "", last: ""}
    spans: list[tuple[int, int, str]] = []
    for heading in parsed.headings:
        if first <= heading.start < last:
            stop = parsed.text.find("\n", heading.start, last)
            spans.append((heading.start, stop if stop >= 0 else last, "heading"))
    if marked and marked[0] < last and marked[1] > first:
        spans.append((max(marked[0], first), min(marked[1], last), "mark"))
    for start, stop, _ in spans:
        cuts[start] = cuts[stop] = ""
    places = sorted(cuts)
    found = []
    for start, stop in itertools.pairwise(places):
        kinds = {kind for begin, end, kind in spans if begin <= start and stop <= end}
        found.append(Piece(parsed.text[start:stop], " ".join(sorted(kinds)), start))
    return found


def outline(parsed: Parsed) -> list[Heading]:
    """Headings for the table of contents: all; only the higher levels, or else every n-th, where there are too many."""
    found = parsed.headings
    for level in (4, 3, 2, 1):
        if len(found) <= OUTLINE:
            break
        found = [heading for heading in found if heading.level <= level]
    if len(found) < 2 < len(parsed.headings):
        found = parsed.headings[:: -(-len(parsed.headings) // OUTLINE)]
    return found[:OUTLINE]
