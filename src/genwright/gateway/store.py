"""Tables of the gateway: providers (registry database) and the ledger (its own), and every query on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import LEDGER, REGISTRY, scoped
from genwright.gateway.types import LedgerRow, UsageLine
from genwright.vocab import Scope

providers = sa.Table(
    "gateway_providers",
    REGISTRY,
    *scoped(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("base_url", sa.Text, nullable=False),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "name"),
)

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
    sa.PrimaryKeyConstraint("workspace", "id"),
    sa.Index("gateway_attempts_time", "workspace", "project", "at_ns"),
)

INSERT_ATTEMPT = (
    "INSERT INTO gateway_attempts (workspace, project, id, at_ns, key, trace, span, provider, model, operation, status, "
    "input_tokens, output_tokens, cached_tokens, nano_usd, estimated, first_chunk_ns, duration_ns) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Stored(msgspec.Struct, frozen=True):
    """A provider's row."""

    name: str
    kind: str
    base_url: str
    secret: bytes | None
    created_ns: int
    created_by: str


def all_providers(connection: Connection, scope: Scope) -> list[Stored]:
    """By name."""
    rows = connection.execute(_columns().where(*_within(providers, scope)).order_by(providers.c.name))
    return [Stored(*row) for row in rows]


def get_provider(connection: Connection, scope: Scope, name: str) -> Stored | None:
    row = connection.execute(_columns().where(*_within(providers, scope), providers.c.name == name)).first()
    return None if row is None else Stored(*row)


def put_provider(connection: Connection, scope: Scope, row: Stored) -> None:
    """Insert, or replace the one of that name."""
    delete_provider(connection, scope, row.name)
    connection.execute(providers.insert().values(workspace=scope.workspace, project=scope.project, **msgspec.structs.asdict(row)))


def delete_provider(connection: Connection, scope: Scope, name: str) -> bool:
    done = connection.execute(providers.delete().where(*_within(providers, scope), providers.c.name == name))
    return done.rowcount > 0


def insert_attempts(cursor: Any, statement: str, rows: Sequence[tuple]) -> None:
    """Hot: many rows at once by the raw driver. `statement` is INSERT_ATTEMPT in the engine's placeholder style."""
    cursor.executemany(statement, rows)


def usage(connection: Connection, scope: Scope, since_ns: int, until_ns: int) -> list[UsageLine]:
    """Sums by provider and model, the most expensive first."""
    table = attempts.c
    spent = sa.func.coalesce(sa.func.sum(table.nano_usd), 0)
    query = (
        sa.select(
            table.provider,
            table.model,
            sa.func.count(),
            sa.func.sum(sa.case((table.status == "ok", 0), else_=1)),
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


def _columns() -> sa.Select:
    table = providers.c
    return sa.select(table.name, table.kind, table.base_url, table.secret, table.created_ns, table.created_by)


def _within(table: sa.Table, scope: Scope) -> tuple[Any, Any]:
    return table.c.workspace == scope.workspace, table.c.project == scope.project
