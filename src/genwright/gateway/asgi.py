"""The faces on the wire, as plain ASGI: bodies in under a limit, headers both ways, streams out, clients that go away.

Formats are faces/'s, verbs are service's. The door (app.py) has put the actor into `scope["actor"]`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from genwright.errors import Error, Invalid, Missing, TooLarge, Unauthenticated, Upstream
from genwright.gateway.faces import anthropic, embeddings, openai
from genwright.gateway.types import Answer, Call
from genwright.prices import Usage
from genwright.vocab import new_trace_id

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
_STREAM_HEADERS: Headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_ANTHROPIC = b"anthropic-version"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
log = logging.getLogger("genwright.gateway")


class Gone(Exception):
    """The client went away before its request was whole."""


class Faces:
    def __init__(self, gateway: Gateway, settings: Any):
        self._gateway = gateway
        self._max_body_bytes = settings.max_body_bytes
        self._routes: dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/embeddings"): self._embeddings,
            ("GET", "/v1/models"): self._models,
        }

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """One request of a face."""
        exchange = Exchange(scope, receive, send, self._max_body_bytes)
        try:
            route = self._routes.get((scope["method"], scope["path"]))
            if route is None:
                raise self._unknown(scope)
            if scope.get("actor") is None:
                raise Unauthenticated("This needs a key: send 'Authorization: Bearer gw_…'.")
            await route(exchange)
        except Gone:
            return
        except Error as error:
            await exchange.fail(error, self)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            await exchange.fail(Error(f"Something broke on our side; it is in the server's log as {exchange.request_id}."), self)

    def _unknown(self, scope: Any) -> Error:
        paths = sorted({path for _, path in self._routes})
        if scope["path"] in paths:
            return Missing(f"{scope['method']} is not answered at {scope['path']}.", code="method_not_allowed")
        return Missing(f"There is nothing at {scope['path'][:200]}. There are: {', '.join(paths)}.", code="unknown_url")

    def error_response(self, path: str, headers: dict[bytes, bytes], error: Error) -> tuple[int, Headers, bytes]:
        """(status, headers, body) of an error in the dialect of the path."""
        out: Headers = [JSON]
        if isinstance(error.retry, (int, float)):
            out.append((b"retry-after", str(max(1, round(error.retry))).encode()))
        write = anthropic.write_error if path.startswith("/v1/messages") or _ANTHROPIC in headers else openai.write_error
        return error.status, out, write(error)

    async def _chat(self, exchange: Exchange) -> None:
        asked = openai.read_request(await exchange.body())
        call = exchange.annotate(asked.call)
        await exchange.answer(self._gateway, call, asked.stream, openai.write_answer, lambda: openai.StreamWriter(asked))

    async def _messages(self, exchange: Exchange) -> None:
        asked = anthropic.read_request(await exchange.body(), exchange.headers)
        call = exchange.annotate(asked.call)
        await exchange.answer(self._gateway, call, asked.stream, anthropic.write_answer, lambda: anthropic.StreamWriter(asked))

    async def _embeddings(self, exchange: Exchange) -> None:
        asked = embeddings.read_request(await exchange.body())
        call = exchange.annotate(Call(asked.model, parameters=asked.options, user=asked.user))
        made = await self._gateway.embedded(exchange.actor, call, asked.texts)
        body = embeddings.write_answer(made.model or asked.model, made.vectors, made.usage or Usage(), asked.as_base64)
        await exchange.reply(200, body, _cost(made.cost_nano_usd))

    async def _models(self, exchange: Exchange) -> None:
        exchange.actor.need("call")
        models = await self._gateway.models(exchange.actor)
        if _ANTHROPIC in exchange.headers:
            await exchange.reply(200, anthropic.write_models(models))
            return
        data = [
            {"id": model.id, "object": "model", "created": model.created_ns // 1_000_000_000, "owned_by": model.provider}
            for model in models
        ]
        await exchange.reply(200, msgspec.json.encode({"object": "list", "data": data}))


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
    """One request and its answer."""

    def __init__(self, scope: Any, receive: Any, send: Any, max_body_bytes: int):
        self.scope, self._receive, self._send = scope, receive, send
        self._limit = max_body_bytes
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of equal headers counts
        self.trace_id, self._parent = self._trace_parent()
        self.request_id = self._text(b"x-request-id")[:128] or "req_" + self.trace_id
        self._begun = self._traced = False

    @property
    def actor(self) -> Any:
        return self.scope["actor"]

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

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than {self._limit:,} bytes. Nothing was sent. GENWRIGHT_MAX_BODY_BYTES sets the limit."
        )

    def annotate(self, call: Call) -> Call:
        """The call with what request headers say about trace, session, user and tags."""
        self._traced = True
        changes: dict[str, Any] = {"parent": (self.trace_id, self._parent)}
        if session := self._text(b"x-genwright-session"):
            changes["session"] = session[:300]
        if user := self._text(b"x-genwright-user"):
            changes["user"] = user[:300]
        if tags := self._text(b"x-genwright-tags"):
            changes["tags"] = {**call.tags, **_tags(tags)}
        return msgspec.structs.replace(call, **changes)

    def _trace_parent(self) -> tuple[str, str]:
        """(trace id, parent span id or ""): the caller's, or a new trace."""
        text = self._text(b"traceparent")
        match = _TRACEPARENT.fullmatch(text) if text else None
        if match is None or match[1] == "0" * 32 or match[2] == "0" * 16:
            return new_trace_id(), ""
        return match[1], match[2]

    # -- answering

    async def answer(
        self, gateway: Gateway, call: Call, stream: bool, write: Callable[[Answer], bytes], writer: Callable[[], Any]
    ) -> None:
        """Run the call and send its answer; if the client goes away, it is cancelled."""
        watcher = _Watcher(self._receive)
        try:
            if stream:
                await self._stream(gateway, call, writer())
            else:
                answer = await gateway.complete(self.actor, call)
                await self.reply(200, write(answer), _about(answer))
        except asyncio.CancelledError:
            if not watcher.gone:
                raise  # the server is stopping
            raise Gone from None
        finally:
            watcher.stop()

    async def _stream(self, gateway: Gateway, call: Call, writer: Any) -> None:
        async with aclosing(gateway.stream(self.actor, call)) as items:  # type: ignore[type-var]
            try:
                async for item in items:
                    if isinstance(item, Answer):
                        await self._piece(writer, writer.end(item))
                    else:
                        data = writer.chunk(item)
                        if data:
                            await self._piece(writer, data, item.extra)
            except Error as error:
                if not self._begun:
                    raise
                await self._piece(writer, writer.error(error))
            except Exception:
                if not self._begun:
                    raise
                log.exception("stream %s failed", self.request_id)
                await self._piece(writer, writer.error(Error(f"Something broke on our side: {self.request_id}.")))
        await self._send({"type": "http.response.body", "body": b""})

    async def _piece(self, writer: Any, data: bytes, extra: dict[str, Any] | None = None) -> None:
        if not self._begun:
            headers: Headers = [
                (b"content-type", writer.content_type),
                (b"cache-control", b"no-cache"),
                (b"x-accel-buffering", b"no"),
            ]
            await self._start(200, headers + _release(extra))
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def reply(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        await self._start(status, [JSON, (b"content-length", str(len(body)).encode()), *(headers or ())])
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: Headers) -> None:
        self._begun = True
        headers.append((b"x-request-id", self.request_id.encode("latin-1")))
        if self._traced:
            headers.append((b"x-genwright-trace", self.trace_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def fail(self, error: Error, faces: Faces) -> None:
        """The error in the caller's dialect; nothing if the answer has begun."""
        if self._begun:
            return
        status, headers, body = faces.error_response(self.scope["path"], self.headers, error)
        if isinstance(error, Upstream):
            headers.append((b"x-should-retry", b"false" if error.retry == "never" else b"true"))
        headers.append((b"content-length", str(len(body)).encode()))
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})


def _about(answer: Answer) -> Headers:
    return _release(answer.extra) + _cost(answer.cost_nano_usd)


def _cost(nano_usd: int | None) -> Headers:
    """Exact: integer nano-dollars written with a point."""
    return [] if nano_usd is None else [(b"x-genwright-cost-usd", b"%d.%09d" % divmod(nano_usd, 1_000_000_000))]


def _release(extra: dict[str, Any] | None) -> Headers:
    release = (extra or {}).get("genwright", {}).get("release")
    return [(b"x-genwright-release", release.encode("latin-1", "replace"))] if release else []


def _tags(text: str) -> dict[str, str]:
    """`a=1, b` as {"a": "1", "b": ""}."""
    pairs = (part.partition("=") for part in text.split(",")[:50])
    return {name.strip()[:100]: value.strip()[:300] for name, _, value in pairs if name.strip()}
