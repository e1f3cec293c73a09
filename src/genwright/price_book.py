"""A price book of one's own: prices by model that go before the bundled list. Pure: content in, rates out.

Content is plain data, `{"prices": {"PROVIDER/MODEL": row | [row, …]}}`; the name may hold `*`, and the nearest name wins: a plain
one before a pattern, the longest pattern before others. Amounts are US dollars as decimal text, so that they are exact. This
file does not know where books are kept (gateway/reports) nor what a version is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.prices import Rates

NANO = 1_000_000_000
PER = {
    "input": 1_000_000, "output": 1_000_000, "cached": 1_000_000, "cache_write": 1_000_000, "reasoning": 1_000_000,
    "request": 1_000, "image": 1, "audio_second": 1, "video_second": 1, "character": 1_000_000, "page": 1, "search": 1_000,
}  # fmt: skip
"""What an amount is the price of: a million tokens, a thousand requests, one image …"""
TOKENS = ("input", "output", "cached", "cache_write", "reasoning")
MAX_ROWS = 20_000
MAX_NAME = 300
MAX_DECIMALS = 12
MAX_USD = 1_000_000
FOREVER = 2**63 - 1
KNOWN_MODELS = 4_096
"""Names whose rows are remembered by a book: callers choose them."""

Amount = str | dict[str, str]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"since": "from"}):
    """Prices of one model, in US dollars; a table {"0": "1.25", "200000": "2.5"} prices by size of input (more tokens than)."""

    input: Amount | None = None
    """Per million tokens; so are the next four."""
    output: Amount | None = None
    cached: Amount | None = None
    """Input read from the provider's cache; without it, as other input."""
    cache_write: Amount | None = None
    reasoning: Amount | None = None
    """Without it, as other output."""
    request: str | None = None
    """Per thousand requests."""
    image: str | None = None
    audio_second: str | None = None
    video_second: str | None = None
    character: str | None = None
    """Per million characters."""
    page: str | None = None
    search: str | None = None
    """Per thousand searches."""
    since: str | None = None
    """First moment it holds, as ISO 8601 (UTC where it names no zone)."""
    until: str | None = None
    """First moment it holds no more."""
    note: str = ""


class Book:
    """One version of a price book, ready to be asked. `label` is how a ledger row names it: `price book default@3`."""

    def __init__(self, content: dict[str, Any], label: str = "price book", number: int = 0):
        self.label, self.number = label, number
        self.rows = read(content)
        self._plain = {name: _timed(rows) for name, rows in self.rows.items() if "*" not in name}
        patterns = sorted((name for name in self.rows if "*" in name), key=lambda name: (-len(name), name))
        self._patterns = [(name, _timed(self.rows[name])) for name in patterns]
        self._known: dict[tuple[str, str, str], tuple[str, Callable[[int], Rates | None]] | None] = {}

    def find(self, name: str, provider: str, model: str) -> tuple[str, Callable[[int], Rates | None]] | None:
        """(source, the rates at a time) of a model, or None. `name`: the provider's here; `provider`: the service it is."""
        key = (name, provider, model)
        if key in self._known:
            return self._known[key]
        if len(self._known) >= KNOWN_MODELS:
            self._known.clear()
        found = self._known[key] = self._look_up(f"{name}/{model}", f"{provider}/{model}")
        return found

    def _look_up(self, *names: str) -> tuple[str, Callable[[int], Rates | None]] | None:
        plain = next(((name, self._plain[name]) for name in names if name in self._plain), None)
        matching = (each for name in names for each in self._patterns if fnmatchcase(name, each[0]))
        row, choose = plain or next(matching, ("", None))
        return None if choose is None else (f"{self.label}: {row}", choose)


def read(content: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows of a book's content by name. Raises Invalid naming the model and the field."""
    prices = content.get("prices")
    if not isinstance(prices, dict) or set(content) - {"prices", "note"}:
        raise Invalid('A price book is {"prices": {"PROVIDER/MODEL": {"input": "1.25", …}}}. Nothing was stored.', field="prices")
    found = {}
    for name, given in prices.items():
        provider, slash, model = name.partition("/")
        if not (slash and provider and model) or len(name) > MAX_NAME or not name.isprintable():
            raise _wrong(name[:100], "a price stands under PROVIDER/MODEL, with * for any letters")
        found[name] = [_row(name, each) for each in (given if isinstance(given, list) else [given])]
    if sum(map(len, found.values())) > MAX_ROWS:
        raise Invalid(f"A price book has at most {MAX_ROWS:,} rows. Nothing was stored.", field="prices")
    return found


def plain(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """The content that holds these rows; one row stands alone, several as a list."""
    made = {name: [msgspec.to_builtins(row) for row in each] for name, each in sorted(rows.items()) if each}
    return {"prices": {name: each[0] if len(each) == 1 else each for name, each in made.items()}}


def _row(name: str, given: Any) -> Row:
    if not isinstance(given, dict):
        raise _wrong(name, "its prices are an object")
    try:
        row = msgspec.convert({field: _text(value) for field, value in given.items()}, Row)
    except msgspec.ValidationError as error:
        raise _wrong(name, str(error)) from error
    if not any(getattr(row, field) is not None for field in PER):
        raise _wrong(name, f"no price is given; prices are {', '.join(PER)}")
    for field in PER:
        value = getattr(row, field)
        for amount in value.values() if isinstance(value, dict) else [value] if value is not None else []:
            _usd(name, field, amount)
        if isinstance(value, dict) and ("0" not in value or not all(size.isdigit() for size in value)):
            raise _wrong(name, f"{field} by size needs whole numbers of tokens, and '0' among them")
    if _moment(name, row.since, 0) >= _moment(name, row.until, FOREVER):
        raise _wrong(name, "'until' is not after 'from'")
    return row


def _text(value: Any) -> Any:
    """Numbers as people write them become the same digits as text; what is inexact is refused later, as text too."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return decimal(value)
    if isinstance(value, dict):
        return {str(size): _text(amount) for size, amount in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else value


def decimal(value: float) -> str:
    """The digits a number was written with, never with an exponent."""
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


def _usd(name: str, field: str, text: str) -> Fraction:
    whole, _, decimals = text.partition(".")
    if not (whole + decimals).isascii() or not (whole + decimals).isdigit() or len(decimals) > MAX_DECIMALS or len(whole) > 9:
        raise _wrong(name, f"{field} is dollars in digits, at most {MAX_DECIMALS} of them after the point, not {text[:40]!r}")
    amount = Fraction(text if whole else "0" + text)
    if amount > MAX_USD:
        raise _wrong(name, f"{field} is more than {MAX_USD:,} dollars")
    return amount


def _moment(name: str, text: str | None, default: int) -> int:
    if not text:
        return default
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong(name, f"'from' and 'until' are dates such as 2026-01-31, not {text[:40]!r}") from error
    return min(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * NANO, FOREVER)


def _wrong(name: str, why: str) -> Invalid:
    return Invalid(f"The price of '{name}' does not fit: {why}. Nothing was stored.", field=name, code="bad_price")


def _timed(rows: list[Row]) -> Callable[[int], Rates | None]:
    """The rates in force at a time: of the rows that hold then, the last."""
    timed = [(_moment("", row.since, 0), _moment("", row.until, FOREVER), _rates(row)) for row in reversed(rows)]
    if len(timed) == 1 and timed[0][:2] == (0, FOREVER):
        only = timed[0][2]
        return lambda at_ns: only
    return lambda at_ns: next((rates for since, until, rates in timed if since <= at_ns < until), None)


def _rates(row: Row) -> Rates:
    exact: dict[str, list[tuple[int, Fraction]]] = {}
    for field, per in PER.items():
        value = getattr(row, field)
        if value is not None:
            table = value if isinstance(value, dict) else {"0": value}
            sizes = sorted(((int(size), _usd("", field, amount)) for size, amount in table.items()), reverse=True)
            exact[field] = [(size or -1, amount * NANO / per) for size, amount in sizes]
    scale = math.lcm(*(rate.denominator for tiers in exact.values() for _, rate in tiers))
    whole = {field: [(above, int(rate * scale)) for above, rate in tiers] for field, tiers in exact.items()}
    tokens = {field: whole[field] for field in (*TOKENS, "request") if field in whole}
    if list(tokens) == ["request"]:  # priced by the request alone: the tokens are in that price
        tokens |= {"input": [(-1, 0)], "output": [(-1, 0)]}
    return Rates(scale, **tokens, units={field: whole[field][0][1] for field in whole if field not in tokens})
