"""The verbs of routing: put and load routes, begin a walk, explain one, aliases, health. Versions live in the registry.

Loaded trees are kept for a second at most, and dropped at once when a label of a route moves here. Calls no model itself: who
can be asked (judges) is handed in as `ask`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import audit, clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Conflict, Invalid, Missing, Upstream
from genwright.gateway.routing import store, tree
from genwright.gateway.routing.health import Health
from genwright.gateway.routing.trip import Means, Trip
from genwright.gateway.routing.types import (
    Alias,
    Candidate,
    DrawnNode,
    ExplainedStep,
    Explanation,
    Outcome,
    RouteContent,
    RouteTest,
    TargetHealth,
)
from genwright.gateway.types import Call, Model
from genwright.messages import say
from genwright.registry.service import Registry
from genwright.registry.types import Edge, Page, Version
from genwright.vocab import Ref, Scope, nearest

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

FRESH_S = 0.9
"""How long a loaded route or alias is used before the database is asked again: other replicas write too."""
MAX_LOADED = 2_000
MAX_ALIASES = 5_000
PRODUCTION = "production"
_BARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}\Z")
"""An alias: a bare name, as SDKs send it (`gpt-4o`, `claude-sonnet-4@latest`); no '/', which begins another kind of name."""
Versions = list[Version]
Healths = list[TargetHealth]
Drawn = list[DrawnNode]
Aliases = list[Alias]
Used = list[tuple[str, str]]
Models = list[Model]


class Loaded(msgspec.Struct):
    """A route's version with everything it names."""

    version: Version
    root: tree.Node
    context: dict[str, Any] | None
    used: list[tuple[str, str]]
    at_s: float


class Router:
    def __init__(self, database: Database, registry: Registry, health: Health):
        self._database, self._registry, self.health = database, registry, health
        self.means = Means(health)
        self._loaded: dict[tuple[Scope, str], Loaded] = {}
        self._aliases: dict[Scope, tuple[float, dict[str, str]]] = {}
        registry.on_label(self._label_moved)

    # -- calls

    async def walk(self, actor: Actor, name: str, call: Call) -> Trip:
        """Begin a walk. `name`: route/NAME[@label|@n]. Raises Missing, and Invalid for a route that cannot be loaded any more."""
        try:
            loaded = await self._load(actor.scope, name.removeprefix("route/"))
        except Missing as error:
            raise Missing(error.message, code="model_not_found", param="model") from error
        trip = Trip(self.means, actor, call, loaded.root, loaded.version.ref)
        trip.context = loaded.context
        return trip

    async def fit(self, actor: Actor, call: Call, model: str) -> Call:
        """The call as its context policy makes it fit the model. Raises Invalid where nothing makes it fit."""
        from genwright.gateway import context

        known = self.means.catalogue(actor.scope, *model.split("/", 1)) or {}
        window = known.get("context") or 0
        return await context.fit(actor, call, context.read(call.context), model, window=window, ask=self.means.ask)

    # -- routes

    async def put(
        self, actor: Actor, name: str, content: dict[str, Any], *, note: str = "", expected: int | None = None
    ) -> Version:
        """A new version. Raises Invalid naming the place in the tree; other routes it names must exist."""
        _, root = tree.read(content)
        used = await self._fetch(actor.scope, root, (name,))
        plain = content if "root" in content else {"root": content}
        edges = [Edge("uses", "", digest, ref) for ref, digest in dict(used).items()]
        version = await self._registry.put(actor, "route", name, plain, note=note, expected=expected, edges=edges)
        self._loaded.clear()
        return version

    async def check(self, actor: Actor, name: str, content: dict[str, Any]) -> Drawn:
        """The tree as it would be drawn, nothing kept. Raises as `put`."""
        _, root = tree.read(content)
        await self._fetch(actor.scope, root, (name,) if name else ())
        return self.draw(actor.scope, root)

    async def get(self, scope: Scope, name: str, selector: str = "") -> Version:
        """A version by label, number or digest; without: the one that is called."""
        return await self._version(
            scope, f"{name.removeprefix('route/')}@{selector}" if selector else name.removeprefix("route/")
        )

    async def list(self, scope: Scope, query: str = "", cursor: str | None = None, limit: int = 50) -> Page:
        return await self._registry.list(scope, "route", query, cursor=cursor, limit=limit)

    async def versions(self, scope: Scope, name: str) -> Versions:
        """Newest first."""
        return await self._registry.versions(scope, "route", name, content=True)

    async def drawn(self, scope: Scope, name: str, selector: str = "") -> Drawn:
        """A route as a tree with live health."""
        loaded = await self._load(scope, f"{name}@{selector}" if selector else name)
        return self.draw(scope, loaded.root)

    def draw(self, scope: Scope, root: tree.Node) -> Drawn:
        """The tree, parents first; other routes stay closed."""
        healths = {f"{one.provider}/{one.model}": one for one in self.health.show(scope)}
        found: dict[str, DrawnNode] = {"root": _drawn("root", "", root, "", healths)}
        for at, node in tree.everything(root):
            for place, child in node.children():
                found[f"{at}.{place}"] = _drawn(f"{at}.{place}", at, child, node.edge(place), healths)
        return [*found.values()]

    async def explain(self, actor: Actor, call: Call, name: str = "", content: dict[str, Any] | None = None) -> Explanation:
        """Which way a call would go, and who would be asked if that failed. Asks nobody. `content`: a route not kept yet."""
        if content is not None:
            _, root = tree.read(content)
            await self._fetch(actor.scope, root, (name,) if name else ())
            ref = "(not kept)"
        else:
            loaded = await self._load(actor.scope, name.removeprefix("route/"))
            root, ref = loaded.root, loaded.version.ref
        if self.means.prepare is not None:
            await self.means.prepare(actor.scope)
        trip = Trip(self.means, actor, call, root, ref, dry=True)
        await trip.facts.count()
        steps = await _steps(trip)
        facts = {field: trip.facts[field] for field in ("tokens", "output_tokens", "messages", "tools", "modality", "language")}
        error = "" if steps else str(getattr(trip.error, "message", trip.error or ""))
        return Explanation(ref, facts, steps, trip.skipped, trip.exposures, error)

    async def test(self, actor: Actor, name: str, text: str, tags: dict[str, str] | None = None) -> RouteTest:
        """One real call. Its failure is raised."""
        start = clock.perf_ns()
        answer = await self.means.ask(actor, Call(f"route/{name.removeprefix('route/')}", [say("user", text)], tags=tags or {}))
        ms = (clock.perf_ns() - start) / 1e6
        return RouteTest(answer.message.text, answer.provider, answer.model, ms, answer.cost_nano_usd, answer.trace_id)

    def healths(self, actor: Actor) -> Healths:
        """All targets asked of late, by name."""
        return self.health.show(actor.scope)

    # -- aliases

    async def alias(self, scope: Scope, name: str) -> str | None:
        """What a bare name stands for."""
        known = self._aliases.get(scope)
        if known is None or clock.monotonic() - known[0] > FRESH_S:
            rows = await self._database.read(store.all_aliases, scope)
            known = (clock.monotonic(), {row.name: row.target for row in rows})
            self._aliases[scope] = known
        return known[1].get(name)

    async def aliases(self, scope: Scope) -> Aliases:
        """By name."""
        return await self._database.read(store.all_aliases, scope)

    async def put_alias(self, actor: Actor, name: str, target: str) -> Alias:
        """Make or change an alias. Raises Invalid; a route or app it names must exist."""
        actor.need("write")
        if not _BARE.match(name):
            raise Invalid(f"'{name[:100]}' cannot be an alias: letters, digits and . _ : @ + -, without '/'. Nothing was kept.",
                          field="name")  # fmt: skip
        first, slash, rest = target.partition("/")
        if not slash or not first or not rest or len(target) > 400:
            raise Invalid("An alias stands for app/…, route/… or PROVIDER/MODEL. Nothing was kept.", field="target")
        if first in ("route", "app"):
            await self._registry.get(
                actor.scope, Ref.parse(rest, first) if first == "route" else Ref.parse(rest.partition("@")[0], "app")
            )
        alias = Alias(actor.scope.workspace, actor.scope.project, name, target, clock.now_ns(), actor.id)
        await self._database.write(_put_alias, actor, alias)
        self._aliases.pop(actor.scope, None)
        return alias

    async def remove_alias(self, actor: Actor, name: str) -> None:
        """Raises Missing."""
        actor.need("write")
        if not await self._database.write(_remove_alias, actor, name):
            known = [alias.name for alias in await self.aliases(actor.scope)]
            raise Missing(
                f"There is no alias '{name[:100]}'. Nothing was removed. Nearest: {', '.join(nearest(name, known) or known[:5])}."
            )
        self._aliases.pop(actor.scope, None)

    async def models(self, scope: Scope) -> Models:
        """Routes and aliases, as /v1/models lists them."""
        page = await self._registry.list(scope, "route", limit=500)
        found = [Model(f"route/{item.name}", "route", created_ns=item.created_ns) for item in page.items]
        return found + [Model(row.name, "alias", created_ns=row.created_ns) for row in await self.aliases(scope)]

    # -- loading

    async def _load(self, scope: Scope, name: str) -> Loaded:
        key = (scope, name)
        known = self._loaded.get(key)
        if known is not None and clock.monotonic() - known.at_s < FRESH_S:
            return known
        version = await self._version(scope, name)
        if known is not None and known.version.digest == version.digest and not known.used:
            known.at_s = clock.monotonic()
            return known
        route, root = tree.read(version.content)
        used = await self._fetch(scope, root, (version.name,))
        if len(self._loaded) >= MAX_LOADED:
            self._loaded.clear()
        loaded = self._loaded[key] = Loaded(version, root, route.context, used, clock.monotonic())
        return loaded

    async def _version(self, scope: Scope, name: str) -> Version:
        """By its selector; without one the label production, else the newest."""
        if "@" in name:
            return await self._registry.get(scope, name, "route")
        try:
            return await self._registry.get(scope, f"{name}@{PRODUCTION}", "route")
        except Missing:
            return await self._registry.get(scope, name, "route")

    async def _fetch(self, scope: Scope, root: tree.Node, seen: tuple[str, ...]) -> Used:
        loader = _Loader(self, scope, seen)
        used: Used = []
        for at, node in tree.everything(root):
            try:
                used += await node.load(loader)
            except Missing as error:
                raise Invalid(f"At {at}: {error.message} Nothing was kept.", code="invalid_route", at=at) from error
        return used

    def _label_moved(self, scope: Scope, kind: str, name: str, label: str, version: Version) -> None:
        if kind == "route":
            self._loaded.clear()


class _Loader:
    """Loads what nodes name; knows by which routes it came, so that none leads back to itself."""

    def __init__(self, router: Router, scope: Scope, seen: tuple[str, ...]):
        self._router, self.scope, self._seen = router, scope, seen
        self.registry = router._registry

    async def route(self, text: str) -> tuple[Version, RouteContent, tree.Node]:
        version = await self._router._version(self.scope, text.removeprefix("route/"))
        if version.name in self._seen:
            way = " → ".join((*self._seen, version.name))
            raise Invalid(f"The route leads back to itself: {way}. Nothing was kept.", code="route_cycle")
        route, root = tree.read(version.content)
        await self._router._fetch(self.scope, root, (*self._seen, version.name))
        return version, route, root


async def _steps(trip: Trip) -> list[ExplainedStep]:
    """The way if everybody failed one after the other."""
    found: list[ExplainedStep] = []
    outcome: Outcome | None = None
    seen = 0
    while (candidate := await trip.next(outcome)) is not None and len(found) < 50:
        why = [f"{at}: {what}" if at else what for at, what in trip.notes[seen:] if "is asked" not in what or "skipped" in what]
        seen = len(trip.notes)
        if not found or found[-1].step != candidate.step:
            found.append(_explained(candidate, why))
        outcome = Outcome(candidate, error=Upstream("As if it failed."))
    trip.close()
    return found


def _explained(candidate: Candidate, why: list[str]) -> ExplainedStep:
    return ExplainedStep(
        step=candidate.step,
        model=candidate.name,
        why=why,
        parameters=candidate.parameters,
        timeout_s=candidate.timeout_s,
        hold_back=candidate.hold_back,
        mirrored_to=[shadow.name for shadow in candidate.shadows],
        hedged_to=candidate.hedge.name if candidate.hedge is not None else "",
        hedge_after_s=candidate.hedge_after_s,
    )


def _drawn(at: str, parent: str, node: tree.Node, edge: str, healths: dict[str, TargetHealth]) -> DrawnNode:
    model, ref = getattr(node, "model", ""), getattr(node, "ref", "")
    model, ref = (model if isinstance(model, str) else ""), (ref if isinstance(ref, str) else "")
    return DrawnNode(at, parent, node.WORD, node.title, node.says(), edge, model, ref, healths.get(model))


def _put_alias(connection: Connection, actor: Actor, alias: Alias) -> None:
    if len(store.all_aliases(connection, actor.scope)) >= MAX_ALIASES:
        raise Conflict(f"There are {MAX_ALIASES:,} aliases already, which is the limit. Nothing was kept.")
    store.put_alias(connection, alias)
    audit.write(connection, actor.scope, actor.id, "alias.put", f"alias:{alias.name}", {"target": alias.target})


def _remove_alias(connection: Connection, actor: Actor, name: str) -> bool:
    done = store.delete_alias(connection, actor.scope, name)
    if done:
        audit.write(connection, actor.scope, actor.id, "alias.remove", f"alias:{name}", {})
    return done
