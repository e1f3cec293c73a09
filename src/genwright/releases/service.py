"""The verbs of releases: create, promote through a gate, roll back, resolve. Moving a label is the whole deployment."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import Any

import msgspec

from genwright import __version__, clock
from genwright.access.types import Actor
from genwright.agents.service import Agents
from genwright.agents.types import App, ModelStep, Resolved
from genwright.blobs import Blobs
from genwright.errors import Invalid, Missing
from genwright.evals.service import Evals
from genwright.registry.service import Registry
from genwright.registry.types import Edge, Version
from genwright.releases.types import Code, CreateRelease, Evidence, Pin, PinnedCode, Promotion, Release
from genwright.settings import Settings
from genwright.vocab import Ref, Scope, digest

PRODUCTION = "production"
DRAFT = "draft"
MAX_RESOLVED = 256
REPLICA_S = 0.9
"""On PostgreSQL another replica may have moved a label: look again after this long."""
_CONFIGURED = ("first_byte_timeout_s", "request_timeout_s", "max_body_bytes")
"""Settings that can change an answer, so that they belong into a release."""


class Releases:
    def __init__(self, registry: Registry, agents: Agents, evals: Evals, blobs: Blobs, settings: Settings):
        self._registry, self._agents, self._evals, self._blobs, self._settings = registry, agents, evals, blobs, settings
        self._resolved: OrderedDict[tuple[Scope, str], Resolved] = OrderedDict()
        self._labels: dict[tuple[Scope, str, str], tuple[str, float]] = {}
        self._look_again_s = REPLICA_S if settings.database_url else float("inf")
        registry.on_label(self._forget)

    async def create(self, actor: Actor, wanted: CreateRelease) -> Version:
        """A release of the app as it stands: refs become digests. An equal one is not made twice."""
        actor.need("write")
        scope = actor.scope
        draft = await self._agents.draft(scope, wanted.app, wanted.selector)
        models = await self._models(actor, draft.app)
        datasets = {ref: await self._agents.pin(scope, ref, "dataset") for ref in wanted.datasets}
        suites = {ref: await self._agents.pin(scope, ref, "suite") for ref in wanted.suites}
        release = Release(
            app=Pin("app", draft.name, draft.number, draft.digest),
            content=msgspec.to_builtins(draft.app),
            pins={ref: _pin(version) for ref, version in draft.pins.items()},
            models=[step.model for step in draft.app.steps if isinstance(step, ModelStep)],
            code=self._code(scope, wanted.code),
            lock=installed(),
            configuration={"genwright": __version__, **{name: getattr(self._settings, name) for name in _CONFIGURED}},
            datasets={ref: _pin(version) for ref, version in datasets.items()},
            suites={ref: _pin(version) for ref, version in suites.items()},
        )
        edges = [Edge("uses", "", draft.digest, draft.app_ref)]
        edges += [Edge("uses", "", version.digest, ref) for ref, version in {**draft.pins, **models}.items()]
        edges += [Edge("evaluated_on", "", version.digest, ref) for ref, version in {**datasets, **suites}.items()]
        content = msgspec.to_builtins(release)
        return await self._registry.put(actor, "release", wanted.app, content, note=wanted.note, edges=edges)

    async def promote(
        self, actor: Actor, app: str, number: int, *, label: str = PRODUCTION, note: str = "", evidence: Evidence | None = None
    ) -> Promotion:
        """Move the label if the gate lets it pass; a refusal changes nothing and says why.

        Raises Missing (no such release) and Invalid (a gate that asks for evidence which is not given).
        """
        actor.need("promote")
        scope = actor.scope
        release = await self._registry.get(scope, Ref("release", app, number=number))
        gate = await self._gate(scope, app, (evidence or Evidence()).gate) if label == PRODUCTION else None
        if gate is None:
            move = await self._registry.label(actor, "release", app, label, number, note=note)
            return Promotion(True, release, label, ["no gate is set for this label"], move)
        result = await self._judge(actor, release, gate.content, evidence or Evidence())
        reasons, plain = list(result.reasons), msgspec.to_builtins(result)
        undecided = bool(getattr(result, "undecided", False))
        if not result.passed:
            return Promotion(False, release, label, reasons, None, plain, undecided)
        move = await self._registry.label(actor, "release", app, label, number, note=note or "; ".join(reasons)[:500])
        return Promotion(True, release, label, reasons, move, plain, undecided)

    async def rollback(self, actor: Actor, app: str, *, label: str = PRODUCTION, note: str = "") -> Promotion:
        """Put the label back where it stood before its last move. Raises Invalid where there is nothing before."""
        actor.need("promote")
        moves = [move for move in await self._registry.history(actor.scope, "release", app) if move.label == label]
        newest = max(moves, key=lambda move: move.move, default=None)
        if newest is None or newest.from_number is None:
            raise Invalid(f"'{label}' of {app} has no earlier release to go back to. Nothing was moved.")
        release = await self._registry.get(actor.scope, Ref("release", app, number=newest.from_number))
        reason = note or f"rolled back from {newest.to_number}"
        move = await self._registry.label(
            actor, "release", app, label, newest.from_number, expected=newest.to_number, note=reason
        )
        return Promotion(True, release, label, [reason], move)

    async def resolve(self, scope: Scope, app: str, selector: str | None) -> Resolved:
        """What a call of `app/NAME@selector` runs: the label production without one, `draft` for what is not released yet."""
        if selector == DRAFT:
            return await self._agents.draft(scope, app)
        wanted = selector or PRODUCTION
        found, at = self._labels.get((scope, app, wanted), ("", 0.0))
        if not found or clock.monotonic() - at > self._look_again_s:
            found = (await self._find(scope, app, wanted)).digest
            self._labels[scope, app, wanted] = (found, clock.monotonic())
        key = (scope, found)
        if key not in self._resolved:
            self._resolved[key] = await self._load(scope, app, found)
            if len(self._resolved) > MAX_RESOLVED:
                self._resolved.popitem(last=False)
        self._resolved.move_to_end(key)
        return self._resolved[key]

    # -- inside

    async def _find(self, scope: Scope, app: str, selector: str) -> Version:
        try:
            return await self._registry.get(scope, Ref.parse(f"{app}@{selector}", "release"))
        except Missing as error:
            await self._registry.get(scope, Ref.parse(app, "app"))  # names the nearest apps where there is none of this name
            raise Missing(
                f"The app '{app}' has no release '{selector}'. Nothing was called. Make and promote one "
                f"(genwright releases create {app}; genwright releases promote {app} 1), or call app/{app}@draft.",
                code="no_release",
            ) from error

    async def _load(self, scope: Scope, app: str, release_digest: str) -> Resolved:
        version = await self._registry.get(scope, Ref("release", app, digest=release_digest))
        release = msgspec.convert(version.content, Release)
        pins = {
            ref: await self._registry.get(scope, Ref(pin.kind, pin.name, digest=pin.digest)) for ref, pin in release.pins.items()
        }
        content = msgspec.convert(release.content, App)
        app_ref = str(Ref("app", release.app.name, digest=release.app.digest))
        return Resolved(version.ref, version.digest, app, version.number, content, app_ref, pins)

    async def _gate(self, scope: Scope, app: str, ref: str) -> Version | None:
        if ref:
            return await self._agents.pin(scope, ref, "gate")
        try:
            return await self._registry.get(scope, Ref("gate", app))
        except Missing:
            return None

    async def _judge(self, actor: Actor, release: Version, spec: dict[str, Any], evidence: Evidence) -> Any:
        """The gate's result over the evidence: a paired comparison with what stands there now, and the safety suites."""
        scope = actor.scope
        if evidence.run:
            await self._own_run(scope, evidence.run, release)
        safety = None
        if spec.get("safety", True):
            resolved = await self.resolve(scope, release.name, release.digest)
            safety = await self._evals.safety(actor, f"app/{release.name}@{release.digest}", resolved=resolved)
        compared = evidence.run and evidence.baseline
        if (
            spec.get("not_worse")
            and not compared
            and (safety is None or safety.passed)
            and await self._stands(scope, release.name)
        ):
            raise Invalid(
                f"The gate of {release.name} compares with what stands there. Nothing was moved. Give the runs of both: "
                "--run CANDIDATE --baseline CURRENT.",
                code="evidence_missing",
            )
        return await self._evals.gate(scope, evidence.run or None, evidence.baseline or None, safety, spec)

    async def _stands(self, scope: Scope, app: str) -> bool:
        return any(label.label == PRODUCTION for label in await self._registry.labels(scope, "release", app))

    async def _own_run(self, scope: Scope, run_id: str, release: Version) -> None:
        """Refuse evidence of another release than the one to be promoted."""
        run = await self._evals.run(scope, run_id)
        if run.release != release.ref:
            raise Invalid(
                f"Run {run_id} evaluated {run.release or run.target}, not {release.ref}. Nothing was moved. "
                f"Evaluate it first: genwright eval run --target app/{release.name}@{release.number} …",
                code="wrong_evidence",
            )

    async def _models(self, actor: Actor, app: App) -> dict[str, Version]:
        """Each model step's model as an artifact, so that lineage reaches it."""
        found = {}
        for step in app.steps:
            if isinstance(step, ModelStep):
                provider, _, model = step.model.partition("/")
                name = "".join(letter if letter.isalnum() or letter in "._-/" else "-" for letter in step.model)
                found[f"model:{name}"] = await self._registry.put(
                    actor, "model", name, {"provider": provider, "model": model, "address": step.model}
                )
        return found

    def _code(self, scope: Scope, code: Code) -> PinnedCode:
        dirty = bool(code.diff)
        diff_digest = self._blobs.put(scope, code.diff.encode()) if dirty else ""
        return PinnedCode(code.commit, code.repository, dirty, diff_digest)

    def _forget(self, scope: Scope, kind: str, name: str, label: str, version: Version) -> None:
        if kind == "release":
            self._labels.pop((scope, name, label), None)


@cache
def installed() -> str:
    """Digest over the sorted name==version of every installed distribution: the lock file as it is in force."""
    from importlib.metadata import distributions

    return digest(
        sorted({f"{item.metadata['Name'].lower()}=={item.version}" for item in distributions() if item.metadata["Name"]})
    )


def _pin(version: Version) -> Pin:
    return Pin(version.kind, version.name, version.number, version.digest)
