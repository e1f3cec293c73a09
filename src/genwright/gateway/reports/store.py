"""The hourly sums of the ledger, and every query of the reports. The ledger's own table is money's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import LEDGER, scoped
from genwright.gateway.money.store import attempts
from genwright.gateway.money.types import LedgerRow
from genwright.vocab import Scope

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
ROLLED = ("provider", "model", "operation", "cost_kind", "key", "team", "member", "app", "route")
"""Dimensions of the hourly sums. What has many values (user, session, tags) is summed from the entries themselves."""
DETAILED = ("user", "session", "status", "price_source")
SUMS = (
    "calls", "failed", "cached", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "nano_usd", "unpriced", "estimated", "duration_ns",
)  # fmt: skip
"""Columns that add up, in the order of types.Sums."""
FINE = ("ok", "cached")
"""States of entries that did not fail."""

hours = sa.Table(
    "gateway_hours",
    LEDGER,
    *scoped(),
    sa.Column("hour_ns", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ROLLED),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS),
    sa.PrimaryKeyConstraint("workspace", "project", "hour_ns", *ROLLED),
    sqlite_with_rowid=False,
)

_KEY = ("workspace", "project", "hour_ns", *ROLLED)
ADD_HOURS = (
    f"INSERT INTO gateway_hours ({', '.join((*_KEY, *SUMS))}) VALUES ({', '.join('?' * len((*_KEY, *SUMS)))}) "  # noqa: S608
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = gateway_hours.{name} + excluded.{name}" for name in SUMS)
)
"""Constant names only; in `?` style."""
_AT = {name: LedgerRow.__struct_fields__.index(name) for name in LedgerRow.__struct_fields__}
_PICKED = tuple(_AT[name] for name in ROLLED)
_STATUS, _TIME, _NANO, _ESTIMATED, _DURATION = (_AT[name] for name in ("status", "at_ns", "nano_usd", "estimated", "duration_ns"))
_TOKENS = tuple(_AT[name] for name in SUMS[3:8])


def add_hours(cursor: Any, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """Add rows just inserted into the ledger, in the order of LedgerRow, to their hours. In the same transaction, and once."""
    found: dict[tuple, list[int]] = {}
    for row in rows:
        at = row[_TIME]
        key = (row[0], row[1], at - at % HOUR_NS, *[row[place] for place in _PICKED])
        sums = found.get(key)
        if sums is None:
            sums = found[key] = [0] * len(SUMS)
        status, nano = row[_STATUS], row[_NANO]
        sums[0] += 1
        sums[1] += status not in FINE
        sums[2] += status == "cached"
        for place, column in enumerate(_TOKENS, 3):
            sums[place] += row[column]
        sums[8] += nano or 0
        sums[9] += nano is None
        sums[10] += bool(row[_ESTIMATED])
        sums[11] += row[_DURATION]
    cursor.executemany(statement, [(*key, *sums) for key, sums in found.items()])


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
    """Attempts that asked a provider, as re-pricing needs them: model, time, status, usage, units, cost."""
    entry = attempts.c
    query = (
        sa.select(
            entry.provider, entry.model, entry.at_ns, entry.input_tokens, entry.output_tokens, entry.cached_tokens,
            entry.cache_write_tokens, entry.reasoning_tokens, entry.units, entry.nano_usd,
        )
        .where(entry.workspace == scope.workspace, entry.project == scope.project)
        .where(entry.at_ns >= since_ns, entry.at_ns < until_ns)
        .where(entry.status != "cached", entry.provider != "")
    )  # fmt: skip
    yield from connection.execute(query.execution_options(yield_per=2_000))


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
