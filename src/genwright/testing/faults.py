"""A TCP proxy that makes a connection go wrong in a chosen, repeatable way. Knows bytes only, no protocol.

`async with FaultProxy("127.0.0.1:8000", Drip(bytes_per_s=1)) as proxy:` listens on `proxy.port` of 127.0.0.1 and passes bytes
to the target. A `seed` fixes every random choice: the n-th connection of a run always meets the same fate.
Unless a fault says otherwise it concerns the bytes from the target to the client (`direction="down"`).
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

Direction = Literal["down", "up"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Nothing goes wrong; the base of all faults. `share`: the part of the connections that it befalls."""

    share: float = 1.0
    direction: Direction = "down"


@dataclass(frozen=True, slots=True)
class Latency(Fault):
    """Every piece waits `delay_s`, plus up to `jitter_s` at random."""

    delay_s: float = 0.1
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Drop(Fault):
    """Bytes after the first `at_byte` vanish while the connection stays open."""

    at_byte: int = 0


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """A TCP reset to both sides after `at_byte` bytes."""

    at_byte: int = 0


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """A clean close to both sides after `at_byte` bytes."""

    at_byte: int = 0


@dataclass(frozen=True, slots=True)
class HalfClose(Fault):
    """After `at_byte` bytes the sender seems to have ended (FIN); the other direction goes on."""

    at_byte: int = 0


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """At most `bytes_per_s`, in even steps; one byte a second unless said otherwise."""

    bytes_per_s: float = 1.0


@dataclass(frozen=True, slots=True)
class BlackHole(Fault):
    """The connection is accepted, never forwarded and never answered."""


class FaultProxy:
    """The proxy. `target`: "host:port" or (host, port). `fault` may be replaced at any time, for connections to come."""

    def __init__(self, target: str | tuple[str, int], fault: Fault | None = None, *, seed: int = 0) -> None:
        if isinstance(target, str):
            host, _, port = target.removeprefix("http://").rstrip("/").rpartition(":")
            target = (host, int(port))
        self._target = target
        self.fault = fault or Fault()
        self.connections = 0
        """Connections accepted so far."""
        self.bytes_down = self.bytes_up = 0
        """Bytes passed on to the client and to the target."""
        self._random = random.Random(seed)  # noqa: S311 -- repeatable faults, no secret
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def active(self) -> int:
        """Connections open now."""
        return len(self._tasks)

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Drawn at accept, in order, from one source: so that the fate of a connection depends on its number alone.
        hit, seed = self._random.random() < self.fault.share, self._random.getrandbits(64)
        link = _Link(self, self.fault if hit else Fault(), random.Random(seed))  # noqa: S311 -- repeatable faults, no secret
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await link.run(reader, writer, self._target)
        except asyncio.CancelledError:
            pass  # the proxy is closing; `run` has closed both sides
        finally:
            self._tasks.discard(task)


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy, fault: Fault, chance: random.Random) -> None:
        self._proxy, self._fault, self._chance = proxy, fault, chance
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int]) -> None:
        self._writers.append(writer)
        try:
            if isinstance(self._fault, BlackHole):
                while await reader.read(65536):
                    pass
                return
            try:
                far_reader, far_writer = await asyncio.open_connection(*target)
            except OSError:
                return
            self._writers.append(far_writer)
            pumps = (self._pump(reader, far_writer, "up"), self._pump(far_reader, writer, "down"))
            async with asyncio.TaskGroup() as group:
                for pump in pumps:
                    group.create_task(pump)
        except* (_End, ConnectionError):
            pass
        finally:
            for each in self._writers:
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        fault = self._fault if self._fault.direction == direction else Fault()
        passed = 0
        while data := await reader.read(65536):
            if isinstance(fault, Latency):
                await asyncio.sleep(fault.delay_s + self._chance.random() * fault.jitter_s)
            if isinstance(fault, Drip):
                await self._drip(writer, data, fault.bytes_per_s, direction)
                continue
            if isinstance(fault, Drop | Reset | Truncate | HalfClose):
                left = fault.at_byte - passed
                passed += len(data)
                if left <= len(data):
                    await self._write(writer, data[: max(left, 0)], direction)
                    await self._break(fault, reader, writer)
                    return
            await self._write(writer, data, direction)
        if writer.can_write_eof():
            writer.write_eof()
        if direction == "down":
            raise _End  # the target is done: an HTTP client has nothing more to say to it

    async def _break(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(fault, Reset):
            for each in self._writers:
                each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.transport.abort()
            raise _End
        if isinstance(fault, Truncate):
            raise _End
        if isinstance(fault, HalfClose):
            writer.write_eof()
        while await reader.read(65536):  # Drop, HalfClose: the sender notices nothing
            pass

    async def _drip(self, writer: asyncio.StreamWriter, data: bytes, bytes_per_s: float, direction: Direction) -> None:
        step = max(1, round(bytes_per_s / 100))
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            await asyncio.sleep(len(piece) / bytes_per_s)
            await self._write(writer, piece, direction)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, direction: Direction) -> None:
        if direction == "down":
            self._proxy.bytes_down += len(data)
        else:
            self._proxy.bytes_up += len(data)
        writer.write(data)
        await writer.drain()


class _End(Exception):
    """Ends both directions of a connection."""
