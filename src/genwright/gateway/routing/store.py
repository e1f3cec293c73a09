"""The table of aliases (registry database) and every query on it."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, scoped
from genwright.gateway.routing.types import Alias
from genwright.vocab import Scope

aliases = sa.Table(
    "gateway_aliases",
    REGISTRY,
    *scoped(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "name"),
)


def all_aliases(connection: Connection, scope: Scope) -> list[Alias]:
    """By name."""
    rows = connection.execute(sa.select(aliases).where(*_within(scope)).order_by(aliases.c.name))
    return [Alias(*row) for row in rows]


def put_alias(connection: Connection, alias: Alias) -> None:
    """Insert, or replace the one of that name."""
    delete_alias(connection, Scope(alias.workspace, alias.project), alias.name)
    connection.execute(aliases.insert().values(**msgspec.structs.asdict(alias)))


def delete_alias(connection: Connection, scope: Scope, name: str) -> bool:
    return connection.execute(aliases.delete().where(*_within(scope), aliases.c.name == name)).rowcount > 0


def _within(scope: Scope) -> tuple[Any, Any]:
    return aliases.c.workspace == scope.workspace, aliases.c.project == scope.project
