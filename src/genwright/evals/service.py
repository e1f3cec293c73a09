"""The verbs of evals: start and read runs, compare two, check safety, decide a gate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genwright import clock, vocab
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Conflict, Invalid
from genwright.evals import compare as comparing
from genwright.evals import measure, store
from genwright.evals import safety as safeguarding
from genwright.evals.gate import gate
from genwright.evals.run import Runner, plain_actor
from genwright.evals.types import (
    Comparison,
    GateResult,
    GateSpec,
    ItemPage,
    MetricRow,
    Run,
    RunPage,
    SafetyLimits,
    SafetyReport,
    Sample,
)
from genwright.vocab import Scope, new_id

if TYPE_CHECKING:
    from genwright.agents.types import Resolved
    from genwright.datasets.service import Datasets
    from genwright.gateway.service import Gateway
    from genwright.jobs import Jobs
    from genwright.registry.service import Registry
    from genwright.tracing.service import Tracing

__all__ = ["Evals", "gate"]

JOB = "evals.run"
MAX_LIMIT = 500
MAX_CONCURRENCY = 64


class Evals:
    """`database` is the registry database. `agents` and `guardrails` are needed for apps and for the safety stage."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        tracing: Tracing,
        gateway: Gateway,
        datasets: Datasets,
        jobs: Jobs,
        *,
        agents: Any = None,
        guardrails: Any = None,
    ):
        self._database, self._registry, self._tracing = database, registry, tracing
        self._gateway, self._datasets, self._jobs = gateway, datasets, jobs
        self._agents, self._guardrails = agents, guardrails
        jobs.handler(JOB, Runner(database, tracing, gateway, datasets))

    # -- runs

    async def start_run(
        self,
        actor: Actor,
        target: str,
        dataset_ref: str,
        *,
        split: str | None = None,
        metrics: Sequence[str] | None = None,
        name: str = "",
        concurrency: int = 4,
    ) -> Run:
        """Queue a run of a target over a dataset version; it is on disk when this returns.

        An app is pinned to the release that its label names now, so a label that moves does not change the run. Raises Missing
        (target, dataset, split, metric), Invalid (rows without a question), NeedsExtra (a metric's package).
        """
        actor.need("call")
        actor.need("score")
        if not 1 <= concurrency <= MAX_CONCURRENCY:
            raise Invalid(f"concurrency is {concurrency}; it must be 1–{MAX_CONCURRENCY}. Nothing was started.")
        names, notes = await asyncio.to_thread(measure.choose, metrics)
        version, rows = await self._datasets.read(actor.scope, dataset_ref, split)
        bad = next((row["id"] for row in rows if not isinstance(row.get("question"), str) or not row["question"].strip()), None)
        if bad is not None:
            raise Invalid(f"Row '{bad}' of {dataset_ref} has no question. Nothing was started.", code="no_question", row=bad)
        resolved = await self.resolve(actor.scope, target)
        run = Run(
            workspace=actor.scope.workspace, project=actor.scope.project, id=new_id("run"), name=name, target=target,
            pinned=_pinned(target, resolved), release=resolved.ref if resolved else "", dataset=version.ref,
            dataset_number=version.number, split=split or "", metrics=names, concurrency=concurrency, total=len(rows),
            notes=notes, created_ns=clock.now_ns(), created_by=actor.id,
        )  # fmt: skip
        await self._database.write(store.insert_run, run)
        job = await self._jobs.start(actor.scope, JOB, {"run": run.id, "actor": plain_actor(actor)}, by=actor.id)
        await self._database.write(store.update_run, actor.scope, run.id, {"job": job.id})
        run.job = job.id
        return run

    async def resolve(self, scope: Scope, target: str) -> Resolved | None:
        """What an app's target stands for; None for a plain model. Raises Missing."""
        first, _, rest = target.partition("/")
        if first != "app" or self._agents is None:
            return None
        name, _, selector = rest.partition("@")
        return await self._agents.resolve(scope, name, selector or None)

    async def run(self, scope: Scope, run_id: str) -> Run:
        """A run as it stands now. Raises Missing."""
        found = await self._database.read(store.fetch_run, scope, run_id)
        return await self._with_job(scope, found)

    async def runs(self, scope: Scope, *, target: str = "", cursor: str | None = None, limit: int = 50) -> RunPage:
        """Runs, newest first; `target` is the beginning of what was asked for."""
        limit = max(1, min(limit, MAX_LIMIT))
        found = await self._database.read(store.fetch_runs, scope, target, cursor or "", limit + 1)
        shown = [await self._with_job(scope, run) for run in found[:limit]]
        return RunPage(shown, shown[-1].id if len(found) > limit else None)

    async def items(self, scope: Scope, run_id: str, *, state: str = "", cursor: str | None = None, limit: int = 50) -> ItemPage:
        """Items of a run in the order of the dataset; `state` answered, failed or asking. Raises Missing."""
        await self._database.read(store.fetch_run, scope, run_id)
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise Invalid("This cursor is not one of ours. Begin again without a cursor.", field="cursor")
        limit = max(1, min(limit, MAX_LIMIT))
        found = await self._database.read(store.fetch_items, scope, run_id, int(cursor or -1), limit + 1, state)
        return ItemPage(found[:limit], str(found[limit - 1].position) if len(found) > limit else None)

    async def wait(self, scope: Scope, run_id: str, timeout_s: float = 600.0) -> Run:
        """The run once it is finished, or as it is after `timeout_s`."""
        run = await self.run(scope, run_id)
        if run.job and run.state in ("queued", "running"):
            await self._jobs.wait(scope, run.job, timeout_s)
        return await self.run(scope, run_id)

    async def _with_job(self, scope: Scope, run: Run) -> Run:
        """A run whose job ended otherwise than well says so."""
        if run.state in ("queued", "running") and run.job:
            job = await self._jobs.get(scope, run.job)
            if job.state in ("failed", "cancelled"):
                run.state, run.error = job.state, job.error  # type: ignore[assignment]
        return run

    # -- what runs say

    def metrics(self) -> list[MetricRow]:
        """All metrics with their cards."""
        return measure.rows()

    async def compare(self, scope: Scope, run_a: str, run_b: str) -> Comparison:
        """Run b (candidate) beside run a (baseline), paired by item. Raises Invalid for runs over other data, Conflict for
        runs that are not done."""
        a, b = await self.run(scope, run_a), await self.run(scope, run_b)
        for run in (a, b):
            if run.state != "done":
                raise Conflict(f"Run {run.id} is {run.state}. Nothing was compared. Wait until it is done.", code="not_done")
        comparing.check(a, b)
        scores_a = await self._database.read(store.fetch_scores, scope, a.id)
        scores_b = await self._database.read(store.fetch_scores, scope, b.id)
        paired = await asyncio.to_thread(comparing.Paired, a, b, scores_a, scores_b)
        most = paired.differing()
        items_a = await self._database.read(store.fetch_some, scope, a.id, [name for name, _ in most])
        items_b = await self._database.read(store.fetch_some, scope, b.id, [name for name, _ in most])
        return paired.report(most, items_a, items_b)

    async def measure_answer(self, metric: str, question: str, answer: str) -> float:
        """A metric of one answer, where it needs no reference and no passages. Raises Missing, and Invalid where it does."""
        sample = Sample(question=question, answer=answer)
        found = (await asyncio.to_thread(lambda: measure.make(metric).score([sample])))[0]
        if found.value is None:
            raise Invalid(f"{metric} says nothing about an answer alone: {found.comment or 'it needs a reference or passages'}.")
        return found.value

    async def safety(
        self, actor: Actor, target: str, *, resolved: Resolved | None = None, limits: SafetyLimits | None = None
    ) -> SafetyReport:
        """Run the small safety suites against a target. `resolved` saves resolving an app that is not released yet."""
        actor.need("call")
        found = resolved or await self.resolve(actor.scope, target)
        stage = safeguarding.Stage(self._gateway, self._guardrails, actor, _pinned(target, found), found)
        return await stage.run(target, limits or SafetyLimits())

    async def gate(
        self,
        scope: Scope,
        candidate_run: str | None,
        baseline_run: str | None,
        safety: SafetyReport | None,
        spec: GateSpec | dict[str, Any],
    ) -> GateResult:
        """Decide about a candidate by its run, the baseline's run over the same data, and its safety report."""
        comparison = await self.compare(scope, baseline_run, candidate_run) if candidate_run and baseline_run else None
        run = await self.run(scope, candidate_run) if candidate_run else None
        return gate(comparison, safety, spec, run)


def _pinned(target: str, resolved: Resolved | None) -> str:
    """The target by digest. A draft stays a draft: it has no digest that could be called."""
    if resolved is None or vocab.Ref.parse(resolved.ref).kind != "release":
        return target
    return f"app/{resolved.name}@{resolved.digest}"
