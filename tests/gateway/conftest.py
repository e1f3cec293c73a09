"""A gateway with its real neighbours on a temporary home, served by uvicorn on loopback, in front of the scripted provider."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genwright.access.service import Access
from genwright.access.types import Actor
from genwright.blobs import Blobs
from genwright.db import METADATA, Database
from genwright.errors import Error
from genwright.gateway.service import Gateway
from genwright.guardrails.service import Guardrails
from genwright.http import Http
from genwright.registry.service import Registry
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.testing.provider import ScriptedProvider
from genwright.tracing.service import Tracing
from genwright.vocab import Scope

SCOPE = Scope()
ADMIN = Actor(SCOPE, "key_test", "tests", "key", "admin")


class House:
    """The rooms up to the gateway, wired as app.py wires them, and a door that knows one key per capture mode."""

    def __init__(self, home: Path, database_url: str):
        self.settings = Settings(home=str(home), max_body_bytes=1_000_000, request_timeout_s=5.0)
        self.databases = {name: Database(name, database_url or f"sqlite:///{home / name}.sqlite") for name in METADATA}
        self.secrets = Secrets(home)
        self.http = Http(allow_private=["127.0.0.1"], first_byte_timeout_s=0.6, read_timeout_s=0.6)
        self.access = Access(self.databases["registry"], self.secrets, self.settings)
        self.registry = Registry(self.databases["registry"])
        self.tracing = Tracing(self.databases["spans"], self.registry, Blobs(home / "blobs"))
        self.guardrails = Guardrails(self.registry)
        self.gateway = Gateway(
            self.databases, self.http, self.registry, self.tracing, self.guardrails, self.access, self.secrets, self.settings
        )
        self.keys: dict[str, str] = {}

    async def open(self) -> None:
        await self.access.ensure_bootstrap()
        for capture in ("full", "metadata", "off"):
            _, self.keys[capture] = await self.access.create_key(ADMIN, capture, "editor", capture=capture)

    async def close(self) -> None:
        await self.gateway.flush()
        self.tracing.close()
        await self.http.close()
        for database in self.databases.values():
            database.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        key = (
            headers.get(b"authorization", b"").removeprefix(b"Bearer ")
            or headers.get(b"x-api-key")
            or headers.get(b"x-goog-api-key", b"")
        )
        try:
            scope["actor"] = await self.access.actor_for_key(key.decode())
        except Error as error:
            status, out, body = self.gateway.error_response(scope["path"], headers, error)
            await send({"type": "http.response.start", "status": status, "headers": out})
            await send({"type": "http.response.body", "body": body})
            return
        await self.gateway.asgi(scope, receive, send)


class Served:
    """The house behind a real server in a thread; `run` runs a coroutine on the server's loop."""

    admin = ADMIN
    scope = SCOPE

    def __init__(self, home: Path, database_url: str):
        import uvicorn

        self._loop: asyncio.AbstractEventLoop | None = None
        self._home, self._database_url = home, database_url
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, where a socket names no protocol
        config = uvicorn.Config(self._app, interface="asgi3", lifespan="on", log_level="critical", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(20)
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.house = House(self._home, self._database_url)
            await self.house.open()
            self._loop = asyncio.get_running_loop()
            await send({"type": "lifespan.startup.complete"})
            self._ready.set()
            await receive()
            await self.house.close()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await self.house(scope, receive, send)

    def run(self, coroutine: Any) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def add(self, provider: ScriptedProvider, name: str = "test", kind: str = "openai-compatible") -> None:
        self.run(self.house.gateway.add_provider(ADMIN, name, kind, provider.base_url, "sk-upstream"))

    def ledger(self, trace_id: str) -> list[Any]:
        return self.run(self.house.gateway.attempts(ADMIN, trace_id))

    def trace(self, trace_id: str) -> Any:
        self.run(self.house.tracing.flush())
        return self.run(self.house.tracing.trace(SCOPE, trace_id))

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)


@pytest.fixture(scope="session")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(api_key="sk-upstream") as scripted:
        yield scripted


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider, _server: Any, _template: Path
) -> Iterator[Served]:
    home, url = tmp_path_factory.mktemp("home"), ""
    if _server is None:
        for file in _template.glob("*.sqlite"):
            shutil.copy(file, home)
    else:
        name = f"gw_gateway_{os.getpid()}"  # two workers share one PostgreSQL
        url = _server.make(name, _server.template)
    server = Served(home, url)
    server.add(provider)
    yield server
    server.stop()
    if url:
        _server.drop(name)


@pytest.fixture(autouse=True)
def _clean(provider: ScriptedProvider) -> Iterator[None]:
    yield
    provider.clear()


@pytest.fixture
def openai_client(served: Served) -> Iterator[Any]:
    import openai

    with openai.OpenAI(base_url=served.origin + "/v1", api_key=served.house.keys["full"], max_retries=0) as client:
        yield client
