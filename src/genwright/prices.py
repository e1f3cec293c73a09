"""What a call cost, in integer nano-dollars (1e-9 USD): from a price book of one's own, else from the bundled `genai-prices`.

Nothing is downloaded.
A price per token is kept exact, as an integer over a common denominator; a call is summed exactly and rounded once, half to even.
A model that the list does not know, or does not price for what was used, has no price: None, never a guess.
This file does not know budgets, ledgers or currencies, nor charges that the counts do not show (web searches, audio by the hour).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

# The names OpenTelemetry and other gateways give to providers of the list.
ALIASES = {
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "x_ai": "x-ai",
    "xai": "x-ai",
}


NOTHING: Mapping[str, float] = MappingProxyType({})


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call, as OpenTelemetry counts them: parts are contained in their total."""

    input_tokens: int = 0
    """All input, cached and cache-written included."""
    output_tokens: int = 0
    """All output, reasoning included."""
    cached_tokens: int = 0
    """Of the input: read from the provider's cache."""
    cache_write_tokens: int = 0
    """Of the input: written to the provider's cache."""
    reasoning_tokens: int = 0
    """Of the output: reasoning."""
    units: dict[str, float] = {}
    """What is no token: image, audio_second, video_second, character, page, search → how many."""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Usage(*(_both(a, b) for a, b in pairs))


def _both(a: Any, b: Any) -> Any:
    return {name: a.get(name, 0) + b.get(name, 0) for name in a.keys() | b.keys()} if isinstance(a, dict) else a + b


class Price(msgspec.Struct, frozen=True):
    nano_usd: int
    source: str
    """Where the price stands: "local", the price book's version and row, or the list's version, provider and model."""
    estimated: bool = False
    """The counts contradict each other (more cached than input, a negative one) and were settled at the nearest that do not."""


class Rates(msgspec.Struct, frozen=True):
    """Nano-dollars per token times `scale`, by size of input: (more input tokens than, rate), the largest size first."""

    scale: int
    input: list[tuple[int, int]] | None = None
    output: list[tuple[int, int]] | None = None
    cached: list[tuple[int, int]] | None = None
    cache_write: list[tuple[int, int]] | None = None
    reasoning: list[tuple[int, int]] | None = None
    request: list[tuple[int, int]] | None = None
    units: dict[str, int] = {}
    """Nano-dollars per unit times `scale`."""


class PriceBook(Protocol):
    """Prices of one's own (price_book.Book)."""

    def find(self, name: str, provider: str, model: str) -> tuple[str, Callable[[int], Rates | None]] | None: ...


def price(provider: str, model: str, usage: Usage, at_ns: int, book: PriceBook | None = None, name: str = "") -> Price | None:
    """The cost of one call begun at `at_ns`, or None where it is not known. `local/*` costs nothing.

    `provider` is the service as the list knows it, `name` what it is called here; a price in `book` goes before the list's.
    Tokens read from or written to a cache, and reasoning, cost as much as other input and output where no own price is listed.
    A price by size of input is chosen by all input tokens and holds for the whole call, as providers do.
    """
    found = rates(provider, model, at_ns, book, name)
    if found is None:
        return None
    source, listed = found
    if listed is None:
        return Price(0, source)
    counts, estimated = _consistent(usage)
    cost = _scaled_cost(listed, counts, usage.input_tokens, usage.units)
    return None if cost is None else Price(cost, source, estimated)


def rates(
    provider: str, model: str, at_ns: int, book: PriceBook | None = None, name: str = ""
) -> tuple[str, Rates | None] | None:
    """Where a model's price stands and the rates in force, None for what is free; None where no price is known."""
    own = book.find(name or provider, provider, model) if book is not None else None
    if own is not None:
        chosen = own[1](at_ns)
        if chosen is not None:
            return own[0], chosen
    if provider == "local":
        return "local", None
    known = _find(provider, model)
    return None if known is None else (known[0], known[1](at_ns))


@lru_cache(4096)
def window(provider: str, model: str) -> int | None:
    """Tokens of a model's context, as the list has it."""
    _, providers = _list()
    name = provider.lower().strip()
    listed = providers.get(ALIASES.get(name, name))
    found = listed.find_model(model, all_providers=list(providers.values())) if listed else None
    return found.context_window if found is not None else None


def _scaled_cost(
    rates: Rates, counts: tuple[int, int, int, int, int], size: int, units: Mapping[str, float] = NOTHING
) -> int | None:
    """Nano-dollars, or None if something was used that has no price.

    A model that is priced by the image, second … may list no price of tokens: then they are in that price.
    """
    fresh, cached, written, plain, reasoning = counts
    size, total = max(size, 0), 0
    by_unit = _of_units(rates, units) if units else 0
    if by_unit is None:
        return None
    for count, listed in (
        (fresh, rates.input),
        (cached, rates.cached or rates.input),
        (written, rates.cache_write or rates.input),
        (plain, rates.output),
        (reasoning, rates.reasoning or rates.output),
        (1, rates.request or _FREE),
    ):
        if count and listed is not None:
            total += count * (listed[0][1] if len(listed) == 1 else next(rate for above, rate in listed if size > above))
        elif count and not by_unit:
            return None
    if by_unit:
        return round_half_even(total * by_unit.denominator + by_unit.numerator, rates.scale * by_unit.denominator)
    return round_half_even(total, rates.scale)


def _of_units(rates: Rates, units: Mapping[str, float]) -> Fraction | None:
    """The scaled cost of what is no token, or None where one has no price."""
    if any(count and unit not in rates.units for unit, count in units.items()):
        return None
    return sum((rates.units[unit] * Fraction(str(count)) for unit, count in units.items() if count), Fraction())


_FREE = [(-1, 0)]


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0) to the nearest integer, ties to the even one, in integers only."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient % 2 == 1))


def _consistent(usage: Usage) -> tuple[tuple[int, int, int, int, int], bool]:
    """Disjoint counts (fresh input, cached, written, plain output, reasoning), and whether they had to be mended."""
    cached, written = max(usage.cached_tokens, 0), max(usage.cache_write_tokens, 0)
    reasoning = max(usage.reasoning_tokens, 0)
    fresh, plain = usage.input_tokens - cached - written, usage.output_tokens - reasoning
    mended = fresh < 0 or plain < 0 or min(usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) < 0
    return (max(fresh, 0), cached, written, max(plain, 0), reasoning), mended


# Bounded, since callers choose the names; for the same reason the library's own unbounded caches are not used.
@lru_cache(4096)
def _find(provider: str, model: str) -> tuple[str, Callable[[int], Rates]] | None:
    """(source, the rates at a time) of a model, or None."""
    version, providers = _list()
    name = provider.lower().strip()
    listed = providers.get(ALIASES.get(name, name))
    found = listed.find_model(model, all_providers=list(providers.values())) if listed else None
    if listed is None or found is None:
        return None
    return f"genai-prices {version}: {listed.id}/{found.id}", _chooser(found.prices)


@cache
def _list() -> tuple[str, dict[str, Any]]:
    import genai_prices
    from genai_prices.data import providers

    return genai_prices.__version__, {provider.id: provider for provider in providers}


def _chooser(prices: Any) -> Callable[[int], Rates]:
    """The rates in force at a time; the list's rule: the last that is active, else the first."""
    if not isinstance(prices, list):
        only = _rates(prices)
        return lambda at_ns: only
    compiled = [(entry.constraint, _rates(entry.prices)) for entry in prices]

    def choose(at_ns: int) -> Rates:
        moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
        for constraint, held in reversed(compiled):
            if constraint is None or constraint.active(moment):
                return held
        return compiled[0][1]

    return choose


def _rates(listed: Any) -> Rates:
    per_million = Fraction(1_000_000_000, 1_000_000)
    exact: dict[str, Any] = {
        "input": _tiers(listed.input_mtok, per_million),
        "output": _tiers(listed.output_mtok, per_million),
        "cached": _tiers(listed.cache_read_mtok, per_million),
        "cache_write": _tiers(listed.cache_write_mtok, per_million),
        "reasoning": _tiers(listed.output_reasoning_mtok, per_million),
        "request": _tiers(listed.requests_kcount, Fraction(1_000_000_000, 1_000)),
    }
    scale = math.lcm(*(rate.denominator for tiers in exact.values() for _, rate in tiers or []))
    whole: dict[str, Any] = {
        name: [(above, int(rate * scale)) for above, rate in tiers] for name, tiers in exact.items() if tiers
    }
    return Rates(scale, **whole)


def _tiers(value: Any, factor: Fraction) -> list[tuple[int, Fraction]] | None:
    if value is None:
        return None
    tiers = [(tier.start, tier.price) for tier in reversed(getattr(value, "tiers", ()))]
    return [(above, Fraction(usd) * factor) for above, usd in [*tiers, (-1, getattr(value, "base", value))]]
