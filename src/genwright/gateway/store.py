"""The table of providers (registry database), and every query on it. The ledger's are in money/store.py."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, scoped
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


def _columns() -> sa.Select:
    table = providers.c
    return sa.select(table.name, table.kind, table.base_url, table.secret, table.created_ns, table.created_by)


def _within(table: sa.Table, scope: Scope) -> tuple[Any, Any]:
    return table.c.workspace == scope.workspace, table.c.project == scope.project
