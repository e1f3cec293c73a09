"""The verbs of the reports: sums of the ledger by any dimensions, and old calls under other prices.

Whole hours come from the hourly sums, the rest and what they do not know (users, sessions, tags) from the entries; both say
exactly the same. Reads the ledger and never changes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import prices
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Invalid, Missing
from genwright.gateway.directory import Directory
from genwright.gateway.money.hours import HOUR_NS, ROLLED, SUMS, hours
from genwright.gateway.money.store import attempts
from genwright.gateway.reports import store
from genwright.gateway.reports.books import PriceBooks
from genwright.gateway.reports.store import DAY_NS, DETAILED
from genwright.gateway.reports.types import CostLine, CostQuery, CostReport, Repriced, RepricedLine, Sums
from genwright.price_book import Book
from genwright.vocab import Scope, nearest

TIMES = {"hour": "%Y-%m-%dT%H:00Z", "day": "%Y-%m-%d", "month": "%Y-%m"}
DIMENSIONS = (*ROLLED, *DETAILED)
TAG = "tag:"
MAX_BY = 4
MAX_LINES = 100_000
MAX_GROUPS = 500_000
"""Lines held in memory while summing; a report with more is refused."""
Names = Callable[[Actor], Awaitable[dict[str, str]]]
"""Ids of keys, teams and members → what people call them, as far as the actor may know."""


class Reports:
    def __init__(
        self, database: Database, flush: Callable[[], Awaitable[None]], books: PriceBooks, directory: Directory, names: Names
    ):
        self._database = database
        self._flush = flush
        self._books = books
        self._directory = directory
        self.names = names

    async def costs(self, actor: Actor, query: CostQuery) -> CostReport:
        """Sums by dimension: by time where time comes first, else the most expensive first. Raises Invalid."""
        actor.need("read")
        _check(query)
        await self._flush()
        found, total = await self._database.read(_summed, actor.scope, query)
        order = sorted(found.items(), key=_order(query))
        names = await self.names(actor) if {"key", "team", "member"} & set(query.by) else {}
        lines = [_line(query.by, values, sums, names) for values, sums in order[: query.limit]]
        return CostReport(query.by, query.since_ns, query.until_ns, lines, total, max(0, len(order) - query.limit))

    async def values(self, actor: Actor, dimension: str, since_ns: int = 0) -> list[str]:
        """What a dimension of the hourly sums held since then, for choosing a filter; at most 500."""
        actor.need("read")
        query = CostQuery((dimension,), since_ns, limit=500)
        _check(query)
        found, _ = await self._database.read(_summed, actor.scope, query)
        return sorted(values[0] for values in found if values[0])[:500]

    async def reprice(self, actor: Actor, book: int, since_ns: int, until_ns: int = 2**63 - 1) -> Repriced:
        """What old calls would have cost under a version of the price book (0: the bundled list alone), by model."""
        actor.need("read")
        await self._flush()
        version = await self._books.version(actor.scope, book) if book else None
        services = await self._services(actor.scope)
        lines = await self._database.read(_repriced, actor.scope, version, services, (since_ns, until_ns))
        return Repriced(book, since_ns, until_ns, lines)

    async def _services(self, scope: Scope) -> dict[str, str]:
        """Provider's name here → the service whose prices are its."""
        found = {}
        for provider in await self._directory.providers(scope):
            try:
                found[provider.name] = (await self._directory.endpoint(scope, provider.name)).price_as
            except Missing:
                continue
        return found

    async def service_of(self, scope: Scope, name: str) -> str:
        """The service whose prices a provider's are; its own name where it is not known here."""
        return (await self._services(scope)).get(name, name)


# -- sums


def _summed(connection: Connection, scope: Scope, query: CostQuery) -> tuple[dict[tuple[str, ...], list[int]], Sums]:
    """Sums by values of the dimensions, and over all."""
    columns, fold = _columns(query.by)
    tags = {name.removeprefix(TAG): value for name, value in query.where.items() if name.startswith(TAG)}
    where = {name: value for name, value in query.where.items() if not name.startswith(TAG)}
    if tags and "tags" not in columns:
        columns.append("tags")
    found: dict[tuple[str, ...], list[int]] = {}
    for source, span in _sources(columns, where, (query.since_ns, query.until_ns)):
        for values, sums in store.sums(connection, scope, source, columns, where, span):
            if tags and not _tagged(values[columns.index("tags")], tags):
                continue
            key = fold(values)
            held = found.get(key)
            found[key] = sums if held is None else [a + b for a, b in zip(held, sums, strict=True)]
        if len(found) > MAX_GROUPS:
            raise Invalid(f"This report has more than {MAX_GROUPS:,} lines. Narrow the time, or filter.", code="too_many_lines")
    total = [sum(column) for column in zip(*found.values(), strict=True)] if found else [0] * len(SUMS)
    return found, Sums(*total)


def _columns(by: tuple[str, ...]) -> tuple[list[str], Callable[[list[Any]], tuple[str, ...]]]:
    """The columns to group by, and what makes a line's values of a row's."""
    columns: list[str] = []
    readers: list[tuple[int, Callable[[Any], str]]] = []
    for name in by:
        column, reader = _column(name)
        if column not in columns:
            columns.append(column)
        readers.append((columns.index(column), reader))
    return columns, lambda values: tuple(reader(values[place]) for place, reader in readers)


def _column(name: str) -> tuple[str, Callable[[Any], str]]:
    if name in TIMES:
        return f"bucket_{HOUR_NS if name == 'hour' else DAY_NS}", lambda ns: time_of(name, ns)
    if name.startswith(TAG):
        tag = name.removeprefix(TAG)
        return "tags", lambda tags: (tags or {}).get(tag, "")
    return name, str


def time_of(unit: str, ns: int) -> str:
    """How an hour, day or month is written: 2026-11-21T04:00Z, 2026-11-21, 2026-11."""
    return datetime.fromtimestamp(int(ns) // 1_000_000_000, UTC).strftime(TIMES[unit])


def _sources(columns: list[str], where: dict[str, str], span: tuple[int, int]) -> Iterator[tuple[sa.Table, tuple[int, int]]]:
    """Which table to ask over which time: the hourly sums for whole hours, where they know all that is asked for."""
    since, until = span
    rolled = all(name in ROLLED or name.startswith("bucket_") for name in columns) and all(name in ROLLED for name in where)
    first, last = -(-since // HOUR_NS) * HOUR_NS, until // HOUR_NS * HOUR_NS
    if not rolled or first >= last:
        yield attempts, span
        return
    if since < first:
        yield attempts, (since, first)
    yield hours, (first, last)
    if last < until < 2**62:
        yield attempts, (last, until)


def _tagged(tags: dict[str, str] | None, wanted: dict[str, str]) -> bool:
    from fnmatch import fnmatchcase

    return all(fnmatchcase((tags or {}).get(name, ""), value) for name, value in wanted.items())


def _check(query: CostQuery) -> None:
    if not 0 < len(query.by) <= MAX_BY or len(set(query.by)) < len(query.by):
        raise Invalid(f"A report is by one to {MAX_BY} different dimensions: {_known()}.", field="by")
    for name in query.by:
        if name not in (*DIMENSIONS, *TIMES) and not _tag(name):
            raise _unknown(name, (*DIMENSIONS, *TIMES), "by")
    for name in query.where:
        if name not in DIMENSIONS and not _tag(name):
            raise _unknown(name, DIMENSIONS, "where")
    if query.since_ns >= query.until_ns:
        raise Invalid("The time ends before it begins.", field="until")
    if not 0 < query.limit <= MAX_LINES:
        raise Invalid(f"A report has 1 to {MAX_LINES:,} lines.", field="limit")


def _tag(name: str) -> bool:
    return name.startswith(TAG) and 0 < len(name) - len(TAG) <= 200


def _unknown(name: str, known: tuple[str, ...], field: str) -> Invalid:
    near = nearest(name, list(known), 1)
    hint = f" Did you mean '{near[0]}'?" if near else f" Known: {_known()}."
    return Invalid(f"'{name[:100]}' is no dimension of costs.{hint}", field=field, code="unknown_dimension")


def _known() -> str:
    return ", ".join((*DIMENSIONS, *TIMES, "tag:NAME"))


def _order(query: CostQuery) -> Callable[[Any], Any]:
    if query.by[0] in TIMES:
        return lambda item: (item[0][0], -item[1][8], item[0])
    return lambda item: (-item[1][8], -item[1][0], item[0])


def _line(by: tuple[str, ...], values: tuple[str, ...], sums: list[int], names: dict[str, str]) -> CostLine:
    pairs = dict(zip(by, values, strict=True))
    return CostLine(pairs, {name: names[value] for name, value in pairs.items() if names.get(value)}, Sums(*sums))


# -- other prices


def _repriced(
    connection: Connection, scope: Scope, book: Book | None, services: dict[str, str], span: tuple[int, int]
) -> list[RepricedLine]:
    found: dict[tuple[str, str], list[int]] = {}
    for provider, model, at_ns, *tokens, units, booked in store.entries(connection, scope, *span):
        usage = prices.Usage(tokens[0], tokens[1], tokens[2], tokens[3], tokens[4], units or {})
        price = prices.price(services.get(provider, provider), model, usage, at_ns, book, provider)
        line = found.setdefault((provider, model), [0] * 5)
        line[0] += 1
        line[1] += booked or 0
        line[2] += 0 if price is None else price.nano_usd
        line[3] += booked is None
        line[4] += price is None
    lines = [RepricedLine(f"{provider}/{model}", *line) for (provider, model), line in found.items()]
    return sorted(lines, key=lambda line: (-abs(line.repriced_nano_usd - line.booked_nano_usd), line.model))
