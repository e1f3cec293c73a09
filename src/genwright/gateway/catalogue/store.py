"""Tables of the catalogue in the registry database, and every query on them."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, Json, scoped
from genwright.gateway.catalogue.types import CanaryAnswer, CanaryRun, ModelRule
from genwright.vocab import Scope

KEPT_RUNS = 100
"""Canary runs kept for one model."""

cards = sa.Table(
    "gateway_model_cards",
    REGISTRY,
    *scoped(),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("fields", Json, nullable=False),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "provider", "model"),
)
rules = sa.Table(
    "gateway_model_rules",
    REGISTRY,
    *scoped(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("models", sa.Text, nullable=False),
    sa.Column("condition", Json, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "name"),
)
canaries = sa.Table(
    "gateway_canaries",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("fingerprint", Json, nullable=False),
    sa.Column("answers", Json, nullable=False),
    sa.Column("similarity", sa.Float),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
    sa.Index("gateway_canaries_model", "workspace", "project", "provider", "model", "at_ns"),
)


def own(connection: Connection, scope: Scope) -> dict[tuple[str, str], dict[str, Any]]:
    """The project's own fields by provider and model."""
    table = cards.c
    rows = connection.execute(sa.select(table.provider, table.model, table.fields).where(*_within(cards, scope)))
    return {(row[0], row[1]): row[2] for row in rows}


def put(connection: Connection, scope: Scope, provider: str, model: str, fields: dict[str, Any], at_ns: int, by: str) -> None:
    """Replace a model's own fields; none left removes the row."""
    table = cards.c
    connection.execute(cards.delete().where(*_within(cards, scope), table.provider == provider, table.model == model))
    if fields:
        connection.execute(
            cards.insert().values(
                workspace=scope.workspace, project=scope.project, provider=provider, model=model, fields=fields,
                changed_ns=at_ns, changed_by=by,
            )
        )  # fmt: skip


def all_rules(connection: Connection, scope: Scope) -> list[ModelRule]:
    """By name."""
    table = rules.c
    query = sa.select(table.name, table.models, table.condition, table.created_ns, table.created_by)
    return [ModelRule(*row) for row in connection.execute(query.where(*_within(rules, scope)).order_by(table.name))]


def put_rule(connection: Connection, scope: Scope, rule: ModelRule) -> None:
    """Insert, or replace the one of that name."""
    delete_rule(connection, scope, rule.name)
    connection.execute(rules.insert().values(workspace=scope.workspace, project=scope.project, **msgspec.structs.asdict(rule)))


def delete_rule(connection: Connection, scope: Scope, name: str) -> bool:
    return connection.execute(rules.delete().where(*_within(rules, scope), rules.c.name == name)).rowcount > 0


def put_run(connection: Connection, scope: Scope, run: CanaryRun) -> None:
    """Insert, and forget the oldest of the model's runs beyond KEPT_RUNS."""
    fields = msgspec.to_builtins(run)
    connection.execute(canaries.insert().values(workspace=scope.workspace, project=scope.project, **fields))
    table = canaries.c
    of_model = (*_within(canaries, scope), table.provider == run.provider, table.model == run.model)
    newest = sa.select(table.id).where(*of_model).order_by(table.at_ns.desc()).limit(KEPT_RUNS)
    kept = [row[0] for row in connection.execute(newest)]
    if len(kept) == KEPT_RUNS:
        connection.execute(canaries.delete().where(*of_model, table.id.not_in(kept)))


def runs(connection: Connection, scope: Scope, provider: str = "", model: str = "", limit: int = 50) -> list[CanaryRun]:
    """The newest first; of all models, or of one."""
    table = canaries.c
    query = sa.select(*[table[name] for name in CanaryRun.__struct_fields__]).where(*_within(canaries, scope))
    if provider:
        query = query.where(table.provider == provider, table.model == model)
    rows = connection.execute(query.order_by(table.at_ns.desc(), table.id.desc()).limit(limit))
    return [_run(row) for row in rows]


def _run(row: Any) -> CanaryRun:
    fields = dict(zip(CanaryRun.__struct_fields__, row, strict=True))
    return CanaryRun(**{**fields, "answers": msgspec.convert(fields["answers"], list[CanaryAnswer])})


def _within(table: sa.Table, scope: Scope) -> tuple[Any, Any]:
    return table.c.workspace == scope.workspace, table.c.project == scope.project
