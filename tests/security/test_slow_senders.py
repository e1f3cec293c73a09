"""Senders that never finish: closed in bounded time, with a word where one can be said; nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from genwright.access.types import SYSTEM
from genwright.app import Door
from genwright.arrival import ARRIVAL_S, BYTES_PER_S, MAX_HEAD_BYTES, Connection, close_overdue
from genwright.vocab import Scope


class Listening:
    """The real door behind the real protocol, on a loopback port; time passes when it is told."""

    def __init__(self, settings: Any):
        self.door, self.state = Door(settings), ServerState()
        self._config = uvicorn.Config(self.door, lifespan="off", http=Connection, log_level="error")

    async def open(self) -> None:
        house = await self.door.open()
        _, self.key = await house.access.create_key(SYSTEM(Scope()), "admin", "admin")
        self._config.load()
        loop = asyncio.get_running_loop()
        make = lambda: Connection(config=self._config, server_state=self.state, app_state={})  # noqa: E731
        self.server = await loop.create_server(make, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self.server.close()
        for task in list(self.state.tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)
        await self.door.close()

    async def connect(self, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        before = len(self.state.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(5):
            while len(self.state.connections) == before:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        return reader, writer

    def later(self, seconds: float) -> int:
        return close_overdue(self.state.connections, asyncio.get_running_loop().time() + seconds)

    def head(self, path: str, more: str) -> bytes:
        return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.key}\r\n{more}\r\n\r\n".encode()


@pytest.fixture
async def listening(settings) -> AsyncIterator[Listening]:
    server = Listening(settings)
    await server.open()
    yield server
    await server.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 5)


async def test_a_connection_that_says_nothing_is_closed(listening):
    reader, writer = await listening.connect()
    assert listening.later(ARRIVAL_S - 1) == 0
    assert listening.later(ARRIVAL_S + 1) == 1
    assert await rest(reader) == b""
    writer.close()


@pytest.mark.parametrize("begun", [b"G", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "])
async def test_a_head_that_does_not_end_is_refused(listening, begun):
    reader, writer = await listening.connect(begun)
    assert listening.later(ARRIVAL_S + 1) == 1
    assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")
    writer.close()


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/traces", "/api/prompts", "/api/retrieval/corpora/c/documents?name=a"]
)
async def test_a_body_that_does_not_come_is_refused_everywhere(listening, path, caplog):
    reader, writer = await listening.connect(listening.head(path, "Content-Type: application/json\r\nContent-Length: 100") + b"{")
    assert listening.later(ARRIVAL_S - 1) == 0
    assert listening.later(ARRIVAL_S + 1) == 1
    assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")
    writer.close()
    async with asyncio.timeout(5):
        while listening.state.tasks:
            await asyncio.sleep(0.01)
    assert "unexpected" not in caplog.text


async def test_a_large_body_may_take_its_time(listening):
    data = listening.head("/api/prompts", "Content-Length: 900000") + b" " * 40 * BYTES_PER_S
    _, writer = await listening.connect(data)
    assert listening.later(ARRIVAL_S + 1) == 0
    assert listening.later(ARRIVAL_S + 60) == 1
    writer.close()


async def test_waiting_for_the_next_request_is_no_fault_but_blank_lines_are(listening):
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    reader, writer = await listening.connect(request)
    assert b'"status":"ok"' in await asyncio.wait_for(reader.readuntil(b"}"), 5)
    assert listening.later(ARRIVAL_S + 1) == 0
    writer.write(b"\r\n")
    await writer.drain()
    await asyncio.sleep(0.1)
    assert listening.later(ARRIVAL_S + 1) == 1
    assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_an_endless_head_is_refused_by_size(listening):
    reader, writer = await listening.connect(b"GET / HTTP/1.1\r\n")
    sent = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            writer.write(b"X-A: " + b"a" * 8_000 + b"\r\n")
            await writer.drain()
            sent += 8_000
            await asyncio.sleep(0)
            if reader.at_eof():
                break
    with contextlib.suppress(ConnectionError):
        assert (await rest(reader))[:13] in (b"HTTP/1.1 431 ", b"")
    assert not listening.state.connections
    assert sent >= MAX_HEAD_BYTES
    writer.close()
