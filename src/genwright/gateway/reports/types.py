"""Records of the reports. They know money and names, not where rows are kept."""

from __future__ import annotations

from typing import Any

import msgspec


class BookVersion(msgspec.Struct, frozen=True):
    """One version of the price book; number 0 and no prices where there is none yet."""

    number: int
    prices: dict[str, Any]
    """PROVIDER/MODEL → a row or several; see genwright.price_book.Row. Empty in histories."""
    created_ns: int = 0
    created_by: str = ""
    note: str = ""
    digest: str = ""


class ModelPrice(msgspec.Struct, frozen=True):
    """What one model costs now."""

    model: str
    source: str
    """Where the price stands; empty where it is not known."""
    usd: dict[str, str]
    """What → US dollars as decimal text: input, output, cached … per million tokens, request per thousand, image per piece."""
    note: str = ""


class CostQuery(msgspec.Struct, frozen=True):
    """What to sum: by which dimensions, over which entries of the ledger."""

    by: tuple[str, ...] = ("model",)
    """DIMENSIONS, TIMES, or tag:NAME."""
    since_ns: int = 0
    until_ns: int = 2**63 - 1
    where: dict[str, str] = {}
    """Dimension → value, or a pattern with `*`; tag:NAME too."""
    limit: int = 1_000


class Sums(msgspec.Struct, frozen=True):
    """What entries of the ledger come to. Parts are in their total: cached and written tokens in input, reasoning in output."""

    calls: int = 0
    """Attempts at a provider, answers from the cache, and entries that are no calls."""
    failed: int = 0
    cached: int = 0
    """Answered from the cache."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    nano_usd: int = 0
    unpriced: int = 0
    """Whose price is not known: not in nano_usd."""
    estimated: int = 0
    """Whose tokens were counted by us."""
    duration_ns: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)))


class CostLine(msgspec.Struct, frozen=True):
    """One line of a report."""

    by: dict[str, str]
    """Dimension → value, in the order asked for; empty where an entry has none."""
    names: dict[str, str]
    """Dimension → what people call it, where a value is an id and the asker may know."""
    sums: Sums


class CostReport(msgspec.Struct, frozen=True):
    """Sums by dimension. `total` is over everything asked for, lines left out by the limit included."""

    by: tuple[str, ...]
    since_ns: int
    until_ns: int
    lines: list[CostLine]
    total: Sums
    left_out: int = 0
    """Lines beyond the limit."""


class RepricedLine(msgspec.Struct, frozen=True):
    """One model under two prices."""

    model: str
    calls: int
    booked_nano_usd: int
    """As the ledger holds it; it is never changed."""
    repriced_nano_usd: int
    """As the version asked for would have it."""
    unpriced_before: int
    unpriced_after: int


class Repriced(msgspec.Struct, frozen=True):
    """Old calls under a version of the price book."""

    book: int
    """0: the bundled list alone."""
    since_ns: int
    until_ns: int
    lines: list[RepricedLine]

    @property
    def comparable(self) -> list[RepricedLine]:
        """Models of which any call has a price now."""
        return [line for line in self.lines if line.unpriced_after < line.calls]
