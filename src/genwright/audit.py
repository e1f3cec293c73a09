"""The audit log: who did what to what, when; append-only, each row chained to the one before it by its digest.

`write` joins the transaction of the change it tells about, so there is never the one without the other. The chain is per
workspace. Whoever can write the database can rebuild a whole chain: `verify` therefore also takes an anchor (a number and a
digest noted elsewhere earlier), against which a rebuilt chain shows. Knows no room.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import clock
from genwright.db import REGISTRY, Database, Json, insert_new, scoped
from genwright.vocab import Scope, canonical, digest

GENESIS = "sha256:" + "0" * 64

events = sa.Table(
    "audit_events",
    REGISTRY,
    *scoped(),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("details", Json, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "number"),
)
heads = sa.Table(
    "audit_heads",
    REGISTRY,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)


class Event(msgspec.Struct, frozen=True):
    """One thing that was done."""

    workspace: str
    project: str
    number: int
    """1, 2, 3 … without a gap, per workspace."""
    at_ns: int
    by: str
    """Id of the actor."""
    action: str
    """`room.verb`."""
    target: str
    """What it was done to: a ref or an id."""
    details: dict[str, Any]
    previous: str
    """Digest of the event before; the first has 64 zeros."""
    digest: str
    """Digest of everything above."""


Events = list[Event]


class Anchor(msgspec.Struct, frozen=True):
    """A point of the chain to note elsewhere."""

    number: int
    digest: str


class Verification(msgspec.Struct, frozen=True):
    """What `verify` found."""

    sound: bool
    checked: int
    """Events that fit."""
    head: Anchor
    """The newest event: note it elsewhere."""
    broken_at: int | None = None
    """Number of the first event that does not fit."""
    reason: str = ""


def write(
    connection: Connection, scope: Scope, by: str, action: str, target: str, details: dict[str, Any] | None = None
) -> Event:
    """Append an event inside the caller's transaction (on the registry database)."""
    head = _lock_head(connection, scope.workspace)
    fields: dict[str, Any] = {
        "workspace": scope.workspace,
        "project": scope.project,
        "number": head.number + 1,
        "at_ns": clock.now_ns(),
        "by": by,
        "action": action,
        "target": target,
        "details": msgspec.json.decode(canonical(details or {})),
        "previous": head.digest,
    }
    event = Event(**fields, digest=digest(fields))
    row = {**msgspec.structs.asdict(event), "actor": by}
    del row["by"]
    connection.execute(events.insert().values(row))
    mine = heads.c.workspace == scope.workspace
    connection.execute(heads.update().where(mine).values(number=event.number, digest=event.digest))
    return event


def _lock_head(connection: Connection, workspace: str) -> Anchor:
    """The newest number and digest, locked until the transaction ends (PostgreSQL; SQLite has one writer anyway)."""
    query = sa.select(heads.c.number, heads.c.digest).where(heads.c.workspace == workspace).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        connection.execute(insert_new(connection, heads, workspace=workspace, number=0, digest=GENESIS))
        row = connection.execute(query).one()
    return Anchor(row.number, row.digest)


def _event(row: sa.Row) -> Event:
    fields = dict(row._mapping)
    return Event(by=fields.pop("actor"), **fields)


def page(
    connection: Connection, scope: Scope, *, by: str = "", action: str = "", target: str = "", before: int = 0, limit: int = 50
) -> list[Event]:
    """Events of the workspace, newest first; `before` is the number to go on below; other words match exactly."""
    query = sa.select(events).where(events.c.workspace == scope.workspace).order_by(events.c.number.desc()).limit(min(limit, 500))
    for column, value in ((events.c.actor, by), (events.c.action, action), (events.c.target, target)):
        if value:
            query = query.where(column == value)
    if before:
        query = query.where(events.c.number < before)
    return [_event(row) for row in connection.execute(query)]


def check(connection: Connection, workspace: str, anchors: list[Anchor]) -> Verification:
    """Walk the whole chain of a workspace. Events may be added meanwhile: the head is read before and after."""
    head = _head(connection, workspace)
    known: dict[int, set[str]] = {}
    for anchor in (*anchors, head):
        if anchor.number:
            known.setdefault(anchor.number, set()).add(anchor.digest)
    number, last = 0, GENESIS
    while rows := _some(connection, workspace, number):
        for event in rows:
            reason = _fault(event, number, last, known.get(event.number, set()))
            if reason:
                return Verification(False, number, Anchor(number, last), min(event.number, number + 1), reason)
            number, last = event.number, event.digest
    if any(anchor > number for anchor in known):
        return Verification(False, number, Anchor(number, last), number + 1, "events at the end are missing")
    if _head(connection, workspace).number < number:
        return Verification(False, number, Anchor(number, last), head.number + 1, "events at the end were added from outside")
    return Verification(True, number, Anchor(number, last))


def _head(connection: Connection, workspace: str) -> Anchor:
    row = connection.execute(sa.select(heads.c.number, heads.c.digest).where(heads.c.workspace == workspace)).first()
    return Anchor(row.number, row.digest) if row else Anchor(0, GENESIS)


def _some(connection: Connection, workspace: str, after: int) -> list[Event]:
    query = sa.select(events).where(events.c.workspace == workspace, events.c.number > after)
    return [_event(row) for row in connection.execute(query.order_by(events.c.number).limit(1000))]


def _fault(event: Event, number: int, last: str, noted: set[str]) -> str:
    fields = msgspec.structs.asdict(event)
    stated = fields.pop("digest")
    if event.number != number + 1:
        return f"after event {number} comes {event.number}: events are missing or out of order"
    if event.previous != last:
        return "the event does not follow the one before it"
    if digest(fields) != stated:
        return "the event was changed"
    return "the event is not the one that was noted" if noted - {stated} else ""


class Audit:
    """Reading the log. Writing is `audit.write`, inside the change's own transaction."""

    def __init__(self, database: Database):
        self._database = database

    async def list(
        self, scope: Scope, *, by: str = "", action: str = "", target: str = "", before: int = 0, limit: int = 50
    ) -> Events:
        """Events, newest first."""

        def read(connection: Connection) -> Events:
            return page(connection, scope, by=by, action=action, target=target, before=before, limit=limit)

        return await self._database.read(read)

    async def verify(self, scope: Scope, anchors: tuple[Anchor, ...] = ()) -> Verification:
        """Whether the workspace's chain is whole: nothing edited, removed, inserted or reordered."""
        return await self._database.read(check, scope.workspace, [*anchors])
