"""Batches: many requests in a file, answered by one durable job at the pace that the providers allow.

A line is a request to our own face, made by the key that made the batch: the same limits, routes, cache, spans and ledger. A line
whose answer is on disk is never asked again; one under way when the server dies may be asked twice (at most as many as are
asked at once). Knows no provider and no wire format but the line's envelope.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Conflict, Error, Invalid, Missing
from genwright.gateway.media import store
from genwright.gateway.media.files import Files
from genwright.gateway.media.types import Batch, BatchItem
from genwright.jobs import JobContext, Jobs
from genwright.vocab import Scope, new_id

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway

ENDPOINTS = (
    "/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/moderations", "/v1/images/generations",
    "/v1/rerank", "/v1/messages",
)  # fmt: skip
MAX_LINES = 50_000
MAX_ERRORS = 100
"""Wrong lines that are named."""
STEP = 100
"""Lines of one durable step."""
AT_ONCE = 8
DAY_NS = 86_400 * 1_000_000_000
FINISHED = ("completed", "failed", "cancelled", "expired")


class Line(NamedTuple):
    number: int
    custom_id: str
    body: bytes


class Batches:
    def __init__(self, gateway: Gateway, files: Files, database: Database, jobs: Jobs, access: Any):
        self._gateway, self._files, self._database, self._jobs, self._access = gateway, files, database, jobs, access
        jobs.handler("gateway.batch", self._work)

    async def create(self, actor: Actor, input_file: str, endpoint: str, metadata: dict[str, str] | None = None) -> Batch:
        """Check the file and begin. A file with wrong lines gives a batch that has failed and names them; nothing was sent."""
        actor.need("call")
        if endpoint not in ENDPOINTS:
            raise Invalid(
                f"A batch cannot ask {endpoint[:100]!r}. Nothing was begun. Endpoints: {', '.join(ENDPOINTS)}.", param="endpoint"
            )
        data = await self._files.content(actor, input_file)
        lines, errors = await asyncio.to_thread(read_lines, data, endpoint)
        now, scope = clock.now_ns(), actor.scope
        row = Batch(
            scope.workspace, scope.project, new_id("batch"), "", endpoint, input_file, "failed" if errors else "in_progress",
            len(lines), now, actor.id, now + DAY_NS, ended_ns=now if errors else None, errors=errors, metadata=metadata or {},
        )  # fmt: skip
        if errors:
            await self._database.write(store.insert, store.batches, row)
            return row
        await self._database.write(store.insert, store.batches, row)
        job = await self._jobs.start(scope, "gateway.batch", {"batch": row.id}, by=actor.id)
        await self._database.write(_named, scope, row.id, job.id)
        return msgspec.structs.replace(row, job=job.id)

    async def get(self, scope: Scope, batch_id: str) -> Batch:
        row = await self._database.read(store.get, store.batches, Batch, scope, batch_id)
        if row is None:
            raise Missing(f"There is no batch '{batch_id[:100]}' here. GET /v1/batches lists them.", param="batch_id")
        return row if row.status in FINISHED or not row.job else await self._as_its_job(scope, row)

    async def _as_its_job(self, scope: Scope, row: Batch) -> Batch:
        """A job that was stopped on its own page, or that broke, takes its batch with it. Started again, it goes on."""
        job = await self._jobs.get(scope, row.job)
        if not job.finished or job.state == "done":
            return row
        ended = {"status": job.state, "ended_ns": clock.now_ns()}
        await self._database.write(_change, scope, row.id, (row.status,), ended)
        return msgspec.structs.replace(row, **ended)

    async def counts(self, scope: Scope, batch_id: str) -> tuple[int, int]:
        """(answered well, failed) so far."""
        return await self._database.read(store.counts, scope, batch_id)

    async def newest(self, scope: Scope, after: str = "", limit: int = 20) -> list[Batch]:
        """Newest first."""
        return await self._database.read(store.newest, store.batches, Batch, scope, after, limit, {})

    async def items(self, scope: Scope, batch_id: str, after: int = 0, limit: int = 100) -> list[BatchItem]:
        """Answers so far, by line."""
        await self.get(scope, batch_id)
        return await self._database.read(store.page_of_items, scope, batch_id, after, limit)

    async def cancel(self, actor: Actor, batch_id: str) -> Batch:
        """Ask no further line; what is under way is finished, and what was answered is put into the files."""
        actor.need("call")
        row = await self.get(actor.scope, batch_id)
        asked = await self._database.write(
            _change, actor.scope, batch_id, ("in_progress", "finalizing", "cancelling"), {"status": "cancelling"}
        )
        if not asked:
            raise Conflict(f"This batch has ended already ({row.status}). Nothing was changed.", retry="never")
        return msgspec.structs.replace(row, status="cancelling")

    # -- the job

    async def _work(self, job: JobContext) -> dict[str, Any]:
        batch = await self._database.read(store.get, store.batches, Batch, job.scope, str(job.arguments["batch"]))
        if batch is None:
            raise Missing("The batch is gone. Nothing was sent.")
        await self._database.write(
            _change, job.scope, batch.id, ("failed", "cancelled"), {"status": "in_progress", "ended_ns": None}
        )
        actor = await self._access.actor_by_id(job.scope, job.by)
        lines, _ = await asyncio.to_thread(read_lines, await self._files.content(actor, batch.input_file), batch.endpoint)
        pace, state = Pace(), "completed"
        for begin in range(0, len(lines), STEP):
            part = lines[begin : begin + STEP]
            state = await job.step(f"lines {begin + 1}", lambda part=part: self._answer(actor, batch, part, pace))  # type: ignore[misc]
            await job.progress(min(begin + STEP, len(lines)), len(lines), f"{batch.endpoint} for {batch.id}")
            if state != "completed":
                break
        return await job.step("files", lambda: self._finish(actor, batch, state))

    async def _answer(self, actor: Actor, batch: Batch, lines: list[Line], pace: Pace) -> str:
        """Ask the lines that have no answer yet. completed, or why it goes no further: cancelled, expired."""
        done = await self._database.read(store.done_lines, actor.scope, batch.id)
        left = iter([line for line in lines if line.number not in done])
        state = "completed"

        async def worker() -> None:
            nonlocal state
            for line in left:
                async with pace:
                    state = await self._state(actor.scope, batch)
                    if state != "completed":
                        return
                    item = await self._ask(actor, batch, line, pace)
                if item is None:  # time was up while waiting for a provider's limit
                    state = "expired"
                    return
                await self._database.write(store.put_items, actor.scope, batch.id, [item])

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())
        return state

    async def _state(self, scope: Scope, batch: Batch) -> str:
        if clock.now_ns() >= batch.expires_ns:
            return "expired"
        now = await self._database.read(store.get, store.batches, Batch, scope, batch.id)
        return "cancelled" if now is None or now.status == "cancelling" else "completed"

    async def _ask(self, actor: Actor, batch: Batch, line: Line, pace: Pace) -> BatchItem | None:
        while True:
            status, headers, body = await ask(self._gateway.asgi, actor, batch, line)
            if status != 429 or b"budget_exceeded" in body:
                return BatchItem(line.number, line.custom_id, status, headers.get(b"x-request-id", b"").decode("latin-1"), body)
            wait_s = float(headers.get(b"retry-after", b"1"))
            if clock.now_ns() + wait_s * 1e9 >= batch.expires_ns or await self._state(actor.scope, batch) != "completed":
                return None
            await pace.slower(wait_s)

    async def _finish(self, actor: Actor, batch: Batch, state: str) -> dict[str, Any]:
        """Write the files of what was answered and end the batch. Doing it again changes nothing."""
        now = await self.get(actor.scope, batch.id)
        if now.status in FINISHED:
            return {"batch": now.id, "status": now.status}
        good, failed = bytearray(), bytearray()
        after = 0
        while page := await self._database.read(store.page_of_items, actor.scope, batch.id, after, 1000):
            for item in page:
                (good if item.status < 400 else failed).extend(write_line(batch.id, item))
            after = page[-1].line
        names = {"output_file": good, "error_file": failed}
        changes: dict[str, Any] = {"status": state, "ended_ns": clock.now_ns()}
        for name, data in names.items():
            if data:
                file = await self._files.put(actor, f"{batch.id}_{name.removesuffix('_file')}.jsonl", "batch_output", bytes(data))
                changes[name] = file.id
        await self._database.write(_change, actor.scope, batch.id, (), changes)
        return {"batch": batch.id, "status": state}


class Pace:
    """How many lines are asked at once: fewer after a provider's or key's limit, slowly more again."""

    def __init__(self) -> None:
        self._most = float(AT_ONCE)
        self._at_work = 0
        self._until_s = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            while self._at_work >= max(1, int(self._most)):
                await self._changed.wait()
            self._at_work += 1
        await asyncio.sleep(max(0.0, self._until_s - clock.monotonic()))

    async def __aexit__(self, *ended: object) -> None:
        async with self._changed:
            self._at_work -= 1
            self._most = min(float(AT_ONCE), self._most + 1 / max(self._most, 1.0))
            self._changed.notify_all()

    async def slower(self, wait_s: float) -> None:
        """A limit was met: half as many, and nobody before the time that was named."""
        self._most = max(1.0, self._most / 2)
        self._until_s = max(self._until_s, clock.monotonic() + wait_s)
        await asyncio.sleep(wait_s)


async def ask(asgi: Any, actor: Actor, batch: Batch, line: Line) -> tuple[int, dict[bytes, bytes], bytes]:
    """One line as a request to our own face: (status, headers, body)."""
    headers = [(b"content-type", b"application/json"), (b"x-genwright-tags", f"batch={batch.id}".encode())]
    scope = {
        "type": "http", "method": "POST", "path": batch.endpoint, "query_string": b"", "headers": headers, "actor": actor,
    }  # fmt: skip
    sent: list[Any] = []
    bodies = [{"type": "http.request", "body": line.body, "more_body": False}]

    async def receive() -> Any:
        if bodies:
            return bodies.pop()
        await asyncio.Event().wait()  # nobody hangs up

    async def send(message: Any) -> None:
        sent.append(message)

    await asgi(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


def read_lines(data: bytes, endpoint: str) -> tuple[list[Line], list[dict[str, Any]]]:
    """(lines, what is wrong with them). A file without lines is wrong, too."""
    lines: list[Line] = []
    errors: list[dict[str, Any]] = []
    known: set[str] = set()
    for number, text in enumerate(data.split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            lines.append(_read_line(number, text, endpoint, known))
        except Error as error:
            errors.append({"code": error.code, "line": number, "message": error.message, "param": error.details.get("param")})
        if len(errors) >= MAX_ERRORS:
            break
    if not lines and not errors:
        errors.append({"code": "empty_file", "line": None, "message": "The file has no lines. Nothing was sent.", "param": None})
    if len(lines) > MAX_LINES:
        message = f"The file has more than {MAX_LINES:,} lines. Nothing was sent. Cut it into several."
        errors.append({"code": "too_many_lines", "line": None, "message": message, "param": None})
    return lines, errors


def _read_line(number: int, text: bytes, endpoint: str, known: set[str]) -> Line:
    try:
        item = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"Not JSON: {error}.", code="invalid_json_line") from None
    if not isinstance(item, dict) or not isinstance(item.get("body"), dict):
        raise Invalid("A line is an object with custom_id, method, url and body.", code="invalid_request", param="body")
    custom_id = item.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 512:
        raise Invalid("custom_id must be a text of 1 to 512 characters.", code="invalid_custom_id", param="custom_id")
    if custom_id in known:
        raise Invalid(f"custom_id {custom_id!r} stands on an earlier line, too.", code="duplicate_custom_id", param="custom_id")
    if item.get("method", "POST") != "POST" or item.get("url", endpoint) != endpoint:
        raise Invalid(f"All lines of this batch POST to {endpoint}.", code="mismatched_endpoint", param="url")
    if item["body"].get("stream"):
        raise Invalid("A batch's answers are not streamed: leave out stream.", code="invalid_request", param="body.stream")
    known.add(custom_id)
    return Line(number, custom_id, msgspec.json.encode(item["body"]))


def write_line(batch: str, item: BatchItem) -> bytes:
    """A line of the output: OpenAI's envelope around the answer."""
    body: Any = item.body.decode("utf-8", "replace")
    with contextlib.suppress(msgspec.DecodeError):
        body = msgspec.json.decode(item.body)
    response = {"status_code": item.status, "request_id": item.request_id, "body": body}
    line = {"id": f"{batch}_{item.line}", "custom_id": item.custom_id, "response": response, "error": None}
    return msgspec.json.encode(line) + b"\n"


def _change(connection: Any, scope: Scope, batch_id: str, only_in: tuple[str, ...], values: dict[str, Any]) -> bool:
    return store.change(connection, store.batches, scope, batch_id, only_in, **values)


def _named(connection: Any, scope: Scope, batch_id: str, job: str) -> bool:
    return store.change(connection, store.batches, scope, batch_id, (), job=job)
