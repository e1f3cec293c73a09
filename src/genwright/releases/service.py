"""The verbs of releases: create, promote through a gate, roll back, resolve. Moving a label is the whole deployment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
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
from genwright.evals.types import GateResult
from genwright.registry.service import Registry
from genwright.registry.types import Edge, LabelMove, Version
from genwright.releases import starter
from genwright.releases.types import Code, CreateRelease, Evidence, NewApp, Pin, PinnedCode, Promotion, Release, StartedApp
from genwright.settings import Settings
from genwright.vocab import Ref, Scope, digest

PRODUCTION = "production"
DRAFT = "draft"
MAX_RESOLVED = 256
MAX_NOTE = 500
REPLICA_S = 0.9
"""On PostgreSQL another replica may have moved a label: look again after this long."""
_CONFIGURED = ("first_byte_timeout_s", "request_timeout_s", "max_body_bytes")
"""Settings that can change an answer, so that they belong into a release."""


class Releases:
    def __init__(self, registry: Registry, agents: Agents, evals: Evals, blobs: Blobs, settings: Settings):
        self._registry, self._agents, self._evals, self._blobs, self._settings = registry, agents, evals, blobs, settings
        self._resolved: OrderedDict[tuple[Scope, str], Resolved] = OrderedDict()
        self._labels: dict[tuple[Scope, str, str], tuple[str, float]] = {}
        self._moves = 0
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

    async def start(self, actor: Actor, wanted: NewApp) -> StartedApp:
        """A first app over documents: prompt, policy, app and release at once, promoted where the actor may.

        Raises Conflict (there is such an app), Invalid (no index, or several and none named), Missing (no such index or prompt).
        """
        wanted = msgspec.structs.replace(wanted, model=wanted.model or self._settings.default_model)
        return await starter.start(self._registry, self._agents, self, actor, wanted)

    async def promote(
        self, actor: Actor, app: str, number: int, *, label: str = PRODUCTION, note: str = "", evidence: Evidence | None = None
    ) -> Promotion:
        """Move the label if the gate lets it pass; a refusal changes nothing and says why.

        Raises Missing (no such release), Invalid (a gate that asks for evidence which is not given, or evidence of another
        release), Conflict (the label moved while this one was judged).
        """
        actor.need("promote")
        scope, evidence = actor.scope, evidence or Evidence()
        release = await self._registry.get(scope, Ref("release", app, number=number))
        gate = await self._gate(scope, app, label, evidence.gate)
        if gate is None:
            move = await self._registry.label(actor, "release", app, label, number, note=note)
            return Promotion(True, release, label, ["no gate is set for this label"], move)
        standing = await self._standing(scope, app, label)
        result = await self._judge(actor, release, standing, gate.content, evidence)
        reasons, plain = list(result.reasons), msgspec.to_builtins(result)
        if not result.passed:
            return Promotion(False, release, label, reasons, None, plain, result.undecided)
        # Judged against what stands there; if somebody else was quicker, that judgement says nothing any more: Conflict.
        expected = standing.number if standing else 0
        note = note or " ".join(reasons)[:MAX_NOTE]
        move = await self._registry.label(actor, "release", app, label, number, expected=expected, note=note)
        return Promotion(True, release, label, reasons, move, plain, result.undecided)

    async def rollback(self, actor: Actor, app: str, *, label: str = PRODUCTION, note: str = "") -> Promotion:
        """Put the label back on the release that was promoted before. Raises Invalid where there is none."""
        actor.need("promote")
        moves = await self._registry.history(actor.scope, "release", app)
        newest = max((move for move in moves if move.label == label), key=lambda move: move.move, default=None)
        number = before(moves, label)
        if newest is None or number is None:
            raise Invalid(f"'{label}' of {app} has no earlier release to go back to. Nothing was moved.")
        release = await self._registry.get(actor.scope, Ref("release", app, number=number))
        reason = note or f"rolled back from {newest.to_number}"
        move = await self._registry.label(actor, "release", app, label, number, expected=newest.to_number, note=reason)
        return Promotion(True, release, label, [reason], move)

    async def resolve(self, scope: Scope, app: str, selector: str | None) -> Resolved:
        """What a call of `app/NAME@selector` runs: the label production without one, `draft` for what is not released yet."""
        if selector == DRAFT:
            return await self._agents.draft(scope, app)
        wanted = selector or PRODUCTION
        found, at = self._labels.get((scope, app, wanted), ("", 0.0))
        if not found or clock.monotonic() - at > self._look_again_s:
            moves, at = self._moves, clock.monotonic()
            found = (await self._find(scope, app, wanted)).digest
            if moves == self._moves:  # else a label moved while we were reading
                self._labels[scope, app, wanted] = (found, at)
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

    async def _gate(self, scope: Scope, app: str, label: str, ref: str) -> Version | None:
        """The gate for this label: `gate:APP` guards production, and no other can be named in its place."""
        own = None
        if label == PRODUCTION:
            with suppress(Missing):
                own = await self._registry.get(scope, Ref("gate", app))
        given = await self._agents.pin(scope, ref, "gate") if ref else None
        if own and given and own.digest != given.digest:
            raise Invalid(
                f"gate:{app} guards {label} of {app}; {ref} cannot stand in for it. Nothing was moved. Leave it out, or try it "
                "on another label.",
                code="other_gate",
            )
        return own or given

    async def _judge(
        self, actor: Actor, release: Version, standing: Version | None, spec: dict[str, Any], evidence: Evidence
    ) -> GateResult:
        """The gate's result over the evidence: a paired comparison with what stands there now, and the safety suites."""
        scope = actor.scope
        if evidence.run:
            await self._run_of(scope, evidence.run, release, "is to be promoted")
        if evidence.baseline and standing and standing.digest != release.digest:
            await self._run_of(scope, evidence.baseline, standing, "stands there now")
        safety = None
        if spec.get("safety", True):
            resolved = await self.resolve(scope, release.name, release.digest)
            safety = await self._evals.safety(actor, f"app/{release.name}@{release.digest}", resolved=resolved)
        safe = safety is None or safety.passed  # where it is not, the gate refuses anyway
        if spec.get("not_worse") and standing and safe and not (evidence.run and evidence.baseline):
            raise Invalid(
                f"The gate of {release.name} compares with what stands there. Nothing was moved. Give the runs of both: "
                "--run CANDIDATE --baseline CURRENT.",
                code="evidence_missing",
            )
        return await self._evals.gate(scope, evidence.run or None, evidence.baseline or None, safety, spec)

    async def _standing(self, scope: Scope, app: str, label: str) -> Version | None:
        """The release that the label stands on."""
        try:
            return await self._registry.get(scope, Ref("release", app, label=label))
        except Missing:
            return None

    async def _run_of(self, scope: Scope, run_id: str, release: Version, which: str) -> None:
        """Refuse evidence of another release."""
        run = await self._evals.run(scope, run_id)
        if run.release != release.ref:
            raise Invalid(
                f"Run {run_id} evaluated {run.release or run.target}, not {release.ref}, which {which}. Nothing was moved. "
                f"Evaluate that one: genwright eval run --target app/{release.name}@{release.number} …",
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
            self._moves += 1
            self._labels.pop((scope, name, label), None)


@cache
def installed() -> str:
    """Digest over the sorted name==version of every installed distribution: the lock file as it is in force."""
    from importlib.metadata import distributions

    return digest(
        sorted({f"{item.metadata['Name'].lower()}=={item.version}" for item in distributions() if item.metadata["Name"]})
    )


def before(moves: Sequence[LabelMove], label: str) -> int | None:
    """Number of the release that a rollback of the label leads to; None where there is none.

    Going back twice goes back two promotions: a move to the release promoted before counts as going back, not as a promotion.
    """
    stood: list[int] = []
    for move in sorted(moves, key=lambda move: move.move):
        if move.label != label:
            continue
        if len(stood) > 1 and stood[-2] == move.to_number:
            stood.pop()
        else:
            stood.append(move.to_number)
    return stood[-2] if len(stood) > 1 else None


def _pin(version: Version) -> Pin:
    return Pin(version.kind, version.name, version.number, version.digest)
