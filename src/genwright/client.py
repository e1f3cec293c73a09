"""The Python client: `Client` for scripts and notebooks, `AsyncClient` for async code. Speaks HTTP.

Every management route is a method, `client.<room>.<verb>(**fields)`, taken from `data/operations.json` (written from the
routes by `python -m genwright.client`, and checked by a house test). With no address and no running server in the home
folder, the app runs in this process. Knows no room: only routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from genwright import clock, errors
from genwright.vocab import nearest

STARTING_S = 5.0
"""How long a folder that is in use may name no address before it is taken for another command's."""

OPERATIONS = Path(__file__).parent / "data" / "operations.json"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@cache
def operations() -> dict[str, dict[str, Any]]:
    """`room.verb` → {"method", "path", "query", "fields", "summary"}."""
    return json.loads(OPERATIONS.read_text())


class AsyncClient:
    """Async face. `url` and `api_key` default to GENWRIGHT_URL and GENWRIGHT_API_KEY, then to the server of the home folder."""

    def __init__(self, url: str | None = None, api_key: str | None = None, *, home: str | None = None, timeout_s: float = 600):
        self._url = url or os.environ.get("GENWRIGHT_URL", "")
        self._key = api_key or os.environ.get("GENWRIGHT_API_KEY", "")
        self._home = Path(home or os.environ.get("GENWRIGHT_HOME", ".genwright"))
        self._timeout_s = timeout_s
        self._transport: Any = None
        self._opening = asyncio.Lock()
        self._prompts: dict[tuple[str, str], tuple[float, Any]] = {}

    def __getattr__(self, room: str) -> _Room:
        if room.startswith("_") or not any(name.startswith(room + ".") for name in operations()):
            raise AttributeError(f"Client has no '{room}'. Rooms: {', '.join(sorted({n.split('.')[0] for n in operations()}))}")
        return _Room(self, room)

    @property
    def url(self) -> str:
        """Address of the server, or "" while the app runs in this process."""
        return getattr(self._transport, "url", self._url)

    async def call(self, operation: str, **fields: Any) -> Any:
        """Call a route by its name. Path fields go into the path; the rest into the query (GET, DELETE) or the JSON body.

        `data=bytes` sends a raw body. Raises the error that the server answered, as in `genwright.errors`.
        """
        row = operations().get(operation)
        if row is None:
            near = nearest(operation, list(operations())) or sorted(operations())[:5]
            raise errors.Missing(f"There is no operation '{operation}'. Nearest: {', '.join(near)}.")
        path, data = row["path"], fields.pop("data", None)
        fields = {name: value for name, value in fields.items() if value is not None}
        for name in row["in_path"]:
            if name not in fields:
                raise errors.Invalid(f"{operation} needs '{name}'.")
            path = path.replace("{" + name + "}", quote(str(fields.pop(name)), safe="/" if row.get("deep") == name else ""))
        query = fields if row["method"] in ("GET", "DELETE") or data is not None else {}
        body = data if data is not None else (b"" if query or row["method"] in ("GET", "DELETE") else msgspec.json.encode(fields))
        if query:
            path += "?" + urlencode(query, doseq=True)
        reply = await self.request(row["method"], path, body)
        if reply.headers.get("content-type", "").startswith("text/"):
            return reply.body.decode()
        return msgspec.json.decode(reply.body) if reply.body else None

    async def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        """One HTTP exchange with the server; an error answer is raised."""
        transport = await self._open()
        reply = await transport.request(method, path, self._headers(headers, body), body, self._timeout_s)
        if reply.status >= 400:
            raise read_error(reply.status, reply.body)
        return reply

    async def stream(self, path: str, body: Any, headers: dict[str, str] | None = None) -> AsyncIterator[dict[str, Any]]:
        """POST and yield each server-sent event's JSON, as it arrives; an error event is raised."""
        transport = await self._open()
        data = msgspec.json.encode(body)
        async for event in transport.events(path, self._headers(headers, data), data, self._timeout_s):
            if "error" in event:
                raise errors.Upstream(str(event["error"].get("message", event["error"])), code=event["error"].get("code"))
            yield event

    async def ask(self, question: str, *, app: str = "docs-qa", **extra: Any) -> AsyncIterator[dict[str, Any]]:
        """Ask an app (or `model="…"`); yields chat-completion chunks."""
        model = extra.pop("model", None) or (app if app.startswith("app/") else f"app/{app}")
        body = {"model": model, "messages": [{"role": "user", "content": question}], "stream": True, **extra}
        async for event in self.stream("/v1/chat/completions", body):
            yield event

    async def prompt(self, name: str, label: str = "production", *, max_age_s: float = 60.0) -> dict[str, Any]:
        """A prompt version, cached for `max_age_s`; when the server is away the last one known is served, marked `stale`."""
        known = self._prompts.get((name, label))
        if known and clock.monotonic() - known[0] < max_age_s:
            return known[1]
        try:
            found = await self.call("prompts.get", name=name, selector=label)
        except (errors.Upstream, errors.Unavailable, OSError):
            if known is None:
                raise
            return {**known[1], "stale": True}
        self._prompts[name, label] = (clock.monotonic(), found)
        return found

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _headers(self, headers: dict[str, str] | None, body: bytes) -> dict[str, str]:
        out = {"content-type": "application/json"} if body else {}
        if self._key or getattr(self._transport, "key", ""):
            out["authorization"] = f"Bearer {self._key or self._transport.key}"
        return {**out, **(headers or {})}

    async def _open(self) -> Any:
        async with self._opening:
            if self._transport is None:
                if self._url:
                    self._transport = _HttpTransport(self._url.rstrip("/"))
                else:
                    self._transport = await _at_home(self._home) or await _InProcess.start(self._home)
            return self._transport


class Client:
    """Synchronous face of `AsyncClient`: the same methods, run on a loop of its own. Use it as a context manager."""

    def __init__(self, url: str | None = None, api_key: str | None = None, *, home: str | None = None, timeout_s: float = 600):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="genwright-client", daemon=True)
        self._thread.start()
        self._inner = self._run(_make(url, api_key, home, timeout_s))

    def __getattr__(self, room: str) -> _Room:
        if room.startswith("_"):
            raise AttributeError(room)
        getattr(self._inner, room)
        return _Room(self, room)

    @property
    def url(self) -> str:
        return self._inner.url

    def call(self, operation: str, **fields: Any) -> Any:
        return self._run(self._inner.call(operation, **fields))

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        return self._run(self._inner.request(method, path, body, headers))

    def ask(self, question: str, *, app: str = "docs-qa", **extra: Any) -> Iterator[dict[str, Any]]:
        """Ask an app; yields chat-completion chunks as they arrive."""
        source = self._inner.ask(question, app=app, **extra)
        try:
            while True:
                try:
                    yield self._run(anext(source))  # type: ignore[arg-type]
                except StopAsyncIteration:
                    return
        finally:
            self._run(source.aclose())  # type: ignore[attr-defined]

    def prompt(self, name: str, label: str = "production", *, max_age_s: float = 60.0) -> dict[str, Any]:
        return self._run(self._inner.prompt(name, label, max_age_s=max_age_s))

    def close(self) -> None:
        if self._loop.is_running():
            self._run(self._inner.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


class _Room:
    """`client.prompts`: its verbs are the operations named `prompts.<verb>`."""

    def __init__(self, client: Any, name: str):
        self._client = client
        self._name = name

    def __getattr__(self, verb: str) -> Any:
        operation = f"{self._name}.{verb}"
        if operation == "prompts.get":
            return self._prompt
        row = operations().get(operation)
        if verb.startswith("_") or row is None:
            known = sorted(name.split(".", 1)[1] for name in operations() if name.startswith(self._name + "."))
            raise AttributeError(f"client.{self._name} has no '{verb}'. It has: {', '.join(known)}")

        def method(**fields: Any) -> Any:
            return self._client.call(operation, **fields)

        method.__name__ = verb
        method.__doc__ = f"{row['summary']}\n\n{row['method']} {row['path']}; fields: {', '.join(row['in_path'] + row['fields'])}"
        return method

    def _prompt(self, name: str, label: str = "production", *, selector: str | None = None, max_age_s: float = 60.0) -> Any:
        """`client.prompts.get("docs-qa", "production")`: cached, and stale when the server is away (see `Client.prompt`);
        with `selector=` (a label, number or digest; "" the newest) the version itself, asked for each time."""
        if selector is not None:
            return self._client.call("prompts.get", name=name, selector=selector)
        return self._client.prompt(name, label, max_age_s=max_age_s)

    def __dir__(self) -> list[str]:
        return sorted(name.split(".", 1)[1] for name in operations() if name.startswith(self._name + "."))


class _HttpTransport:
    """A server somewhere. `key` is the local credential when it is this machine's."""

    def __init__(self, url: str, key: str = ""):
        from genwright.http import Http

        self.url, self.key = url, key
        self._http = Http(allow_private=True)

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes, timeout_s: float) -> Reply:
        answer = await self._http.request(method, self.url + path, headers, body, timeout_s=timeout_s)
        return Reply(answer.status, answer.headers, answer.body)

    async def events(self, path: str, headers: dict[str, str], body: bytes, timeout_s: float) -> AsyncIterator[dict[str, Any]]:
        async with self._http.stream("POST", self.url + path, headers, body, timeout_s=timeout_s) as (status, _, chunks):
            if status >= 400:
                raise read_error(status, b"".join([chunk async for chunk in chunks]))
            async for event in _events(chunks):
                yield event

    async def close(self) -> None:
        await self._http.close()


class _InProcess:
    """The app in this process, for when no server runs: the same routes without a socket."""

    url = ""

    def __init__(self, door: Any, lock: Any, key: str):
        self._door, self._lock, self.key = door, lock, key

    @classmethod
    async def start(cls, home: Path) -> _InProcess:
        from genwright import settings
        from genwright.app import Door
        from genwright.lock import HomeLock

        lock = HomeLock.take(home)
        try:
            door = Door(settings.load(home=str(home), allowed_hosts=("in-process",)))
            house = await door.open()
            key = house.access.local_key()
        except BaseException:
            lock.release()
            raise
        lock.announce("", key)
        return cls(door, lock, key)

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes, timeout_s: float) -> Reply:
        parts: list[bytes] = []
        head: dict[str, Any] = {}
        async with asyncio.timeout(timeout_s):
            async for message in self._exchange(method, path, headers, body):
                if message["type"] == "http.response.start":
                    head = message
                else:
                    parts.append(message.get("body", b""))
        names = {name.decode("latin-1"): value.decode("latin-1") for name, value in head["headers"]}
        return Reply(head["status"], names, b"".join(parts))

    async def events(self, path: str, headers: dict[str, str], body: bytes, timeout_s: float) -> AsyncIterator[dict[str, Any]]:
        messages = self._exchange("POST", path, headers, body)
        head = await anext(messages)
        chunks = (message.get("body", b"") async for message in messages)
        if head["status"] >= 400:
            raise read_error(head["status"], b"".join([chunk async for chunk in chunks]))
        async for event in _events(chunks):
            yield event

    async def close(self) -> None:
        await self._door.close()
        self._lock.release()

    async def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes) -> AsyncIterator[dict[str, Any]]:
        """Run the app on one request; yield its ASGI messages. Leaving early tells the app that the client is gone."""
        out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(64)
        gone = asyncio.Event()
        given = False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        target, _, query = path.partition("?")
        raw = [(name.lower().encode(), value.encode()) for name, value in {"host": "in-process", **headers}.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": _unquote(target), "raw_path": target.encode(), "query_string": query.encode(), "headers": raw,
            "client": ("127.0.0.1", 0), "server": ("in-process", 0), "root_path": "",
        }  # fmt: skip

        async def run() -> None:
            try:
                await self._door(scope, receive, out.put)
            finally:
                await out.put(None)

        task = asyncio.create_task(run())
        try:
            while (message := await out.get()) is not None:
                yield message
            await task
        finally:
            gone.set()
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _unquote(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)


async def _make(url: str | None, api_key: str | None, home: str | None, timeout_s: float) -> AsyncClient:
    return AsyncClient(url, api_key, home=home, timeout_s=timeout_s)


async def _at_home(home: Path) -> _HttpTransport | None:
    """The server that holds this home folder, if one runs. One that is just starting, or another command, is waited for."""
    from genwright.lock import read_lock

    end = clock.monotonic() + STARTING_S
    while (found := read_lock(home)) is not None:
        if found["address"]:
            return _HttpTransport(found["address"], found["key"])
        if clock.monotonic() >= end:
            break
        await asyncio.sleep(0.1)
    return None


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Server-sent events of our own server: one `data:` line each, LF or CRLF."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            data = line.strip()
            if data.startswith(b"data:") and data != b"data: [DONE]":
                yield msgspec.json.decode(data[5:])


def read_error(status: int, body: bytes) -> errors.Error:
    """The error a server answered with, as our own type, with its details."""
    shown = None
    try:
        shown = msgspec.json.decode(body)["error"]
        message, code = str(shown.get("message", "")), shown.get("code") or shown.get("type")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        message, code = body[:300].decode("utf-8", "replace") or f"HTTP {status}", None
    by_status = {
        400: errors.Invalid, 401: errors.Unauthenticated, 403: errors.Forbidden, 404: errors.Missing, 409: errors.Conflict,
        413: errors.TooLarge, 429: errors.RateLimited, 502: errors.Upstream, 503: errors.Unavailable, 504: errors.UpstreamTimeout,
    }  # fmt: skip
    error = by_status.get(status, errors.Error)(message, code=code)
    if isinstance(shown, dict):
        error.retry = shown.get("retry", error.retry)
        error.details = shown["details"] if isinstance(shown.get("details"), dict) else {}
    return error


def write_operations() -> None:
    """Write data/operations.json from the routes of all rooms."""
    from genwright.app import ROOMS
    from genwright.web.server import operations_of

    rows = operations_of(ROOMS)
    OPERATIONS.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write_operations()
