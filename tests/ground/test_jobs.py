"""Jobs: durable steps, resume after SIGKILL, cancel, failure and second start, in this process and across real ones."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from genwright import jobs_engine
from genwright.errors import Conflict, Invalid, Missing
from genwright.jobs import Jobs
from genwright.vocab import Scope

HERE = Scope("default", "default")


@pytest.fixture
def database(databases):
    return databases["registry"]


@pytest.fixture
async def jobs(database, home):
    jobs = Jobs(database, home)
    yield jobs
    await jobs.stop()


async def test_a_job_runs_its_steps_and_shows_progress(jobs):
    async def handler(job):
        total = 0
        for number in range(3):

            async def add(number=number):
                return number + job.arguments["start"]

            total += await job.step(f"add {number}", add)
            await job.progress(number + 1, 3, f"added {number}")
        return {"total": total}

    jobs.handler("sum", handler)
    job = await jobs.start(HERE, "sum", {"start": 10}, by="me")
    assert job.state == "queued"
    job = await jobs.wait(HERE, job.id, 20)
    assert (job.state, job.result, job.done, job.total, job.created_by) == ("done", {"total": 33}, 3, 3, "me")
    assert [item.id for item in await jobs.list(HERE)] == [job.id]
    assert await jobs.list(Scope("other", "default")) == []
    with pytest.raises(Missing):
        await jobs.get(Scope("other", "default"), job.id)


async def test_unknown_kind_is_refused(jobs):
    with pytest.raises(Invalid, match="Nothing here does"):
        await jobs.start(HERE, "nothing", {})
    assert await jobs.list(HERE) == []
    assert await jobs.resume() == 0
    assert not jobs_engine.running(), "DBOS is started by work only"


async def test_a_failed_job_says_why_and_can_be_started_again(jobs):
    broken = True

    async def handler(job):
        async def work():
            if broken:
                raise Invalid("The disk is full. Nothing was kept. Make room.")
            return 7

        return {"value": await job.step("work", work)}

    jobs.handler("flaky", handler)
    job = await jobs.start(HERE, "flaky", {})
    job = await jobs.wait(HERE, job.id, 20)
    assert (job.state, job.error) == ("failed", "The disk is full. Nothing was kept. Make room.")
    broken = False
    again = await jobs.again(HERE, job.id)
    assert again.id == job.id
    job = await jobs.wait(HERE, job.id, 20)
    assert (job.state, job.result, job.error, job.attempt) == ("done", {"value": 7}, "", 2)
    with pytest.raises(Conflict):
        await jobs.again(HERE, job.id)


async def test_cancel_stops_it_and_it_stays_cancelled(jobs, database, home):
    began, ended = asyncio.Event(), []

    async def handler(job):
        async def work():
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            ended.append("slept")

        await job.step("work", work)
        return {}

    jobs.handler("long", handler)
    job = await jobs.start(HERE, "long", {})
    await asyncio.wait_for(began.wait(), 20)
    assert (await jobs.cancel(HERE, job.id)).state == "cancelled"
    await jobs.stop()
    second = Jobs(database, home)
    second.handler("long", handler)
    assert await second.resume() == 0
    assert (await second.get(HERE, job.id)).state == "cancelled"
    assert ended == ["cancelled"]


async def test_close_leaves_it_running_and_resume_goes_on(jobs, database, home):
    calls, began = [], asyncio.Event()
    hold = True

    async def handler(job):
        async def first():
            calls.append("first")
            return "one"

        async def second():
            calls.append("second")
            began.set()
            if hold:
                await asyncio.sleep(60)
            return "two"

        return {"got": [await job.step("first", first), await job.step("second", second)]}

    jobs.handler("two", handler)
    job = await jobs.start(HERE, "two", {})
    await asyncio.wait_for(began.wait(), 20)
    await jobs.stop()
    assert (await jobs.get(HERE, job.id)).state == "running"
    hold = False
    other = Jobs(database, home)
    other.handler("two", handler)
    assert await other.resume() == 1
    job = await other.wait(HERE, job.id, 20)
    await other.stop()
    assert (job.state, job.result) == ("done", {"got": ["one", "two"]})
    assert calls == ["first", "second", "second"], "an ended step is not run twice"


PROGRAM = """
    import asyncio, os, pathlib, signal, sys
    from genwright.db import Database
    from genwright.jobs import Jobs
    from genwright.vocab import Scope

    home = pathlib.Path(sys.argv[1])

    async def handler(job):
        for number in range(4):
            async def work(number=number):
                with (home / "log").open("a") as file:
                    file.write(f"{number}\\n")
                return number
            await job.step(f"step {number}", work)
            if number == 1 and sys.argv[2] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return {"ok": True}

    async def main():
        database = Database("registry", sys.argv[3] or f"sqlite:///{home}/registry.sqlite")
        jobs = Jobs(database, home)
        jobs.handler("steps", handler)
        if sys.argv[2] == "die":
            job = await jobs.start(Scope(), "steps", {})
        else:
            assert await jobs.resume() == 1
            job = (await jobs.list(Scope()))[0]
        print((await jobs.wait(Scope(), job.id, 30)).state)
        await jobs.stop()
        database.close()

    asyncio.run(main())
"""


def test_a_killed_process_leaves_a_job_that_goes_on(home, database_url):
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(home)]
    killed = subprocess.run([*program, "die", database_url], capture_output=True, timeout=60, env=os.environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    after = subprocess.run([*program, "resume", database_url], capture_output=True, timeout=60)
    assert after.stdout.decode().strip() == "done", after.stderr.decode()
    assert (home / "log").read_text().split() == ["0", "1", "2", "3"]
