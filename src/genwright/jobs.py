"""Long work that survives a crash: durable jobs on DBOS, which runs only while there is work.

A room registers a handler for its kind of job; `start` writes a row and returns at once. The handler runs on the server's event
loop. Each `await job.step(name, function)` is recorded when it ends: after a crash the handler runs again from the top and gets
the recorded results of the steps that had ended, in the same order. So a handler does its work inside steps, asks for them one
after the other, and a step's result is plain data (JSON).

The row in `jobs` is what people see (state, progress, result, why it failed). DBOS keeps its own records beside it: on SQLite in
`jobs.sqlite` in the home folder, on PostgreSQL in the schema `dbos`. One DBOS can live in a process; it is launched at the first
job (or at a restart with unfinished jobs), and ended after a minute without work, so an idle server does not poll.
Knows no kind of job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError as Stopped
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import clock, jobs_engine
from genwright.db import REGISTRY, Database, Json, scoped
from genwright.errors import Conflict, Error, Invalid, Missing
from genwright.vocab import Scope, new_id

log = logging.getLogger("genwright.jobs")

UNFINISHED = ("queued", "running")
FINISHED = ("done", "failed", "cancelled")
MAX_LIST = 500

jobs_table = sa.Table(
    "jobs",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("arguments", Json, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("done", sa.BigInteger, nullable=False, default=0),
    sa.Column("total", sa.BigInteger, nullable=False, default=0),
    sa.Column("message", sa.Text, nullable=False, default=""),
    sa.Column("result", Json),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("attempt", sa.Integer, nullable=False, default=1),
    sa.Column("created_by", sa.Text, nullable=False, default=""),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
    sa.Index("jobs_by_time", "workspace", "project", "id"),
    sa.Index("jobs_by_state", "state"),
)


class Job(msgspec.Struct, kw_only=True):
    """One piece of long work, as its row says."""

    workspace: str
    project: str
    id: str
    kind: str
    """What the handler was registered as, e.g. `retrieval.build`."""
    arguments: dict[str, Any]
    state: str
    """queued, running, done, failed or cancelled."""
    done: int = 0
    """Items done so far."""
    total: int = 0
    """Items in all; 0 while unknown."""
    message: str = ""
    """What it is doing now, for people."""
    result: dict[str, Any] | None = None
    """What the handler returned."""
    error: str = ""
    """Why it failed."""
    attempt: int = 1
    """1, and one more for each time it was started again."""
    created_by: str = ""
    created_ns: int = 0
    updated_ns: int = 0

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def scope(self) -> Scope:
        return Scope(self.workspace, self.project)


class JobContext:
    """What a handler is given: its arguments, and the two verbs `step` and `progress`."""

    def __init__(self, jobs: Jobs, job: Job, requests: queue.SimpleQueue):
        self.scope = job.scope
        self.id = job.id
        self.kind = job.kind
        self.arguments = job.arguments
        self.by = job.created_by
        self._jobs = jobs
        self._requests = requests

    async def step(self, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run `function()` and record its result (plain data); after a crash give the recorded one back. Its error is raised."""
        step = _Step(name, function)
        self._requests.put(step)
        try:
            return await asyncio.wrap_future(step.reply)
        except asyncio.CancelledError:
            step.abandon()
            raise

    async def progress(self, done: int, total: int, message: str = "") -> None:
        """Tell people how far it is."""
        await self._jobs.database.write(update, self.id, {"done": done, "total": total, "message": message})


class _Step:
    """One step on its way from the handler to DBOS's thread and back."""

    def __init__(self, name: str, function: Callable[[], Awaitable[Any]]):
        self.name = name
        self.function = function
        self.reply: Future[Any] = Future()
        self.error: Exception | None = None
        self._abandoned = False
        self._running: Future[Any] | None = None

    def abandon(self) -> None:
        """The handler was cancelled: stop the work and record nothing."""
        self._abandoned = True
        if self._running is not None:
            self._running.cancel()

    def run(self, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        """In DBOS's thread: the value or the error as data, so that both are recorded as JSON."""

        async def call() -> Any:
            if self._abandoned:
                raise asyncio.CancelledError
            return await self.function()

        try:
            self._running = asyncio.run_coroutine_threadsafe(call(), loop)
            return {"value": self._running.result()}
        except Stopped as stopped:
            raise jobs_engine.Interrupted from stopped
        except Exception as error:
            self.error = error
            return {"error": _why(error), "code": getattr(error, "code", "internal")}

    def answer(self, outcome: dict[str, Any]) -> None:
        """Give the outcome, fresh or recorded, to the handler."""
        if not self.reply.set_running_or_notify_cancel():
            return
        if "error" in outcome:
            self.reply.set_exception(self.error or Error(outcome["error"], code=outcome["code"]))
        else:
            self.reply.set_result(outcome["value"])


Handler = Callable[[JobContext], Awaitable[dict[str, Any]]]


class Jobs:
    """All jobs of one server. Made on the server's event loop; `resume` once all handlers are registered, `stop` at the end."""

    def __init__(self, database: Database, home: Path | str):
        self.database = database
        self.home = Path(home)
        self._handlers: dict[str, Handler] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._watchers: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    # -- what rooms call

    def handler(self, kind: str, function: Handler) -> None:
        """Name the function that does this kind of job."""
        self._handlers[kind] = function

    async def start(self, scope: Scope, kind: str, arguments: dict[str, Any], *, by: str = "") -> Job:
        """Queue a job; it is on disk when this returns. `arguments` is plain data."""
        if kind not in self._handlers:
            raise Invalid(f"Nothing here does jobs of kind '{kind}'. Kinds are: {', '.join(sorted(self._handlers)) or 'none'}.")
        now = clock.now_ns()
        job = Job(
            workspace=scope.workspace, project=scope.project, id=new_id("job"), kind=kind, arguments=arguments,
            state="queued", created_by=by, created_ns=now, updated_ns=now,
        )  # fmt: skip
        await self.database.write(insert, job)
        await self._begin(job)
        return job

    async def again(self, scope: Scope, job_id: str) -> Job:
        """Start a failed or cancelled job once more. What its rooms have kept is not done twice."""
        job = await self.get(scope, job_id)
        if job.state not in ("failed", "cancelled"):
            raise Conflict(f"Job {job_id} is {job.state}; only a failed or cancelled one can be started again.")
        changes = {"state": "queued", "error": "", "message": "", "attempt": job.attempt + 1}
        if not await self.database.write(update, job_id, changes, ("failed", "cancelled")):
            raise Conflict(f"Job {job_id} was started again by somebody else.")
        job = await self.get(scope, job_id)
        await self._begin(job)
        return job

    async def get(self, scope: Scope, job_id: str) -> Job:
        job = await self.database.read(fetch, scope, job_id)
        if job is None:
            raise Missing(f"There is no job {job_id} here.")
        return job

    async def list(
        self, scope: Scope, *, state: str = "", kind: str = "", cursor: str | None = None, limit: int = 50
    ) -> Sequence[Job]:
        """Newest first; `cursor` is the id of the last one seen."""
        return await self.database.read(fetch_list, scope, state, kind, cursor, min(limit, MAX_LIST))

    async def cancel(self, scope: Scope, job_id: str) -> Job:
        """Stop a job at once. What it had finished stays; a finished job is left as it is."""
        job = await self.get(scope, job_id)
        if await self.database.write(update, job_id, {"state": "cancelled", "message": "cancelled"}, UNFINISHED):
            await asyncio.to_thread(jobs_engine.cancel, self, _workflow_id(job))
            if task := self._tasks.get(job_id):
                task.cancel()
            self._announce(job_id)
        return await self.get(scope, job_id)

    async def wait(self, scope: Scope, job_id: str, timeout_s: float = 600.0) -> Job:
        """The job once it is finished, or as it is after `timeout_s`."""
        until = clock.monotonic() + timeout_s
        event = self._watchers.setdefault(job_id, asyncio.Event())
        while not (job := await self.get(scope, job_id)).finished and (left := until - clock.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(left, 5.0))
        if job.finished:
            self._watchers.pop(job_id, None)
        return job

    # -- life of the server

    async def resume(self) -> int:
        """Go on with the jobs that a crash or stop has left unfinished; how many. Starts DBOS only if there are any."""
        left = [job for job in await self.database.read(fetch_unfinished) if job.kind in self._handlers]
        for job in left:
            await self._begin(job)
        return len(left)

    async def stop(self) -> None:
        """Stop at once, keeping what is recorded: the next `resume` goes on from there."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(jobs_engine.release, self)

    # -- within

    async def _begin(self, job: Job) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            state = await asyncio.to_thread(jobs_engine.start, self, _workflow_id(job), job.id)
        except Error as error:
            await self.database.write(update, job.id, {"state": "failed", "error": error.message}, UNFINISHED)
            raise
        if state == jobs_engine.GAVE_UP:
            why = (
                f"The server died {jobs_engine.MAX_ATTEMPTS} times during this job, so it was given up. It can be started again."
            )
            await self.database.write(update, job.id, {"state": "failed", "error": why}, UNFINISHED)

    def drive(self, job_id: str) -> dict[str, Any]:
        """Called by DBOS in a thread of its own: runs the handler on the event loop, and its steps as steps of DBOS."""
        assert self._loop is not None
        requests: queue.SimpleQueue = queue.SimpleQueue()
        asyncio.run_coroutine_threadsafe(self._run(job_id, requests), self._loop)
        while (step := requests.get()) is not None:
            step.answer(jobs_engine.run_step(step.name, step.run, self._loop))
        if self._closing:
            raise jobs_engine.Interrupted
        return {}

    async def _run(self, job_id: str, requests: queue.SimpleQueue) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[job_id] = task
        try:
            job = await self.database.write(claim, job_id)
            if job is not None:  # else it had finished, and only DBOS did not know
                result = await self._handlers[job.kind](JobContext(self, job, requests))
                done = {"state": "done", "result": result, "message": ""}
                await self.database.write(update, job_id, done, UNFINISHED)
        except asyncio.CancelledError:
            pass  # cancelled by a person (the row says so) or by stop (the row stays running, and resume goes on)
        except Exception as error:
            if not self._closing:
                if not isinstance(error, Error):
                    log.exception("job %s failed", job_id)
                await self.database.write(update, job_id, {"state": "failed", "error": _why(error)}, UNFINISHED)
        finally:
            self._tasks.pop(job_id, None)
            self._announce(job_id)
            requests.put(None)

    def _announce(self, job_id: str) -> None:
        if event := self._watchers.get(job_id):
            event.set()


def _workflow_id(job: Job) -> str:
    return f"{job.id}.{job.attempt}"


def _why(error: BaseException) -> str:
    return error.message if isinstance(error, Error) else f"{type(error).__name__}: {error}"


# -- the table's queries


def insert(connection: Connection, job: Job) -> None:
    connection.execute(jobs_table.insert().values(msgspec.structs.asdict(job)))


def update(connection: Connection, job_id: str, changes: dict[str, Any], only_in: tuple[str, ...] = ()) -> bool:
    """Change a row (if it is in one of the states `only_in`); whether there was one to change. The id is the server's own."""
    statement = jobs_table.update().where(jobs_table.c.id == job_id)
    if only_in:
        statement = statement.where(jobs_table.c.state.in_(only_in))
    return connection.execute(statement.values(updated_ns=clock.now_ns(), **changes)).rowcount > 0


def claim(connection: Connection, job_id: str) -> Job | None:
    """Mark an unfinished job as running and return it; None if it has finished."""
    if not update(connection, job_id, {"state": "running"}, UNFINISHED):
        return None
    return _job(connection.execute(sa.select(jobs_table).where(jobs_table.c.id == job_id)).one())


def fetch(connection: Connection, scope: Scope, job_id: str) -> Job | None:
    row = connection.execute(_within(scope).where(jobs_table.c.id == job_id)).one_or_none()
    return None if row is None else _job(row)


def fetch_list(connection: Connection, scope: Scope, state: str, kind: str, cursor: str | None, limit: int) -> list[Job]:
    query = _within(scope)
    if state:
        query = query.where(jobs_table.c.state == state)
    if kind:
        query = query.where(jobs_table.c.kind == kind)
    if cursor:
        query = query.where(jobs_table.c.id < cursor)
    return [_job(row) for row in connection.execute(query.order_by(jobs_table.c.id.desc()).limit(limit))]


def fetch_unfinished(connection: Connection) -> list[Job]:
    """Of all workspaces: only for the server's own restart."""
    query = sa.select(jobs_table).where(jobs_table.c.state.in_(UNFINISHED)).order_by(jobs_table.c.id)
    return [_job(row) for row in connection.execute(query)]


def _within(scope: Scope) -> sa.Select:
    return sa.select(jobs_table).where(jobs_table.c.workspace == scope.workspace, jobs_table.c.project == scope.project)


def _job(row: sa.Row) -> Job:
    return Job(**row._mapping)
