"""The door for foreign spans: bounded, durable before it answers, never a 5xx for what a client wrote.

A message is unpacked, read and encoded in a worker thread, so that the event loop stays free; it waits in no queue without a
bound (503 and Retry-After beyond it); 200 is said after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from genwright import clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Error, Invalid, TooLarge, Unauthenticated, Unavailable
from genwright.tracing import encode, otlp, store

UNPACK_FACTOR = 4
"""A packed body may unpack to so many times the largest body."""
MAX_WAITING_BYTES = 128_000_000
"""Bodies at work at once, unpacked; one message alone is always taken."""


class Intake:
    def __init__(self, database: Database, max_body_bytes: int):
        self.database = database
        self.max_body_bytes = max_body_bytes
        self.waiting_bytes = 0
        self.refused = 0
        self._workers = ThreadPoolExecutor(1, "otlp-read")

    def close(self) -> None:
        self._workers.shutdown(wait=True)

    async def ingest(self, actor: Actor, body: bytes, content_type: str, encoding: str) -> otlp.Answer:
        """(status, headers, body) for one ExportTraceServiceRequest; see otlp.py for the formats."""
        kind = otlp.JSON if "json" in content_type.lower() else otlp.PROTOBUF
        try:
            kind = otlp.media_type(content_type)
            actor.need("call")
            if len(body) > self.max_body_bytes:
                raise self._too_large()
            return await self._bounded(actor, body, kind, encoding)
        except Error as error:
            return otlp.refused(kind, error)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self.max_body_bytes:,} bytes. Nothing was kept. Send smaller batches.")

    async def _bounded(self, actor: Actor, body: bytes, kind: str, encoding: str) -> otlp.Answer:
        size = len(body) * (UNPACK_FACTOR if encoding else 1)
        if self.waiting_bytes and self.waiting_bytes + size > MAX_WAITING_BYTES:
            self.refused += 1
            raise Unavailable(
                f"{self.waiting_bytes:,} bytes of spans are waiting to be written. Nothing was kept. Send it again.", retry=1.0
            )
        self.waiting_bytes += size
        try:
            return await self._take(actor, body, kind, encoding)
        finally:
            self.waiting_bytes -= size

    async def _take(self, actor: Actor, body: bytes, kind: str, encoding: str) -> otlp.Answer:
        loop = asyncio.get_running_loop()
        batch, prepared = await loop.run_in_executor(self._workers, self._read, actor, body, kind, encoding)
        if actor.capture == "off":
            note = f"The key '{actor.name}' has capture=off: its spans are not kept."
            batch = otlp.Batch([], batch.rejected + len(batch.spans), [note])
        elif prepared:
            await self._write(actor, batch, prepared)
        return otlp.accepted(kind, batch)

    def _read(self, actor: Actor, body: bytes, kind: str, encoding: str) -> tuple[otlp.Batch, list[store.Prepared]]:
        data = otlp.unpack(body, encoding, self.max_body_bytes * UNPACK_FACTOR)
        batch = otlp.read(data, kind, clock.now_ns())
        if actor.capture != "full":
            for span in batch.spans:
                span.capture = actor.capture
        return batch, [] if actor.capture == "off" else encode.prepare(actor.scope, batch.spans, priced=True)

    async def _write(self, actor: Actor, batch: otlp.Batch, prepared: list[store.Prepared]) -> None:
        try:
            await self._store(actor, prepared)
        except (Unavailable, store.outages(self.database)) as error:
            raise self._unavailable(error) from error
        except Exception as error:  # a row that the engine cannot take: keep the rest
            if len(prepared) == 1:
                count = len(prepared[0].rows)
                kept = [span for span in batch.spans if span.trace_id != prepared[0].trace_id]
                batch.spans, batch.rejected = kept, batch.rejected + count
                batch.reasons.append(f"trace {prepared[0].trace_id} could not be stored: {error}")
                return
            for item in prepared:
                await self._write(actor, batch, [item])

    async def _store(self, actor: Actor, prepared: list[store.Prepared]) -> None:
        await self.database.write_raw(store.write_spans, self.database.postgres, actor.scope, prepared)

    def _unavailable(self, error: Exception) -> Error:
        if isinstance(error, Error):
            return error
        return Unavailable(f"The spans could not be written: {error}. Nothing was kept. Send it again.")

    # -- ASGI

    async def asgi(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        content_type = headers.get("content-type", "")
        kind = otlp.JSON if "json" in content_type.lower() else otlp.PROTOBUF
        try:
            actor = scope.get("actor")
            if actor is None:
                raise Unauthenticated("This needs a key. Nothing was kept. Send `Authorization: Bearer gw_…`.")
            if scope["method"] != "POST":
                raise NotPost("Spans are taken by POST. Nothing was kept.")
            body = await self._body(headers, receive)
            if body is None:
                return
            status, out, data = await self.ingest(actor, body, content_type, headers.get("content-encoding", ""))
        except Error as error:
            status, out, data = otlp.refused(kind, error)
        out["content-length"] = str(len(data))
        pairs = [(name.encode(), value.encode()) for name, value in out.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": data})

    async def _body(self, headers: dict[str, str], receive: Callable[[], Awaitable[Any]]) -> bytes | None:
        """The whole body; None where the client went away. Raises TooLarge without reading on."""
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self.max_body_bytes:
            raise self._too_large()
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > self.max_body_bytes:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


class NotPost(Invalid):
    status = 405
    default_code = "method_not_allowed"
