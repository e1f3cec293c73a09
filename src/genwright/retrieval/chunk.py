"""Text to chunks that follow its structure. Pure and slow: runs in a worker process.

A chunk stays within one section, and is made of whole paragraphs where they fit, else of whole sentences (lines, in code), else
of whole words. Sections too small to stand alone are joined with what follows them under the same parent. The size is counted in
word pieces of the bundled model, which reads 256: with its title and heading path a chunk never has more.
Knows no index and no document row. For every chunk, `text[start:end]` is its text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from genwright import embed
from genwright.errors import Invalid
from genwright.retrieval.types import DEFAULT_MODEL, Chunk, Chunker, Heading, Parsed

READS = embed.MAX_TOKENS - 2
"""Word pieces of text that the bundled model reads."""
MAX_SIZE = 2000
MIN_SIZE = 16
SMALL = 40
"""A section with fewer word pieces is joined with the next one."""
MAX_PATH_CHARS = 160

_PARAGRAPH = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_SENTENCE = re.compile(r"(?:(?<=[.!?。！？])|(?<=[.!?][\"')\]]))\s+|(?<=[。！？])|\n(?=[ \t]*(?:[-*•|]|\d+[.)]) )")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~).*?^ {0,3}(?:```|~~~)[ \t]*$", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"\S+\s*")

Span = tuple[int, int]
Section = tuple[list[str], int, int]
"""Heading path, start, end."""


def check(chunker: Chunker, model: str) -> None:
    """Raise Invalid where the options cannot work together."""
    most = READS if model == DEFAULT_MODEL else MAX_SIZE
    if not MIN_SIZE <= chunker.size <= most:
        raise Invalid(f"A chunk size is {MIN_SIZE} to {most} word pieces for {model}, not {chunker.size}.")
    if not 0 <= chunker.overlap <= chunker.size // 2:
        raise Invalid(f"An overlap is 0 to half of the chunk size ({chunker.size // 2}), not {chunker.overlap}.")


def chunk(parsed: Parsed, document: str, name: str, chunker: Chunker) -> list[Chunk]:
    """All of the text, in order, except white space between chunks. `document` is its digest."""
    ruler = _Ruler(parsed.text)
    chunks = []
    for path, start, end in _sections(parsed, ruler):
        heading = _fit_path(path)
        sample = Chunk(document, name, parsed.title, heading, start, end, "")
        budget = chunker.size
        if budget <= READS:
            budget = max(MIN_SIZE, min(budget, READS - ruler.count_other(sample.context) - 2))
        for at, to in _pack(ruler, start, end, budget, chunker.overlap):
            chunks.append(Chunk(document, name, parsed.title, heading, at, to, parsed.text[at:to]))
    return [part for found in chunks for part in (_halve(found) if chunker.size <= READS else [found])]


class _Ruler:
    """Counts word pieces of any range of one text: the tokenizer reads it once."""

    def __init__(self, text: str):
        self.text = text
        self._starts = [start for start, _ in embed.pieces(text)]

    def count(self, start: int, end: int) -> int:
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def count_other(self, text: str) -> int:
        return len(embed.pieces(text)) if text else 0

    def reach(self, start: int, end: int, budget: int) -> int:
        """The furthest position up to `end` with at most `budget` pieces from `start`."""
        index = bisect_left(self._starts, start) + budget
        return min(end, self._starts[index]) if index < len(self._starts) else end


def _sections(parsed: Parsed, ruler: _Ruler) -> Iterator[Section]:
    """(heading path, start, end) of every section with something in it.

    A small one goes with the first section below it, under that one's path; small ones side by side go together, under what
    they have in common.
    """
    held: Section | None = None
    siblings = False  # whether what is held has been put together from sections side by side
    for path, start, end in _raw_sections(parsed.text, parsed.headings):
        small = ruler.count(start, end) < SMALL
        section: Section = (path, start, end)
        if held is not None:
            if not siblings and path[: len(held[0])] == held[0]:
                section = (path, held[1], end)
            elif small and path[:-1] == (held[0] if siblings else held[0][:-1]):
                section, siblings = (path[:-1], held[1], end), True
            else:
                yield held
                siblings = False
        held = section if ruler.count(section[1], section[2]) < SMALL else None
        if held is None:
            yield section
            siblings = False
    if held is not None:
        yield held


def _raw_sections(text: str, headings: list[Heading]) -> Iterator[Section]:
    stack: list[Heading] = []
    begin = 0
    for heading in [*headings, None]:
        end = len(text) if heading is None else heading.start
        if text[begin:end].strip():
            yield [item.title for item in stack], begin, end
        if heading is not None:
            while stack and stack[-1].level >= heading.level:
                stack.pop()
            stack.append(heading)
            begin = max(begin, end)


def _fit_path(path: list[str]) -> str:
    """The path as one line; what does not fit goes from the outside, and a single long heading is cut."""
    kept = [" ".join(title.split())[:100] for title in path]
    while len(kept) > 1 and sum(map(len, kept)) > MAX_PATH_CHARS:
        kept.pop(0)
    return " › ".join(kept)


def _pack(ruler: _Ruler, start: int, end: int, budget: int, overlap: int) -> Iterator[Span]:
    """Ranges of at most `budget` pieces, out of whole units, balanced so that no tiny rest is left at the end."""
    units = list(_units(ruler, start, end, budget))
    total = sum(ruler.count(*unit) for unit in units)
    parts = max(1, -(-total // budget))
    target = min(budget, -(-total // parts) + budget // 8)
    first = 0
    while first < len(units):
        last = first + 1
        while last < len(units) and ruler.count(units[first][0], units[last][1]) <= target:
            last += 1
        yield units[first][0], units[last - 1][1]
        back = last
        while (
            overlap and first + 1 < back and last < len(units) and ruler.count(units[back - 1][0], units[last - 1][1]) <= overlap
        ):
            back -= 1
        first = back


def _units(ruler: _Ruler, start: int, end: int, budget: int) -> Iterator[Span]:
    """The smallest parts that are kept whole: paragraphs and code blocks, or their sentences, lines, words."""
    for block in _blocks(ruler.text, start, end):
        if ruler.count(*block) <= budget:
            yield block
            continue
        code = _is_code(ruler.text[slice(*block)])
        for part in _split(ruler.text, *block, re.compile("\n") if code else _SENTENCE):
            if ruler.count(*part) <= budget:
                yield part
            else:
                yield from _words(ruler, *part, budget)


def _blocks(text: str, start: int, end: int) -> Iterator[Span]:
    position = start
    for fence in _FENCE.finditer(text, start, end):
        yield from _split(text, position, fence.start(), _PARAGRAPH)
        yield fence.span()
        position = fence.end()
    yield from _split(text, position, end, _PARAGRAPH)


def _split(text: str, start: int, end: int, rule: re.Pattern[str]) -> Iterator[Span]:
    """Ranges between the rule's matches, without white space at their ends (indentation of a first line is kept)."""
    position = start
    for cut in [*(found.span() for found in rule.finditer(text, start, end)), (end, end)]:
        piece = text[position : cut[0]]
        if piece.strip():
            lead = len(piece) - len(piece.lstrip("\n"))
            yield position + lead, position + len(piece.rstrip())
        position = cut[0] if rule is _PARAGRAPH else cut[1]


def _words(ruler: _Ruler, start: int, end: int, budget: int) -> Iterator[Span]:
    """For text without sentence ends: as many words as fit; a word that does not is cut between pieces."""
    text = ruler.text
    position = start
    while position < end:
        limit = ruler.reach(position, end, budget)
        if limit < end:
            space = max(text.rfind(" ", position + 1, limit), text.rfind("\n", position + 1, limit))
            limit = space if space > position else max(limit, position + 1)
        if text[position:limit].strip():
            yield position, limit
        position = limit
        while position < end and text[position].isspace():
            position += 1


def _is_code(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    return text.lstrip().startswith(("```", "~~~")) or sum(line.startswith(("    ", "\t")) for line in lines) * 2 > len(lines)


def _halve(found: Chunk) -> list[Chunk]:
    """The chunk, or its halves where the model would count more pieces than were planned (a cut within a word can do that)."""
    if embed.fits(found.contextual) or found.end - found.start < 2:
        return [found]
    middle = (found.start + found.end) // 2
    halves = []
    for start, end in ((found.start, middle), (middle, found.end)):
        text = found.text[start - found.start : end - found.start]
        if text.strip():
            halves += _halve(Chunk(found.document, found.name, found.title, found.heading, start, end, text))
    return halves
