"""A fit in a process of its own, so that the server's loop and memory do not notice. One process a fit; it holds no database.

Parent and child exchange frames: four bytes of length, then msgpack. The child is killed where the caller is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from genwright.errors import Error, Invalid, Unavailable

TIMEOUT_S = 3_600.0
NICE = 5
"""Calls go before fits."""


class Task(msgspec.Struct):
    """What is to be fitted."""

    rows: bytes
    """JSONL of Examples."""
    names: dict[str, str]
    costs: dict[str, tuple[float, str]]
    source: str


def main() -> None:
    """In the child: one task from standard input, frames to standard output. What libraries print goes to standard error."""
    outward = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(NICE)

    def send(frame: dict[str, Any]) -> None:
        data = msgspec.msgpack.encode(frame)
        outward.write(len(data).to_bytes(4) + data)
        outward.flush()

    try:
        task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
        send({"weights": _fit(task, lambda done, total, what: send({"done": done, "total": total, "what": what}))})
    except Error as error:
        send({"error": error.message, "code": error.code})
    except MemoryError:
        send({"error": "It needs more memory than there is. Nothing was kept. Give fewer rows.", "code": "too_large"})
    except Exception as error:  # the request edge of this process
        send({"error": f"The fit broke: {type(error).__name__}: {str(error)[:300]}. Nothing was kept.", "code": "broken"})


def _fit(task: Task, progress: Callable[[int, int, str], None]) -> bytes:
    from genwright.gateway.learned import fit, weights

    fitted = fit.fit(fit.prepare(read_rows(task.rows), task.names), task.costs, task.source, progress)
    return weights.dump(fitted.blend, fitted.surface, fitted.card)


def read_rows(data: bytes) -> list[Any]:
    """JSONL as Examples. Raises Invalid naming the line."""
    from genwright.gateway.learned.types import Example

    decoder, found = msgspec.json.Decoder(Example), []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(decoder.decode(line))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Invalid(
                f"Line {number} does not fit: {error}. Nothing was fitted. A line is "
                '{"prompt": "…", "answers": {"PROVIDER/MODEL": {"score": 1, "cost_usd": 0.002}, …}}.',
                code="invalid_rows",
            ) from error
    return found


async def run(task: Task, progress: Callable[[int, int, str], Awaitable[None]]) -> bytes:
    """In the server: the weights. Raises Invalid with what the child said, Unavailable where it died."""
    command = (sys.executable, "-c", "from genwright.gateway.learned.worker import main; main()")
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            child.stdin.write(msgspec.msgpack.encode(task))
            child.stdin.write_eof()
            while True:
                frame = msgspec.msgpack.decode(await child.stdout.readexactly(int.from_bytes(await child.stdout.readexactly(4))))
                if "weights" in frame:
                    return frame["weights"]
                if "error" in frame:
                    raise Invalid(frame["error"], code=frame["code"])
                await progress(frame["done"], frame["total"], frame["what"])
    except TimeoutError as error:
        raise Unavailable(
            f"The fit took longer than {TIMEOUT_S:g} s. Nothing was kept. Give fewer rows.", code="too_slow"
        ) from error
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Unavailable("The fit's process died (out of memory?). Nothing was kept. Give fewer rows.", code="died") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
