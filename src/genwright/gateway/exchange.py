"""One request of a face and its answer, as plain ASGI: bodies in under a limit, headers both ways, streams, clients that go away.

Knows no path and no format: a handler (asgi.ROUTES) reads the body, runs a verb, and hands the bytes of the answer to this.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.errors import Error, Invalid, TooLarge
from genwright.gateway.types import Answer, Call, Told
from genwright.vocab import new_trace_id

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway

Headers = list[tuple[bytes, bytes]]
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_CACHE = ("off", "refresh", "exact", "semantic")
MAX_TIMEOUT_S = 86_400.0
log = logging.getLogger("genwright.gateway")


class Gone(Exception):
    """The client went away before its request was whole."""


class _Watcher:
    """Cancels the task that made it when the client goes away. Begins after a moment: most calls are done by then."""

    AFTER_S = 0.2

    def __init__(self, receive: Any):
        task = asyncio.current_task()
        assert task is not None
        self.gone = False
        self._task, self._receive = task, receive
        self._watch: asyncio.Task | None = None
        self._timer = task.get_loop().call_later(self.AFTER_S, self._begin)

    def _begin(self) -> None:
        self._watch = asyncio.ensure_future(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # a server that keeps answering must not make this spin
        self.gone = True
        self._task.cancel()

    def stop(self) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self.gone:
            self._task.uncancel()


class Exchange:
    """One request and its answer. `params`: what stands in the path's braces."""

    def __init__(self, gateway: Gateway, scope: Any, receive: Any, send: Any, max_body_bytes: int):
        self.gateway = gateway
        self.scope, self._receive, self._send = scope, receive, send
        self._limit = max_body_bytes
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of equal headers counts
        self.params: dict[str, str] = {}
        self.trace_id, self._parent = self._trace_parent()
        self.request_id = self._text(b"x-request-id")[:128] or "req_" + self.trace_id
        self.begun = self._traced = False
        self._told = Told()

    @property
    def actor(self) -> Any:
        return self.scope["actor"]

    def header(self, name: str) -> str:
        """A request header, or ""."""
        return self._text(name.encode())

    def query(self, name: str) -> str:
        """A parameter of the query, or ""."""
        from urllib.parse import parse_qs

        return parse_qs(self.scope.get("query_string", b"").decode("latin-1")).get(name, [""])[0]

    def _text(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1").strip()

    async def body(self) -> bytes:
        """The whole body. Raises TooLarge before more than the limit is kept."""
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            raise self._too_large()
        if b"content-encoding" in self.headers and self.headers[b"content-encoding"] != b"identity":
            raise Invalid("Compressed request bodies are not taken here. Send it as it is.", code="unsupported_encoding")
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                raise self._too_large()
            parts.append(part)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def record(self, recorder: Callable[[dict[str, Any]], None], body: bytes) -> None:
        """Show the recorder everything that is sent; `body` was read already, and is read again by the handler."""
        send, receive, unread = self._send, self._receive, True

        async def recorded(message: dict[str, Any]) -> None:
            recorder(message)
            await send(message)

        async def replayed() -> Any:
            nonlocal unread
            if not unread:
                return await receive()
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}

        self._send, self._receive = recorded, replayed

    async def send_again(self, status: int, headers: Headers, body: bytes) -> None:
        """An answer that was sent before."""
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than {self._limit:,} bytes. Nothing was sent. GENWRIGHT_MAX_BODY_BYTES sets the limit."
        )

    def annotate(self, call: Call) -> Call:
        """The call with what request headers say about trace, session, user, tags, time, cache and fields to drop."""
        self._traced = True
        changes: dict[str, Any] = {"parent": (self.trace_id, self._parent), "told": self._told}
        if session := self._text(b"x-genwright-session"):
            changes["session"] = session[:300]
        if user := self._text(b"x-genwright-user"):
            changes["user"] = user[:300]
        if tags := self._text(b"x-genwright-tags"):
            changes["tags"] = {**call.tags, **_tags(tags)}
        if key := self._text(b"idempotency-key"):
            changes["idempotency_key"] = key[:255]
        if timeout := self._text(b"x-genwright-timeout"):
            changes["deadline"] = clock.monotonic() + _number("x-genwright-timeout", timeout, MAX_TIMEOUT_S)
        if cache := self._text(b"x-genwright-cache"):
            if cache not in _CACHE:
                raise _wrong("x-genwright-cache", f"must be one of {', '.join(_CACHE)}")
            changes["cache"] = cache
        if ttl := self._text(b"x-genwright-cache-ttl"):
            changes["cache_ttl"] = int(_number("x-genwright-cache-ttl", ttl, 10 * 365 * 86_400))
        if drop := self._text(b"x-genwright-drop-params"):
            if drop not in ("true", "false"):
                raise _wrong("x-genwright-drop-params", "must be true or false")
            changes["drop_params"] = drop == "true"
        return msgspec.structs.replace(call, **changes)

    def _trace_parent(self) -> tuple[str, str]:
        """(trace id, parent span id or ""): the caller's, or a new trace."""
        text = self._text(b"traceparent")
        match = _TRACEPARENT.fullmatch(text) if text else None
        if match is None or match[1] == "0" * 32 or match[2] == "0" * 16:
            return new_trace_id(), ""
        return match[1], match[2]

    # -- answering

    async def answer(self, call: Call, stream: bool, write: Callable[[Answer], bytes], writer: Callable[[], Any]) -> None:
        """Run an annotated call and send its answer, watched."""
        await self.watched(self._answer(call, stream, write, writer))

    async def watched(self, work: Awaitable[None]) -> None:
        """Do it; if the client goes away it is cancelled, or read to its end where the key says so (`drain`)."""
        if self.actor.terms.on_disconnect == "drain":
            await work
            return
        watcher = _Watcher(self._receive)
        try:
            await work
        except asyncio.CancelledError:
            if not watcher.gone:
                raise  # the server is stopping
            raise Gone from None
        finally:
            watcher.stop()

    async def _answer(self, call: Call, stream: bool, write: Callable[[Answer], bytes], writer: Callable[[], Any]) -> None:
        if stream:
            await self.send_stream(self.gateway.stream(self.actor, call), writer())
        else:
            answer = await self.gateway.complete(self.actor, call)
            await self.reply(200, write(answer), about(answer))

    async def send_stream(self, pieces: AsyncIterator[Any], writer: Any) -> None:
        """Chunks and at last the Answer, as `writer` says them; an error after the first piece becomes the last event."""
        async with aclosing(pieces) as items:  # type: ignore[type-var]
            try:
                async for item in items:
                    data = writer.end(item) if isinstance(item, Answer) else writer.chunk(item)
                    if data:
                        await self._piece(writer, data, item.extra)
            except Error as error:
                if not self.begun:
                    raise
                await self._piece(writer, writer.error(error))
            except Exception:
                if not self.begun:
                    raise
                log.exception("stream %s failed", self.request_id)
                await self._piece(writer, writer.error(Error(f"Something broke on our side: {self.request_id}.")))
        if not self.begun:
            await self._start(200, [(b"content-type", writer.content_type)])
        await self._send({"type": "http.response.body", "body": b""})

    async def _piece(self, writer: Any, data: bytes, extra: dict[str, Any] | None = None) -> None:
        if not self.begun:
            headers: Headers = [
                (b"content-type", writer.content_type),
                (b"cache-control", b"no-cache"),
                (b"x-accel-buffering", b"no"),
            ]
            await self._start(200, headers + _release(extra))
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def reply(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        """A JSON body."""
        await self.reply_as(status, "application/json", body, headers=headers)

    async def reply_as(
        self, status: int, content_type: str, body: bytes, cost_nano_usd: int | None = None, *, headers: Headers | None = None
    ) -> None:
        """A body of any type, with what it cost."""
        sent: Headers = [(b"content-type", content_type.encode("latin-1")), (b"content-length", b"%d" % len(body))]
        await self._start(status, [*sent, *(headers or ()), *cost(cost_nano_usd)])
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: Headers) -> None:
        self.begun = True
        headers.append((b"x-request-id", self.request_id.encode("latin-1")))
        if self._traced:
            headers.append((b"x-genwright-trace", self.trace_id.encode()))
            _tell(self._told, headers)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _tell(told: Told, headers: Headers) -> None:
    """What the call met on its way."""
    headers += told.headers
    if told.cache:
        headers.append((b"x-genwright-cache", told.cache.encode("latin-1", "replace")))
    if told.route:
        headers.append((b"x-genwright-route", told.route.encode("latin-1", "replace")))
    if told.dropped:
        headers.append((b"x-genwright-dropped", ", ".join(told.dropped).encode("latin-1", "replace")))


def about(answer: Answer) -> Headers:
    """What the answer cost, and the app's release that gave it."""
    return _release(answer.extra) + cost(answer.cost_nano_usd)


def cost(nano_usd: int | None) -> Headers:
    """Exact: integer nano-dollars written with a point."""
    return [] if nano_usd is None else [(b"x-genwright-cost-usd", b"%d.%09d" % divmod(nano_usd, 1_000_000_000))]


def _release(extra: dict[str, Any] | None) -> Headers:
    release = (extra or {}).get("genwright", {}).get("release")
    return [(b"x-genwright-release", release.encode("latin-1", "replace"))] if release else []


def _tags(text: str) -> dict[str, str]:
    """`a=1, b` as {"a": "1", "b": ""}."""
    pairs = (part.partition("=") for part in text.split(",")[:50])
    return {name.strip()[:100]: value.strip()[:300] for name, _, value in pairs if name.strip()}


def _number(name: str, text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _wrong(name, "must be a number of seconds") from None
    if not 0 < value <= most:
        raise _wrong(name, f"must be more than 0 and at most {most:g} seconds")
    return value


def _wrong(name: str, text: str) -> Invalid:
    return Invalid(f"The header {name} {text}. Nothing was sent.", code="invalid_header", param=name)
