"""The verbs of learned routing: fit a router as a job, show it, choose a point, what it saved, whether prompts have moved.

A learned router is a route whose tree has a node `learned`; the fitted weights, with their card, are a blob. Choosing another
point writes a new version of the route over the same weights. Decides no call: that is node.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock, prices
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Invalid, Missing, TooLarge
from genwright.gateway.learned import savings, traces, worker
from genwright.gateway.learned.node import Learned as LearnedNode
from genwright.gateway.learned.readings import Readings
from genwright.gateway.learned.types import Card, Chosen, Drift, Router, Saving, Use
from genwright.gateway.routing import tree
from genwright.jobs import Job, JobContext, Jobs
from genwright.prices import Usage
from genwright.registry.types import Version
from genwright.vocab import NAME, Scope

if TYPE_CHECKING:
    from genwright.blobs import Blobs
    from genwright.gateway.service import Gateway

KIND = "gateway.fit_router"
TAG = "learned"
MAX_BYTES = 64_000_000
DEFAULT_POINT = {"keep": 0.95}
ASSUMED_OUTPUT = 300
"""Output tokens of a call whose cost is taken from a price list."""


class FitRouter(msgspec.Struct, frozen=True):
    """What a fit is told besides its rows."""

    name: str
    """Of the route that is written."""
    source: str = ""
    """Where the rows are from, in words or as a ref: for the card."""
    costs: dict[str, float] = {}
    """PROVIDER/MODEL → dollars a call, where the rows do not say; only ratios matter to the choice."""
    models: dict[str, str] = {}
    """Name in the rows → PROVIDER/MODEL or route/NAME."""
    point: dict[str, float] = {}
    """What to choose at once; {"keep": 0.95} where nothing is said."""


class Learned:
    """Registers its job with `jobs`, and itself as what routes read prompts by."""

    def __init__(self, gateway: Gateway, databases: dict[str, Database], tracing: Any, blobs: Blobs, jobs: Jobs, access: Any):
        self._gateway, self._ledger, self._tracing, self._blobs = gateway, databases["ledger"], tracing, blobs
        self._registry, self._jobs, self._access = tracing.registry, jobs, access
        self.readings = Readings(databases["registry"], blobs)
        gateway.router.means.learned = self.readings
        jobs.handler(KIND, self._work)

    # -- fitting

    async def fit(self, actor: Actor, asked: FitRouter, rows: bytes) -> Job:
        """Fit a router to rows (JSONL of Examples) and write the route, as a job. Raises Invalid naming the line."""
        actor.need("write")
        _check(asked)
        if len(rows) > MAX_BYTES:
            raise TooLarge(f"The rows have {len(rows):,} bytes of at most {MAX_BYTES:,}. Nothing was fitted.")
        await asyncio.to_thread(worker.read_rows, rows)
        digest = await asyncio.to_thread(self._blobs.put, actor.scope, rows)
        told = msgspec.to_builtins(asked)
        return await self._jobs.start(actor.scope, KIND, {"asked": told, "rows": digest}, by=actor.id)

    async def fit_from_traces(self, actor: Actor, asked: FitRouter, want: traces.FromTraces) -> Job:
        """The same with rows made of traces that have a score. Raises Invalid where there are too few."""
        actor.need("write")
        actor.need("read")
        _check(asked)
        examples = await traces.examples(self._tracing, actor.scope, want)
        rows = b"\n".join(msgspec.json.encode(example) for example in examples)
        source = asked.source or f"traces scored '{want.score}'" + (f" of {want.app}" if want.app else "")
        return await self.fit(actor, msgspec.structs.replace(asked, source=source), rows)

    async def _work(self, job: JobContext) -> dict[str, Any]:
        asked = msgspec.convert(job.arguments["asked"], FitRouter)
        rows = job.arguments["rows"]
        weights = await job.step("fit", lambda: self._fit(job, asked, rows))

        async def keep() -> dict[str, Any]:
            actor = await self._access.actor_by_id(job.scope, job.by)
            version = await self._keep(actor, asked, weights, rows)
            return {"route": f"route/{version.name}", "number": version.number, "digest": version.digest, "weights": weights}

        return await job.step("keep", keep)

    async def _fit(self, job: JobContext, asked: FitRouter, rows: str) -> str:
        data = await asyncio.to_thread(self._blobs.get, job.scope, rows)
        costs = await self._costs(job.scope, asked, data)
        source = f"{asked.source}, rows {rows}" if asked.source else rows
        weights = await worker.run(worker.Task(data, asked.models, costs, source), job.progress)
        return await asyncio.to_thread(self._blobs.put, job.scope, weights)

    async def _costs(self, scope: Scope, asked: FitRouter, data: bytes) -> dict[str, tuple[float, str]]:
        """Dollars a call of each model as far as they are known: as given, else by the price in force."""
        examples = await asyncio.to_thread(worker.read_rows, data)
        book = await self._gateway.prices.book(scope)
        size = sum(len(example.prompt) for example in examples) // (4 * max(1, len(examples)))
        found: dict[str, tuple[float, str]] = {}
        for model in {asked.models.get(name, name) for example in examples for name in example.answers}:
            provider, slash, rest = model.partition("/")
            if model in asked.costs:
                found[model] = (asked.costs[model], "given")
            elif slash:
                service = await self._gateway.reports.service_of(scope, provider)
                price = prices.price(service, rest, Usage(max(1, size), ASSUMED_OUTPUT), clock.now_ns(), book, provider)
                if price is not None:
                    found[model] = (price.nano_usd / 1e9, f"{price.source}, {ASSUMED_OUTPUT} tokens of output assumed")
        return found

    async def _keep(self, actor: Actor, asked: FitRouter, weights: str, rows: str) -> Version:
        loaded = await asyncio.to_thread(self.readings.loaded, actor.scope, weights)
        card: Card = loaded.card
        node = {
            "type": "learned",
            "arms": [
                {"name": cost.model, "node": cost.model, "usd": cost.usd, "latency_s": cost.latency_s or 0.0}
                for cost in card.models
            ],
            "weights": weights, "rows": rows, "unsure": card.strong, "lies": msgspec.to_builtins(card.lies),
            **await self._point(loaded, dict(asked.point or DEFAULT_POINT), 0.0),
        }  # fmt: skip
        note = f"Fitted to {card.rows:,} rows: {asked.source}" if asked.source else f"Fitted to {card.rows:,} rows"
        version = await self._gateway.router.put(actor, asked.name, {"root": node}, note=note[:500])
        await self._registry.describe(actor, "route", asked.name, tags=[TAG])
        return version

    # -- reading

    async def list(self, scope: Scope) -> list[Router]:
        """The learned routes of the project; those that this room fitted."""
        page = await self._registry.list(scope, "route", tag=TAG, limit=200)
        found = []
        for item in page.items:
            version = await self._gateway.router.get(scope, item.name)
            node = _node(version.content)
            if node is not None:
                found.append(_shown(version, node, None))
        return found

    async def show(self, scope: Scope, name: str, selector: str = "") -> Router:
        """A learned route with its card. Raises Missing, and Invalid for a route without a learned node."""
        version, node = await self._find(scope, name, selector)
        return _shown(version, node, (await self._loaded(scope, node)).card)

    async def point(
        self, scope: Scope, name: str, asked: dict[str, float], per_second: float = 0.0, selector: str = ""
    ) -> Chosen:
        """What a point is worth, with intervals; nothing is changed. `asked`: one of keep, gap, usd. Raises Invalid."""
        _, node = await self._find(scope, name, selector)
        found = await self._point(await self._loaded(scope, node), asked, per_second)
        return msgspec.convert(found["chosen"], Chosen)

    def in_use(self, found: Router) -> Chosen:
        """The point of a route as it was worth when it was chosen."""
        return msgspec.convert(found.chosen, Chosen)

    # -- changing

    async def use(self, actor: Actor, name: str, want: Use) -> Version:
        """A new version of the route with another point, over the same weights. Raises Invalid, Missing."""
        version, node = await self._find(actor.scope, name, want.selector)
        changes = await self._point(await self._loaded(actor.scope, node), want.asked, want.per_second)
        if want.unsure:
            changes["unsure"] = want.unsure
        if want.far is not None:
            changes["far"] = want.far
        words = ", ".join(f"{word} {value:g}" for word, value in want.asked.items())
        return await self._gateway.router.put(actor, version.name, _with(version.content, changes), note=f"Point: {words}")

    async def _point(self, loaded: Any, asked: dict[str, float], per_second: float) -> dict[str, Any]:
        """Fields of the node for a point."""
        from genwright.gateway.learned import frontier

        def find() -> Chosen:
            points = loaded.card.frontier if not per_second else frontier.sweep(loaded.surface, per_second)
            best = frontier.pick(points, asked)
            return frontier.chosen(loaded.surface, best.lam, asked, per_second)

        if per_second and any(cost.latency_s is None for cost in loaded.card.models):
            raise Invalid("The rows had no latencies, so a second has no price here. Nothing was changed.", code="no_latency")
        found = await asyncio.to_thread(find)
        chosen = {**msgspec.to_builtins(found), "strong": loaded.card.strong, "cheap": loaded.card.cheap}
        return {"lam": found.point.lam, "per_second": per_second, "chosen": chosen}

    # -- afterwards

    async def saving(self, actor: Actor, name: str, since_ns: int = 0) -> Saving:
        """What the route's calls cost, beside its strongest model alone. Raises Missing, Invalid."""
        actor.need("read")
        version, node = await self._find(actor.scope, name)
        await self._gateway.flush()
        sums = await self._ledger.read(savings.sums, actor.scope, f"route/{version.name}", since_ns)
        return await savings.realised(self._gateway, actor.scope, (version.name, node, since_ns), sums)

    async def drift(self, scope: Scope, name: str, since_ns: int = 0) -> Drift:
        """Live prompts of the route's weights beside those fitted. Raises Missing, Invalid."""
        _, node = await self._find(scope, name)
        return await self.readings.drift(scope, node.weights, node.lies, since_ns)

    async def _find(self, scope: Scope, name: str, selector: str = "") -> tuple[Version, LearnedNode]:
        version = await self._gateway.router.get(scope, name, selector)
        node = _node(version.content)
        if node is None:
            raise Invalid(
                f"route/{version.name} is not a learned one. Fit one: genwright router fit NAME ROWS.jsonl", code="not_learned"
            )
        return version, node

    async def _loaded(self, scope: Scope, node: LearnedNode) -> Any:
        try:
            return await asyncio.to_thread(self.readings.loaded, scope, node.weights)
        except Missing as error:
            raise Missing(
                f"The fitted weights {node.weights} are not here. The route sends everything to {node.unsure}. Fit it again.",
                code="no_weights",
            ) from error


def _check(asked: FitRouter) -> None:
    if not NAME.match(asked.name):
        raise Invalid(f"'{asked.name[:100]}' cannot be the name of a route. Nothing was fitted.", field="name")
    bad = [model for model, usd in asked.costs.items() if not 0 <= usd < 1e6]
    if bad:
        raise Invalid(f"The cost of {bad[0][:100]} is dollars a call, 0 or more. Nothing was fitted.", field="costs")
    if asked.point and (len(asked.point) != 1 or next(iter(asked.point)) not in ("keep", "gap", "usd")):
        raise Invalid("The point is one of keep, gap or usd. Nothing was fitted.", field="point")


def _node(content: dict[str, Any]) -> LearnedNode | None:
    """The first learned node of a route."""
    _, root = tree.read(content)
    return next((node for _, node in tree.everything(root) if isinstance(node, LearnedNode)), None)


def _with(value: Any, changes: dict[str, Any]) -> Any:
    """The content with changes in its learned nodes."""
    if isinstance(value, dict):
        found = {name: _with(part, changes) for name, part in value.items()}
        return {**found, **changes} if found.get("type") == "learned" else found
    return [_with(part, changes) for part in value] if isinstance(value, list) else value


def _shown(version: Version, node: LearnedNode, card: Card | None) -> Router:
    return Router(
        version.name, version.number, version.digest, version.created_ns, node.chosen, node.weights, node.unsure,
        [arm.name for arm in node.arms], card, version.labels,
    )  # fmt: skip
