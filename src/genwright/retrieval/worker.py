"""Worker processes for slow pure functions: parse, chunk, finish an index. They end when idle and hold no database.

Parent and worker exchange frames over pipes: four bytes of length, then msgpack. A worker that takes too long is killed, alone,
with the document it was at; one that dies (out of memory on a hostile file) costs that document and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from genwright.errors import Error, Invalid
from genwright.retrieval.types import Chunk, Chunker, Parsed

IDLE_S = 20.0
MEMORY_BYTES = 4_000_000_000
"""Address space of a worker; more is refused to it by the system (Linux)."""
DEAD = "worker_died"
SLOW = "too_slow"


# -- in the worker


def parse_verb(data: bytes, name: str, media_type: str) -> Parsed:
    from genwright.retrieval.parse import parse

    return parse(data, name, media_type)


def chunk_verb(parsed: bytes, document: str, name: str, chunker: dict[str, int]) -> list[Chunk]:
    from genwright.retrieval.chunk import chunk

    return chunk(msgspec.json.decode(parsed, type=Parsed), document, name, msgspec.convert(chunker, Chunker))


def finish_verb(folder: str) -> str:
    from genwright.retrieval.index import finish

    return finish(Path(folder))


VERBS: dict[str, Callable[..., Any]] = {"parse": parse_verb, "chunk": chunk_verb, "finish": finish_verb}


def main() -> None:
    """Answer frames from standard input until it is closed. What libraries print goes to standard error."""
    inward = sys.stdin.buffer
    outward = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    while head := inward.read(4):
        verb, arguments = msgspec.msgpack.decode(inward.read(int.from_bytes(head)))
        try:
            answer: dict[str, Any] = {"value": VERBS[verb](*arguments)}
        except Error as error:
            answer = {"error": error.message, "code": error.code}
        except Exception as error:  # the request edge of this process
            answer = {"error": f"{type(error).__name__}: {str(error)[:300]}", "code": "broken"}
        except MemoryError:
            answer = {"error": "It needs more memory than a worker may have.", "code": "too_large"}
        frame = msgspec.msgpack.encode(answer)
        outward.write(len(frame).to_bytes(4) + frame)
        outward.flush()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


# -- in the server


class Failure(Invalid):
    """What a worker said, or what became of it: code DEAD or SLOW, or that of the error inside."""


class Workers:
    """At most `count` workers, started when needed. `call` may be used by many tasks at once."""

    def __init__(self, count: int):
        self._free = asyncio.LifoQueue[_Worker | None]()
        for _ in range(max(1, count)):
            self._free.put_nowait(None)
        self._all: set[_Worker] = set()

    async def call(self, verb: str, *arguments: Any, timeout_s: float, shape: Any = Any) -> Any:
        """The verb's result as `shape`. Raises Failure; the worker is killed when the time is up or the caller is cancelled."""
        worker = await self._free.get()
        kept: _Worker | None = None
        try:
            if worker is None or not worker.alive:
                worker = await _Worker.start()
                self._all.add(worker)
            answer = await worker.exchange(msgspec.msgpack.encode([verb, arguments]), timeout_s)
            kept = worker
        finally:
            if kept is None and worker is not None:
                worker.kill()
                self._all.discard(worker)
            elif kept is not None:
                kept.rest(lambda: self._all.discard(kept))
            self._free.put_nowait(kept)
        if "error" in answer:
            raise Failure(answer["error"], code=answer["code"])
        return msgspec.convert(answer["value"], shape)

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._all):
            worker.kill()
        self._all.clear()


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> _Worker:
        command = (sys.executable, "-c", "from genwright.retrieval.worker import main; main()")
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
        return cls(process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def exchange(self, frame: bytes, timeout_s: float) -> dict[str, Any]:
        if self._timer is not None:
            self._timer.cancel()
        inward, outward = self._process.stdout, self._process.stdin
        assert inward is not None
        assert outward is not None
        try:
            async with asyncio.timeout(timeout_s):
                outward.write(len(frame).to_bytes(4) + frame)
                await outward.drain()
                size = int.from_bytes(await inward.readexactly(4))
                return msgspec.msgpack.decode(await inward.readexactly(size))
        except TimeoutError as error:
            raise Failure(f"It took longer than {timeout_s:g} s.", code=SLOW) from error
        except (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError) as error:
            raise Failure("The worker process died on it (out of memory?).", code=DEAD) from error

    def rest(self, gone: Any) -> None:
        """End the worker after a while without work."""

        def end() -> None:
            self.kill()
            gone()

        self._timer = asyncio.get_running_loop().call_later(IDLE_S, end)

    def kill(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        # Close the pipes now: the loop may be gone before it hears that the process has ended.
        self._process._transport.close()  # type: ignore[attr-defined]
