"""Tables of money: limits (registry database); the ledger and what budgets work with (the ledger's own), and queries on them.

What runs inside a call (holds, counters, settling) is book.py's.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import LEDGER, REGISTRY, Json, scoped
from genwright.gateway.money.types import LedgerRow, Limit, LimitEvent, UsageLine
from genwright.vocab import Scope


def _text(name: str, default: str = "") -> sa.Column:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


attempts = sa.Table(
    "gateway_attempts",
    LEDGER,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("trace", sa.Text, nullable=False),
    sa.Column("span", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("nano_usd", sa.BigInteger),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("first_chunk_ns", sa.BigInteger, nullable=False),
    sa.Column("duration_ns", sa.BigInteger, nullable=False),
    _text("cost_kind", "inference"),
    _text("team"),
    _text("member"),
    _text("app"),
    _text("route"),
    _text("session"),
    _text("user"),
    _text("price_source"),
    sa.Column("cache_write_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reasoning_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("tags", Json),
    sa.Column("units", Json),
    sa.PrimaryKeyConstraint("workspace", "id"),
    sa.Index("gateway_attempts_time", "workspace", "project", "at_ns"),
)
counters = sa.Table(
    "gateway_counters",
    LEDGER,
    *scoped(),
    sa.Column("limit_id", sa.Text, nullable=False),
    sa.Column("window_ns", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("leased", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "limit_id", "window_ns"),
)
"""One row a limit and window: settled, reserved for calls under way, handed to servers in advance and not yet settled."""
holds = sa.Table(
    "gateway_holds",
    LEDGER,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("parts", sa.LargeBinary, nullable=False),
    sa.Column("attempt", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "id"),
)
"""Reservations of calls under way, those of one commit in one row: `parts` and `attempt` are JSON lists of the same length:
what each takes from which counters, and how the ledger books it if its server dies. It goes when the last of its calls ends."""
servers = sa.Table(
    "gateway_servers",
    LEDGER,
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("id"),
)
"""Servers that hold reservations; one whose beat stands still is dead."""
events = sa.Table(
    "gateway_limit_events",
    LEDGER,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("limit_id", sa.Text, nullable=False),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("window_ns", sa.BigInteger, nullable=False),
    sa.Column("percent", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "id"),
    sa.Index("gateway_limit_events_time", "workspace", "project", "at_ns"),
)
answers = sa.Table(
    "gateway_answers",
    LEDGER,
    *scoped(),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("status", sa.BigInteger, nullable=False),
    sa.Column("head", sa.LargeBinary),
    sa.Column("body", sa.LargeBinary),
    sa.PrimaryKeyConstraint("workspace", "actor", "key"),
    sa.Index("gateway_answers_time", "at_ns"),
)
"""Answers by Idempotency-Key; status 0: the call is under way at `server`."""
limits = sa.Table(
    "gateway_limits",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("window", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("models", sa.Text, nullable=False),
    sa.Column("hard", sa.Boolean, nullable=False),
    sa.Column("warn_at", Json, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "id"),
    sa.UniqueConstraint("workspace", "node", "metric", "window", "models", name="gateway_limits_place"),
)

# -- the ledger


def usage(connection: Connection, scope: Scope, since_ns: int, until_ns: int) -> list[UsageLine]:
    """Sums by provider and model, the most expensive first."""
    table = attempts.c
    spent = sa.func.coalesce(sa.func.sum(table.nano_usd), 0)
    query = (
        sa.select(
            table.provider,
            table.model,
            sa.func.count(),
            sa.func.sum(sa.case((table.status.in_(("ok", "cached")), 0), else_=1)),
            sa.func.sum(table.input_tokens),
            sa.func.sum(table.output_tokens),
            spent,
            sa.func.sum(sa.case((table.nano_usd.is_(None), 1), else_=0)),
        )
        .where(*_within(attempts, scope), table.at_ns >= since_ns, table.at_ns < until_ns)
        .group_by(table.provider, table.model)
        .order_by(spent.desc(), table.provider, table.model)
    )
    return [UsageLine(row[0], row[1], *(int(value) for value in row[2:])) for row in connection.execute(query)]


def attempts_of(connection: Connection, scope: Scope, trace: str) -> list[LedgerRow]:
    """The attempts of one trace, in order."""
    query = sa.select(attempts).where(*_within(attempts, scope), attempts.c.trace == trace).order_by(attempts.c.at_ns)
    return [LedgerRow(*row) for row in connection.execute(query)]


# -- limits and their events


def all_limits(connection: Connection, workspace: str) -> list[Limit]:
    """Of the whole workspace, oldest first."""
    query = sa.select(limits).where(limits.c.workspace == workspace).order_by(limits.c.id)
    return [Limit(*row) for row in connection.execute(query)]


def put_limit(connection: Connection, limit: Limit) -> Limit:
    """Insert, or change the one at the same place (node, metric, window, models), which keeps its id and what was used."""
    table = limits.c
    same = (
        table.workspace == limit.workspace,
        table.node == limit.node,
        table.metric == limit.metric,
        table.window == limit.window,
        table.models == limit.models,
    )
    known = connection.execute(sa.select(table.id).where(*same)).scalar()
    if known is None:
        connection.execute(limits.insert().values(**msgspec.structs.asdict(limit)))
        return limit
    changed = {"amount": limit.amount, "hard": limit.hard, "warn_at": limit.warn_at, "timezone": limit.timezone}
    connection.execute(limits.update().where(*same).values(**changed))
    return Limit(*connection.execute(sa.select(limits).where(*same)).one())


def delete_limit(connection: Connection, workspace: str, limit_id: str) -> bool:
    done = connection.execute(limits.delete().where(limits.c.workspace == workspace, limits.c.id == limit_id))
    return done.rowcount > 0


def counted(connection: Connection, workspace: str, keys: list[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int, int]]:
    """(spent, held, leased) of counters by (limit, window); those that were never used are missing."""
    found = {}
    for limit_id, window_ns in keys:
        query = sa.select(counters.c.spent, counters.c.held, counters.c.leased).where(
            counters.c.workspace == workspace, counters.c.limit_id == limit_id, counters.c.window_ns == window_ns
        )
        row = connection.execute(query).first()
        if row is not None:
            found[limit_id, window_ns] = (int(row[0]), int(row[1]), int(row[2]))
    return found


def list_events(connection: Connection, scope: Scope, before_ns: int, limit: int) -> list[LimitEvent]:
    """Newest first."""
    query = (
        sa.select(events)
        .where(*_within(events, scope), events.c.at_ns < before_ns)
        .order_by(events.c.at_ns.desc(), events.c.id)
        .limit(limit)
    )
    return [LimitEvent(*row) for row in connection.execute(query)]


def _within(table: sa.Table, scope: Scope) -> tuple[Any, Any]:
    return table.c.workspace == scope.workspace, table.c.project == scope.project
