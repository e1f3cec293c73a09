"""Every query of the reports, on the ledger's entries and its hourly sums. Both tables are money's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.gateway.money.hours import FINE, HOUR_NS, SUMS, hours
from genwright.gateway.money.store import attempts
from genwright.vocab import Scope

DAY_NS = 24 * HOUR_NS
PART = 5_000
"""Entries read at once."""
DETAILED = ("user", "session", "status", "price_source")
"""Dimensions with many values: summed from the entries themselves, as tags are."""


def _from_hours() -> list[Any]:
    return [sa.func.sum(hours.c[name]) for name in SUMS]


def _from_entries() -> list[Any]:
    entry = attempts.c
    return [
        sa.func.count(),
        sa.func.sum(sa.case((entry.status.in_(FINE), 0), else_=1)),
        sa.func.sum(sa.case((entry.status == "cached", 1), else_=0)),
        *(sa.func.coalesce(sa.func.sum(entry[name]), 0) for name in SUMS[3:9]),
        sa.func.sum(sa.case((entry.nano_usd.is_(None), 1), else_=0)),
        sa.func.sum(sa.case((entry.estimated, 1), else_=0)),
        sa.func.sum(entry.duration_ns),
    ]


def sums(
    connection: Connection,
    scope: Scope,
    source: sa.Table,
    columns: Sequence[str],
    where: dict[str, str],
    span: tuple[int, int],
) -> Iterator[tuple[list[Any], list[int]]]:
    """(values of `columns`, sums), from `hours` or `attempts`, over since ≤ time < until. `bucket_N`: time cut to N ns."""
    moment = hours.c.hour_ns if source is hours else attempts.c.at_ns
    picked = [_picked(source, moment, name) for name in columns]
    query = (
        sa.select(*picked, *(_from_hours() if source is hours else _from_entries()))
        .where(source.c.workspace == scope.workspace, source.c.project == scope.project)
        .where(moment >= span[0], moment < span[1])
        .where(*(_like(source.c[name], value) for name, value in where.items()))
        .group_by(*picked)
        .having(sa.func.count() > 0)
    )
    count = len(columns)
    for row in connection.execute(query):
        yield list(row[:count]), [int(value) for value in row[count:]]


def entries(connection: Connection, scope: Scope, since_ns: int, until_ns: int) -> Iterator[Sequence[Any]]:
    """Attempts that asked a provider, as re-pricing needs them: model, time, usage, units, cost. Read in parts, by time."""
    entry = attempts.c
    query = (
        sa.select(
            entry.provider, entry.model, entry.at_ns, entry.input_tokens, entry.output_tokens, entry.cached_tokens,
            entry.cache_write_tokens, entry.reasoning_tokens, entry.units, entry.nano_usd, entry.id,
        )
        .where(entry.workspace == scope.workspace, entry.project == scope.project, entry.at_ns < until_ns)
        .where(entry.status != "cached", entry.provider != "")
        .order_by(entry.at_ns, entry.id)
        .limit(PART)
    )  # fmt: skip
    after = (since_ns, "")
    while True:
        beyond = sa.or_(entry.at_ns > after[0], sa.and_(entry.at_ns == after[0], entry.id > after[1]))
        rows = connection.execute(query.where(entry.at_ns >= after[0], beyond)).all()
        for row in rows:
            yield row[:-1]
        if len(rows) < PART:
            return
        after = (rows[-1][2], rows[-1][-1])


def _picked(source: sa.Table, moment: Any, name: str) -> Any:
    if name.startswith("bucket_"):
        size = int(name.removeprefix("bucket_"))
        return moment - moment % sa.literal_column(str(size))
    return source.c[name]


def _like(column: Any, value: str) -> Any:
    """Equal, or fitting a pattern with `*`."""
    if "*" not in value:
        return column == value
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return column.like(escaped, escape="\\")
