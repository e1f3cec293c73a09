"""Worker processes: results, typed failures, the time limit, the end of one that dies, the end when idle."""

import asyncio
import os
import signal

import pytest

from genwright.retrieval import worker as worker_module
from genwright.retrieval.types import Chunk, Parsed
from genwright.retrieval.worker import DEAD, SLOW, Failure, Workers

SLOW_TEXT = ("A very long text without an end to it. " * 60_000).encode()


@pytest.fixture
async def workers():
    workers = Workers(1)
    yield workers
    workers.close()


def pids(workers):
    return [worker._process.pid for worker in workers._all]


async def test_one_process_answers_many_calls(workers):
    parsed = await workers.call("parse", b"# T\n\nwords", "a.md", "", timeout_s=30, shape=Parsed)
    assert (parsed.title, parsed.text) == ("T", "# T\n\nwords")
    first = pids(workers)
    results = await asyncio.gather(
        *(workers.call("parse", f"text {n}".encode(), "a.txt", "", timeout_s=30, shape=Parsed) for n in range(20))
    )
    assert [result.text for result in results] == [f"text {n}" for n in range(20)]
    assert pids(workers) == first
    with pytest.raises(Failure) as caught:
        await workers.call("parse", b"{", "a.json", "", timeout_s=30, shape=Parsed)
    assert caught.value.code == "broken"
    assert pids(workers) == first, "a document that cannot be read does not cost the worker"


async def test_too_slow_costs_the_worker_and_nothing_else(workers):
    parsed = b'{"text":"' + SLOW_TEXT + b'","title":"T","headings":[]}'
    with pytest.raises(Failure) as caught:
        await workers.call("chunk", parsed, "d", "n", {"size": 200, "overlap": 0}, timeout_s=1.0, shape=list[Chunk])
    assert caught.value.code == SLOW
    assert pids(workers) == []
    assert (await workers.call("parse", b"fine", "a.txt", "", timeout_s=30, shape=Parsed)).text == "fine"


async def test_a_worker_that_dies_is_replaced(workers):
    await workers.call("parse", b"x", "a.txt", "", timeout_s=30, shape=Parsed)
    (pid,) = pids(workers)
    parsed = b'{"text":"' + SLOW_TEXT + b'","title":"T","headings":[]}'
    call = asyncio.create_task(
        workers.call("chunk", parsed, "d", "n", {"size": 200, "overlap": 0}, timeout_s=60, shape=list[Chunk])
    )
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Failure) as caught:
        await call
    assert caught.value.code == DEAD
    assert (await workers.call("parse", b"fine", "a.txt", "", timeout_s=30, shape=Parsed)).text == "fine"


async def test_idle_workers_end(workers, monkeypatch):
    monkeypatch.setattr(worker_module, "IDLE_S", 0.05)
    await workers.call("parse", b"x", "a.txt", "", timeout_s=30, shape=Parsed)
    (worker,) = workers._all
    await asyncio.wait_for(worker._process.wait(), 10)
    assert pids(workers) == []
    assert (await workers.call("parse", b"again", "a.txt", "", timeout_s=30, shape=Parsed)).text == "again"
