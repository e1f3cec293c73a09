"""The verbs of agents: put an app, resolve a draft, run, replay. What a release pins is handed in (`resolve`), not known here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from genwright.access.types import Actor
from genwright.agents import replay as replaying
from genwright.agents.chain import Chain, Rooms
from genwright.agents.graph import check, refs
from genwright.agents.types import App, ReplayReport, Resolved
from genwright.gateway.service import Gateway
from genwright.gateway.types import Answer, Call, Chunk
from genwright.guardrails.service import Guardrails
from genwright.prompts.service import Prompts
from genwright.registry.service import Registry
from genwright.registry.types import Edge, Version
from genwright.retrieval.service import Retrieval
from genwright.tracing.service import Tracing
from genwright.vocab import Ref, Scope

Resolve = Callable[[Scope, str, str | None], Awaitable[Resolved]]


class Agents:
    def __init__(
        self,
        registry: Registry,
        tracing: Tracing,
        prompts: Prompts,
        guardrails: Guardrails,
        gateway: Gateway,
        retrieval: Retrieval,
    ):
        self._registry, self._tracing, self._prompts = registry, tracing, prompts
        self._rooms = Rooms(tracing, guardrails, gateway, retrieval)
        self.resolve: Resolve = self._only_drafts

    async def put_app(
        self, actor: Actor, name: str, content: dict[str, Any], *, note: str = "", expected: int | None = None
    ) -> Version:
        """A new version of an app. Raises Invalid naming the step that is wrong, Missing for a ref that names nothing."""
        app = check(content)
        pins = await self._pins(actor.scope, app)
        edges = [Edge("uses", "", version.digest, ref) for ref, version in pins.items()]
        return await self._registry.put(actor, "app", name, msgspec.to_builtins(app), note=note, expected=expected, edges=edges)

    async def draft(self, scope: Scope, name: str, selector: str = "") -> Resolved:
        """The app as it stands now: its newest version, refs resolved live."""
        version = await self._registry.get(scope, Ref.parse(f"{name}@{selector}" if selector else name, "app"))
        app = msgspec.convert(version.content, App)
        pins = await self._pins(scope, app)
        return Resolved(version.ref, version.digest, name, version.number, app, version.ref, pins)

    async def run(self, actor: Actor, name: str, call: Call) -> AsyncIterator[Chunk | Answer]:
        """Run `NAME[@label|@number|@draft]` on a call: chunks, at last the Answer. This is the gateway's target `app/`."""
        app_name, _, selector = name.partition("@")
        resolved = await self.resolve(actor.scope, app_name, selector or None)
        async with aclosing(Chain(self._rooms, actor, resolved).stream(call)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    async def replay(
        self, actor: Actor, trace_id: str, *, mode: str = "recorded", n: int = 1, changes: dict[str, str] | None = None
    ) -> ReplayReport:
        """Run a recorded answer again: see `replay`. Needs the permissions to read and to call."""
        actor.need("read")
        actor.need("call")
        return await replaying.replay(self, self._rooms, actor, trace_id, replaying.Plan(mode, n, changes or {}))

    async def pin(self, scope: Scope, ref: str, kind: str) -> Version:
        return await self._registry.get(scope, Ref.parse(ref, kind))

    async def _pins(self, scope: Scope, app: App) -> dict[str, Version]:
        pins = {}
        for kind, ref in refs(app):
            pins[ref] = await self.pin(scope, ref, kind)
        return pins

    async def _only_drafts(self, scope: Scope, name: str, selector: str | None) -> Resolved:
        return await self.draft(scope, name)
