"""The scripted provider: a real HTTP server that speaks OpenAI, Anthropic, Gemini and Bedrock, with an exact ledger of its bill.

The oracle of the money and gateway tests: what it says it was asked, generated and delivered is the truth that our ledger is
compared with. It shares no code with the gateway. `with ScriptedProvider() as p:` serves on a free port of 127.0.0.1;
`python -m genwright.testing.provider --port N [--fast]` serves from a process of its own.

Which answer comes is scripted: `p.script([Reply("hi"), Fault.status(500)])` is used up in order, `model=` binds a script to
one model, `p.always(Fault.hang())` holds until changed; otherwise it answers with an echo of the last message.

Billing, as real providers do: a plain answer bills what it generated even if nobody reads it; a stream bills the tokens
generated until its end, its cut, or until the provider notices that the client hung up; an error bills nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import msgspec

from genwright.testing import clouds, dialects
from genwright.testing.dialects import Answer, Dialect, ToolCall, count
from genwright.testing.media import Media

__all__ = ["Call", "Fault", "Recorded", "Reply", "ScriptedProvider", "ToolCall"]

_DIALECTS = {"/v1/chat/completions": dialects.OPENAI, "/v1/messages": dialects.ANTHROPIC}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong. Made by its class methods."""

    kind: str
    code: int = 0
    chunks: int = 0
    seconds: float = 0.0
    size: int = 0
    billed: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    message: str = ""

    @classmethod
    def status(cls, code: int, message: str = "scripted failure", *, retry_after_s: float | None = None) -> Fault:
        """An error answer in the caller's dialect."""
        headers = () if retry_after_s is None else (("retry-after", f"{retry_after_s:g}"),)
        return cls("status", code=code, headers=headers, message=message)

    @classmethod
    def hang(cls, *, billed: bool = False) -> Fault:
        """No answer until the client goes away; `billed`: the answer was generated (and is charged) nevertheless."""
        return cls("hang", billed=billed)

    @classmethod
    def cut_after(cls, n_chunks: int) -> Fault:
        """A stream that breaks off after n events (a plain answer: after n tenths of its bytes)."""
        return cls("cut", chunks=n_chunks)

    @classmethod
    def reset(cls, after_chunks: int = -1) -> Fault:
        """A TCP reset: before any answer, or after n events of a stream."""
        return cls("reset", chunks=after_chunks)

    @classmethod
    def slow(cls, chunk_interval_s: float) -> Fault:
        """A right answer, with a pause before every event (a plain answer: one pause)."""
        return cls("slow", seconds=chunk_interval_s)

    @classmethod
    def garbage(cls) -> Fault:
        """Status 200 and bytes that are no JSON and no event."""
        return cls("garbage")

    @classmethod
    def oversize(cls, n_bytes: int = 100_000_000) -> Fault:
        """Status 200 and a body that does not end before n bytes; without a content-length."""
        return cls("oversize", size=n_bytes)


@dataclass(frozen=True, slots=True)
class Reply:
    """A right answer. Token counts not given are counted; with `fault` the answer goes wrong on its way."""

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    finish: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A real answer, sent as it is whatever is asked; nothing is billed. `sizes`: of the pieces it is cut into."""

    data: bytes
    content_type: str = "application/json"
    status: int = 200
    sizes: tuple[int, ...] = ()


@dataclass(slots=True)
class Call:
    """One request as the provider saw it. `outcome`: open, complete, hung_up, error, or a fault's kind."""

    id: int
    path: str
    """Decoded; `raw_path` and `query` as they were on the wire."""
    headers: dict[str, str]
    raw_path: str = ""
    query: str = ""
    body: Any = None
    model: str = ""
    stream: bool = False
    status: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    units: dict[str, float] = field(default_factory=dict)
    """Billed beside tokens: images, seconds …"""
    events_sent: int = 0
    bytes_sent: int = 0
    hung_up: bool = False
    outcome: str = "open"


@dataclass(slots=True)
class _Script:
    queue: deque[Reply | Fault] = field(default_factory=deque)
    always: Reply | Fault | None = None


class ScriptedProvider:
    """The provider; an ASGI application by itself (`await provider(scope, receive, send)`), a server as a context manager."""

    def __init__(self, *, models: Iterable[str] = ("test-model",), api_key: str | None = None, port: int = 0) -> None:
        self.models = list(models)
        self.api_key = api_key
        self.calls: list[Call] = []
        self.media = Media()
        self._port = port
        self._lock = threading.Lock()
        self._scripts: dict[str | None, _Script] = {}
        self._recorded: deque[Recorded] = deque()
        self._server: Any = None
        self._thread: threading.Thread | None = None

    # --- what a test sees ----------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """For OpenAI clients; Anthropic's take `origin`."""
        return self.origin + "/v1"

    @property
    def active(self) -> int:
        """Requests being worked on."""
        return sum(call.outcome == "open" for call in list(self.calls))

    @property
    def billed_tokens(self) -> tuple[int, int]:
        """All input and output tokens billed so far."""
        calls = list(self.calls)
        return sum(c.input_tokens for c in calls), sum(c.output_tokens for c in calls)

    def script(self, items: Iterable[Reply | Fault], *, model: str | None = None) -> None:
        """Append answers, used once each in order; those bound to a model go before the general ones."""
        with self._lock:
            self._scripts.setdefault(model, _Script()).queue.extend(items)

    def always(self, item: Reply | Fault | None, *, model: str | None = None) -> None:
        """What comes when the script is used up; None: the echo."""
        with self._lock:
            self._scripts.setdefault(model, _Script()).always = item

    def replay(self, items: Iterable[Recorded]) -> None:
        """Recorded answers to the next POSTs, whatever their path; they go before scripts."""
        with self._lock:
            self._recorded.extend(items)

    def clear(self) -> None:
        """Forget scripts and calls."""
        with self._lock:
            self._scripts.clear()
            self._recorded.clear()
            self.calls.clear()

    # --- the application -----------------------------------------------------------------------------------------------

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/ledger":
            payload = msgspec.json.encode({"calls": self.calls, "active": self.active})
            await _answer(send, 200, payload)
            return
        with self._lock:
            raw_path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
            call = Call(len(self.calls) + 1, scope["path"], headers, raw_path, scope.get("query_string", b"").decode("latin-1"))
            self.calls.append(call)
        from genwright.testing.exchange import Exchange

        exchange = Exchange(call, receive, send, scope.get("extensions", {}).get("genwright.transport", {}).get("transport"))
        try:
            await self._dispatch(exchange, call, bytes(body), scope["method"])
        finally:
            if call.outcome == "open":
                call.outcome = "hung_up" if call.hung_up else "complete"

    async def _dispatch(self, exchange: Any, call: Call, body: bytes, method: str) -> None:
        found = clouds.find(call.path)
        dialect = found.dialect if found is not None else _DIALECTS.get(call.path, dialects.OPENAI)
        if found is not None and found.verb == "token" and method == "POST":
            await exchange.plain(msgspec.json.encode({"access_token": f"{clouds.TOKEN}-{call.id}", "expires_in": 3600}))
            call.body = body.decode()
        elif not self._admits(call, method, body):
            await exchange.error(dialect, 401, "wrong API key")
        elif method == "POST" and self._recorded:
            call.body = msgspec.json.decode(body)
            await exchange.recorded(self._recorded.popleft())
        elif found is not None and found.verb == "models" and method == "GET":
            await exchange.plain(clouds.models(dialect, self.models))
        elif call.path == "/v1/models" and method == "GET":
            await exchange.plain(dialects.models(self.models))
        elif self.media.takes(method, call.path):
            await self._serve(exchange, call, method, body, dialect)
        elif method != "POST" or (found is None and call.path not in _DIALECTS and call.path != "/v1/embeddings"):
            await exchange.error(dialect, 404, f"no such route: {method} {call.path}")
        else:
            await self._complete(exchange, call, body, dialect, found)

    def _admits(self, call: Call, method: str, body: bytes) -> bool:
        """The key in any dialect's header, a token given out by /token, or a signature made with the key as its secret."""
        if self.api_key is None:
            return True
        headers = call.headers
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        key = headers.get("x-api-key") or headers.get("x-goog-api-key") or headers.get("api-key") or bearer
        return key == self.api_key or key.startswith(clouds.TOKEN) or clouds.signed(self.api_key, call, method, body)

    async def _serve(self, exchange: Any, call: Call, method: str, body: bytes, dialect: Dialect) -> None:
        """Images, audio, rankings, videos; a scripted status comes first."""
        item = self._next(call.model) if method == "POST" else None
        fault = item if isinstance(item, Fault) else item.fault if item is not None else None
        if fault is not None:
            await exchange.error(dialect, fault.code or 500, fault.message, fault.headers)
            return
        try:
            made = self.media.answer(method, call.path, call.headers.get("content-type", ""), body)
        except (KeyError, ValueError, TypeError, EOFError) as error:
            await exchange.error(dialect, 400 if method == "POST" else 404, f"the request cannot be answered: {error!r}")
            return
        call.model, call.units, kind, data = made
        await exchange.plain(data, headers=(), content_type=kind)

    async def _complete(self, exchange: Any, call: Call, body: bytes, dialect: Dialect, found: clouds.Found | None) -> None:
        embeds = call.path == "/v1/embeddings" or (found is not None and found.verb == "embeddings")
        texts: list[str] = []
        plain: dict[str, Any] = {}
        size = 0
        try:
            request = call.body = msgspec.json.decode(body)
            call.model = found.model if found is not None else request["model"]
            call.stream = found.verb == "stream" if found is not None else bool(request.get("stream"))
            if embeds and found is not None:
                texts, size = clouds.embedding_texts(found, request)
            elif embeds:
                texts = dialects.embedding_inputs(request)
            else:
                plain = dialect.plain(
                    request.get("generateContentRequest") or request.get("input", {}).get("converse") or request
                )
                if not all(isinstance(m, dict) for m in plain["messages"]):
                    raise TypeError("messages are not objects")
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            await exchange.error(dialect, 400, f"the request cannot be read: {error!r}")
            return
        if found is not None and found.verb == "count":
            await exchange.plain(msgspec.json.encode({"totalTokens": _asked(plain), "inputTokens": _asked(plain)}))
            return
        item = self._next(call.model)
        reply = item if isinstance(item, Reply) else Reply()
        fault = item if isinstance(item, Fault) else reply.fault
        if embeds:
            payload, tokens = clouds.embeddings(request, texts, size) if found else dialects.embeddings(request, texts)
            answer = Answer("emb", call.model, "", reply.input_tokens if reply.input_tokens is not None else tokens, 0)
            await exchange.deliver(dialect, answer, fault, reply.headers, payload)
        else:
            await exchange.deliver(dialect, _answer_for(call, reply, plain), fault, reply.headers)

    def _next(self, model: str) -> Reply | Fault:
        with self._lock:
            scripts = [s for s in (self._scripts.get(model), self._scripts.get(None)) if s is not None]
            for script in scripts:
                if script.queue:
                    return script.queue.popleft()
            return next((s.always for s in scripts if s.always is not None), Reply())

    # --- the server ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> ScriptedProvider:
        from genwright.testing.exchange import start

        self._server, self._thread, self._port = start(self, self._port)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = self._server.force_exit = True
        assert self._thread is not None
        self._thread.join(10)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _answer_for(call: Call, reply: Reply, request: dict[str, Any]) -> Answer:
    """The scripted answer, or the echo: the last message's words. `max_tokens` cuts it as a model would."""
    messages = request["messages"]
    text = reply.text if reply.text is not None else ("" if reply.tool_calls else "echo: " + _text(messages[-1:]))
    finish = "tool_calls" if reply.tool_calls else "stop"
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if limit is not None and reply.output_tokens is None and count(text) > limit:
        text, finish = "".join(dialects.pieces(text)[:limit]), "length"
    output = dialects.output_tokens(text, reply.tool_calls) if reply.output_tokens is None else reply.output_tokens
    asked = _asked(request) if reply.input_tokens is None else reply.input_tokens
    prefix = "msg" if call.path == "/v1/messages" else "chatcmpl"
    return Answer(
        f"{prefix}-{call.id}", call.model, text, asked, output, reply.cached_tokens, reply.tool_calls, reply.finish or finish
    )


def _asked(request: dict[str, Any]) -> int:
    return count([request.get("system"), [message.get("content") for message in request["messages"]]])


def _text(messages: list[dict[str, Any]]) -> str:
    content = messages[0].get("content") if messages else ""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


def main() -> None:
    """Serve until interrupted; prints the address once it listens."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m genwright.testing.provider", description="A scripted model provider.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fast", action="store_true", help="one canned answer, no ledger: the benchmarks' instant upstream")
    parser.add_argument("--answer-bytes", type=int, default=200, help="length of the canned answer")
    arguments = parser.parse_args()
    if not arguments.fast:
        with ScriptedProvider(port=arguments.port) as provider:
            print(provider.base_url, flush=True)
            threading.Event().wait()
        return

    async def fast() -> None:
        from genwright.testing.instant import serve

        server = await serve("127.0.0.1", arguments.port, arguments.answer_bytes)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
        await server.serve_forever()

    import uvloop

    uvloop.run(fast())


if __name__ == "__main__":
    main()
