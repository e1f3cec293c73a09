"""The table of kept responses, walled by workspace and project, and every query on it."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, Json, scoped
from genwright.vocab import Scope

UNFINISHED = ("queued", "in_progress")

responses = sa.Table(
    "gateway_responses",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("input", Json, nullable=False),
    sa.Column("body", Json, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
    sa.Index("gateway_responses_by_end", "expires_ns"),
)


class Kept(msgspec.Struct):
    """One response. Order of fields = order of columns after the scope."""

    id: str
    previous: str
    provider: str
    """That keeps it too, under the same id; empty where only we do."""
    status: str
    input: list[dict[str, Any]]
    """The items of this turn alone."""
    body: dict[str, Any]
    """The response object."""
    created_ns: int
    created_by: str
    expires_ns: int


def put(connection: Connection, scope: Scope, kept: Kept) -> None:
    """Insert, or replace the one of that id (an answer from the cache has it again). What has expired goes."""
    connection.execute(responses.delete().where(responses.c.expires_ns <= kept.created_ns))
    delete(connection, scope, kept.id)
    values = {name: getattr(kept, name) for name in Kept.__struct_fields__}
    connection.execute(responses.insert().values(workspace=scope.workspace, project=scope.project, **values))


def finish(connection: Connection, scope: Scope, id_: str, body: dict[str, Any]) -> bool:
    """Put the end of a background response, unless it has ended already (it was cancelled, or deleted)."""
    table = responses.c
    ended = responses.update().where(*_within(scope), table.id == id_, table.status.in_(UNFINISHED))
    return connection.execute(ended.values(body=body, status=body["status"])).rowcount > 0


def get(connection: Connection, scope: Scope, id_: str, now_ns: int) -> Kept | None:
    table = responses.c
    columns = [table[name] for name in Kept.__struct_fields__]
    row = connection.execute(sa.select(*columns).where(*_within(scope), table.id == id_, table.expires_ns > now_ns)).first()
    return None if row is None else Kept(*row)


def chain(connection: Connection, scope: Scope, id_: str, now_ns: int, most: int) -> list[Kept] | None:
    """The response and those before it, oldest first; None if one of them is not there, or there are more than `most`."""
    found: list[Kept] = []
    while id_:
        kept = get(connection, scope, id_, now_ns)
        if kept is None or len(found) >= most:
            return None
        found.append(kept)
        id_ = kept.previous
    return found[::-1]


def delete(connection: Connection, scope: Scope, id_: str) -> bool:
    return connection.execute(responses.delete().where(*_within(scope), responses.c.id == id_)).rowcount > 0


def _within(scope: Scope) -> tuple[Any, Any]:
    return responses.c.workspace == scope.workspace, responses.c.project == scope.project
