"""The work of a run, as a durable job: ask every item once, score what came, attach the scores to the traces, sum up.

An item's row is written before it is asked and again with its answer. After a crash, items whose answer was recorded are not
asked again; those in flight are, and the row counts it. So the cost of a crash is at most `concurrency` calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock, failpoints, stats, vocab
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Error, Forbidden, Missing, Unauthenticated
from genwright.evals import measure, store
from genwright.evals.types import Passage, Run, RunItem
from genwright.gateway.types import Answer, Call
from genwright.messages import user
from genwright.stats import Estimate

if TYPE_CHECKING:
    from genwright.datasets.service import Datasets
    from genwright.gateway.service import Gateway
    from genwright.jobs import JobContext
    from genwright.tracing.service import Tracing

BATCH = 100
"""Items a step of the job; a step is what the job system remembers, items within it are remembered by their rows."""
ITEM_TIMEOUT_S = 300.0
_FATAL = (Missing, Forbidden, Unauthenticated)
"""What will not be different for the next item: the target is not there, or may not be called."""


class Runner:
    """Does the jobs of kind `evals.run`."""

    def __init__(self, database: Database, tracing: Tracing, gateway: Gateway, datasets: Datasets):
        self._database, self._tracing, self._gateway, self._datasets = database, tracing, gateway, datasets

    async def __call__(self, job: JobContext) -> dict[str, Any]:
        """Arguments: {"run", "actor": who started it}."""
        actor = actor_of(job.arguments["actor"], job.scope)
        run = await self._database.read(store.fetch_run, job.scope, job.arguments["run"])
        await self._update(run, {"state": "running", "job": job.id})
        _, rows = await self._datasets.read(job.scope, run.dataset, run.split or None)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]

            async def ask_and_score(start: int = start, batch: list[dict[str, Any]] = batch) -> int:
                await self._ask(job, actor, run, start, batch)
                await self._score(actor, run)
                return len(batch)

            await job.step(f"items {start + 1} to {start + len(batch)}", ask_and_score)
        await job.progress(len(rows), len(rows), "summing up")
        summary = await self._sum_up(run)
        await self._update(run, {"state": "done", "summary": summary, "finished_ns": clock.now_ns()})
        return {"run": run.id, "items": len(rows)}

    async def _update(self, run: Run, changes: dict[str, Any]) -> None:
        scope = vocab.Scope(run.workspace, run.project)
        await self._database.write(store.update_run, scope, run.id, changes)

    # -- asking

    async def _ask(self, job: JobContext, actor: Actor, run: Run, start: int, batch: Sequence[dict[str, Any]]) -> None:
        """Ask the items of a batch that have no recorded answer, `run.concurrency` at a time."""
        known = await self._database.read(store.recorded, actor.scope, run.id)
        waiting = iter([(start + offset, row) for offset, row in enumerate(batch) if row["id"] not in known])
        done = sum(row["id"] in known for row in batch)
        last = clock.monotonic()

        async def work(waiting: Iterator[tuple[int, dict[str, Any]]]) -> None:
            nonlocal done, last
            for position, row in waiting:
                await self._ask_one(actor, run, position, row)
                done += 1
                if clock.monotonic() - last > 0.25:
                    last = clock.monotonic()
                    await job.progress(start + done, run.total, row.get("question", "")[:80])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(run.concurrency):
                    group.create_task(work(waiting))
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None
        await job.progress(start + done, run.total, "scoring")

    async def _ask_one(self, actor: Actor, run: Run, position: int, row: dict[str, Any]) -> None:
        item = item_of(run, position, row)
        await self._database.write(store.begin_item, actor.scope, item)
        begin = clock.perf_ns()
        try:
            async with asyncio.timeout(ITEM_TIMEOUT_S):
                answer = await self._gateway.complete(actor, call_of(run, item))
            fill(item, answer)
        except TimeoutError:
            _fail(item, f"No answer within {ITEM_TIMEOUT_S:.0f} s.", "timeout")
        except _FATAL:
            raise
        except Error as error:  # the item's result; the run goes on
            _fail(item, error.message, error.code)
        item.latency_ns = clock.perf_ns() - begin
        await self._tracing.flush()  # a recorded answer has its trace, also after a crash
        failpoints.passing("evals.before_record")
        await self._database.write(store.end_item, actor.scope, item)
        failpoints.passing("evals.after_record")

    # -- scoring

    async def _score(self, actor: Actor, run: Run) -> None:
        """Score what has an answer and no scores yet; scores are on the traces before the items say that they are scored."""
        items = await self._database.read(store.unscored, actor.scope, run.id)
        await asyncio.to_thread(measure.score_items, run.metrics, items)
        await self._tracing.flush()
        for start in range(0, len(items), 16):
            await asyncio.gather(*(self._attach(actor, run, item) for item in items[start : start + 16]))
        await self._database.write(store.write_scores, actor.scope, run.id, items)

    async def _attach(self, actor: Actor, run: Run, item: RunItem) -> None:
        for name, value in (item.scores or {}).items():
            if value is None:
                continue
            comment = item.comments.get(name, "")
            try:
                await self._tracing.score(actor, item.trace_id, name, value, source="metric", comment=comment, run=run.id)
            except Missing:  # capture=off, or the call broke before it had a span: the item's row keeps the score
                return

    async def _sum_up(self, run: Run) -> dict[str, Estimate | None]:
        scope = vocab.Scope(run.workspace, run.project)
        scores = await self._database.read(store.fetch_scores, scope, run.id)
        return await asyncio.to_thread(summary_of, run.metrics, list(scores.values()))


def summary_of(metrics: Sequence[str], scores: Sequence[dict[str, float | None]]) -> dict[str, Estimate | None]:
    """Mean and interval of each metric over the items that it applies to."""
    found: dict[str, Estimate | None] = {}
    for name in metrics:
        values = [value for item in scores if (value := item.get(name)) is not None]
        found[name] = stats.bootstrap_mean(values) if values else None
    return found


def item_of(run: Run, position: int, row: dict[str, Any]) -> RunItem:
    """A dataset row as an item that is about to be asked."""
    topics = row.get("topics")
    return RunItem(
        workspace=run.workspace, project=run.project, run=run.id, item=row["id"], position=position,
        question=row["question"], reference=_text(row.get("answer")), trace_id=vocab.new_trace_id(),
        topics=[topic for topic in topics if isinstance(topic, str)] if isinstance(topics, list) else [],
    )  # fmt: skip


def call_of(run: Run, item: RunItem) -> Call:
    """The call of an item: its trace is known before it is made, so that a failure has one too."""
    return Call(
        model=run.pinned,
        messages=[user(item.question)],
        tags={"run": run.id, "item": item.item},
        attributes={vocab.RUN: run.id, vocab.DATASET: run.dataset},
        parent=(item.trace_id, ""),
    )


def fill(item: RunItem, answer: Answer) -> None:
    """What is kept of an answer."""
    item.state, item.answer = "answered", answer.message.text
    item.trace_id = answer.trace_id or item.trace_id
    item.cost_nano_usd = answer.cost_nano_usd
    if answer.usage is not None:
        item.tokens_in, item.tokens_out = answer.usage.input_tokens, answer.usage.output_tokens
    item.passages = passages_of(answer)


def passages_of(answer: Answer) -> list[Passage]:
    """The passages that an app says it answered from; none for plain models."""
    return msgspec.convert((answer.extra or {}).get("genwright", {}).get("passages") or [], list[Passage])


def _fail(item: RunItem, error: str, code: str) -> None:
    item.state, item.error, item.code = "failed", error, code


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def plain_actor(actor: Actor) -> dict[str, str]:
    """Who started a run, as its job keeps it."""
    return {"id": actor.id, "name": actor.name, "role": actor.role, "capture": actor.capture}


def actor_of(plain: dict[str, str], scope: vocab.Scope) -> Actor:
    """The house acting with the rights of who started the run."""
    return Actor(scope, plain["id"], plain["name"], "system", plain["role"], plain["capture"])  # type: ignore[arg-type]
