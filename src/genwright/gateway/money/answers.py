"""Answers kept for a repetition: a request with an Idempotency-Key is carried out once, and its answer given again for a day.

The key holds for one API key (or person) and one body: with another body it is a conflict. Only answers that succeeded and were
whole are kept; while the first request is under way a second one is told so. What a client asks to have kept is kept whatever
its key says of traces. Works on the exchange's bytes: plain or streamed, any dialect. Knows no model and no price.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import NEVER, Conflict, Invalid

KEPT_NS = 24 * 3600 * 1_000_000_000
MAX_KEY = 255
MAX_BYTES = 4_000_000
"""Larger answers are not kept: a repetition is carried out again."""
SWEEP = 256
"""Claims after which old answers are deleted."""
HEADER = b"idempotency-key"
_OWN = (b"x-request-id", b"date", b"server", b"connection")
"""Headers of one exchange, not of its answer."""


class Statements:
    def __init__(self, sql: Callable[[str], str]):
        self.find = sql(
            "SELECT asked, at_ns, status, head, body FROM gateway_answers WHERE workspace = ? AND actor = ? AND key = ?"
        )
        self.claim = sql(
            "INSERT INTO gateway_answers (workspace, project, actor, key, asked, server, at_ns, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
        )
        self.keep = sql(
            "UPDATE gateway_answers SET status = ?, head = ?, body = ?, at_ns = ? "
            "WHERE workspace = ? AND actor = ? AND key = ? AND server = ? AND status = 0"
        )
        self.release = sql("DELETE FROM gateway_answers WHERE workspace = ? AND actor = ? AND key = ?")
        self.sweep = sql("DELETE FROM gateway_answers WHERE at_ns < ? AND status <> 0")


class Kept(msgspec.Struct, frozen=True):
    """An answer as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Answers:
    def __init__(self, database: Database, server: str, watch: Callable[[], None]):
        self._database = database
        self._server = server
        self._watch = watch
        self._sql = Statements(database.sql)
        self._claims = 0

    async def serve(self, exchange: Any, handler: Callable[[Any], Awaitable[None]]) -> None:
        """Run the handler once for this key, or send what it sent before. Raises Conflict, Invalid."""
        name = exchange.header(HEADER.decode())
        if not 0 < len(name) <= MAX_KEY or not name.isprintable():
            raise Invalid(f"An Idempotency-Key has 1 to {MAX_KEY} printable characters. Nothing was sent.", code="invalid_header")
        body = await exchange.body()
        asked = hashlib.sha256(exchange.scope["path"].encode() + b"\n" + body).hexdigest()
        place = (exchange.actor.scope.workspace, exchange.actor.id, name)
        known = await self._claim(exchange.actor, place, asked)
        if known is not None:
            await exchange.send_again(known.status, [*known.headers, (b"idempotency-replayed", b"true")], known.body)
            return
        recorder = _Recorder()
        exchange.record(recorder, body)
        try:
            await handler(exchange)
        finally:
            whole = recorder.whole()
            if whole is None:
                await self._database.write_raw(_run, self._sql.release, place)
            else:
                head = msgspec.json.encode([(k.decode("latin-1"), v.decode("latin-1")) for k, v in whole.headers])
                values = (whole.status, head, whole.body, clock.now_ns(), *place, self._server)
                await self._database.write_raw(_run, self._sql.keep, values)

    async def _claim(self, actor: Actor, place: tuple[str, str, str], asked: str) -> Kept | None:
        self._claims += 1
        self._watch()
        row = (place[0], actor.scope.project, place[1], place[2], asked, self._server, clock.now_ns())
        return await self._database.write_raw(_claim, self._sql, row, self._claims % SWEEP == 0)


class _Recorder:
    """What an exchange sends, kept while it fits."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] | None = []
        self._size = 0
        self._ended = False

    def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(name, value) for name, value in message["headers"] if name not in _OWN]
        elif message["type"] == "http.response.body":
            part = message.get("body", b"")
            self._size += len(part)
            if self._size > MAX_BYTES:
                self._parts = None
            elif self._parts is not None:
                self._parts.append(part)
            self._ended = not message.get("more_body", False)

    def whole(self) -> Kept | None:
        """The answer, if it was a success that came to its end and is not too large."""
        if not self._ended or self._parts is None or not 200 <= self._status < 300:
            return None
        return Kept(self._status, self._headers, b"".join(self._parts))


def _claim(cursor: Any, sql: Statements, row: tuple[Any, ...], sweep: bool) -> Kept | None:
    """The answer that was kept, or None where the key is now this request's."""
    workspace, _, actor, key, asked, _, now_ns = row
    if sweep:
        cursor.execute(sql.sweep, (now_ns - KEPT_NS,))
    cursor.execute(sql.find, (workspace, actor, key))
    found = cursor.fetchone()
    if found is None or (found[2] and found[1] < now_ns - KEPT_NS):
        if found is not None:
            cursor.execute(sql.release, (workspace, actor, key))
        cursor.execute(sql.claim, row)
        return None
    if found[0] != asked:
        raise Conflict(
            "This Idempotency-Key was used for another request. Nothing was sent. Take a new key for a new request.",
            code="idempotency_conflict", retry=NEVER,
        )  # fmt: skip
    if not found[2]:
        raise Conflict(
            "The request with this Idempotency-Key is still under way. Nothing was sent again. Ask once more shortly.",
            code="idempotency_in_progress", retry=1.0,
        )  # fmt: skip
    head = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in msgspec.json.decode(bytes(found[3]))]
    return Kept(int(found[2]), head, bytes(found[4] or b""))


def _run(cursor: Any, statement: str, values: tuple[Any, ...]) -> None:
    cursor.execute(statement, values)
