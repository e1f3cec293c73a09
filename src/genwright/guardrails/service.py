"""The verbs of guardrails: check a text on a rail, guard a stream, put a policy, say which policy is in force.

Guards are a signal, no security boundary. Checking is synchronous and pure: no storage, no model, no network.
"""

from __future__ import annotations

from typing import Any

from genwright.access.types import Actor
from genwright.errors import Blocked, Invalid, Missing
from genwright.guardrails import policy as policies
from genwright.guardrails.policy import DEFAULT_POLICY, GUARDS, Compiled
from genwright.guardrails.stream import StreamGuard
from genwright.guardrails.types import RAILS, Finding, Policy, Verdict
from genwright.registry.service import Registry
from genwright.registry.types import Version
from genwright.vocab import Ref, Scope, canonical

__all__ = ["DEFAULT_POLICY", "GUARDS", "Finding", "Guardrails", "Policy", "StreamGuard", "Verdict", "blocked", "check"]

IN_FORCE = "default"
"""Name of the policy that holds where an app names none; its label `production` says which version."""
_MAX_COMPILED = 256

Default = tuple[str | None, dict[str, Any] | None]


class Guardrails:
    def __init__(self, registry: Registry):
        self._registry = registry
        self._compiled: dict[bytes, Compiled] = {}
        self._defaults: dict[Scope, Default] = {}
        self._moves = 0
        registry.on_label(self._label_moved)

    def check(self, policy: dict[str, Any], rail: str, text: str) -> Verdict:
        """What the rail says about the text. Costs nothing where the rail is empty. Raises Invalid for an unknown rail."""
        steps = self._steps(policy, rail)
        return policies.run(steps, text) if steps else Verdict("allow", text)

    def stream(self, policy: dict[str, Any]) -> StreamGuard:
        """A guard for one streamed answer, under the rail `stream` (`output` where the policy names no `stream`)."""
        return StreamGuard(self._steps(policy, "stream"))

    async def default(self, scope: Scope) -> Default:
        """(ref, content) of `policy:default@production`, or (None, None). Cached until a label of it moves."""
        found = self._defaults.get(scope)
        if found is None:
            moves = self._moves
            try:
                version = await self._registry.get(scope, Ref("policy", IN_FORCE, label="production"))
                found = (version.ref, version.content)
            except Missing:
                found = (None, None)
            if moves == self._moves:  # else the label moved while we were reading
                self._defaults[scope] = found
        return found

    async def put(
        self, actor: Actor, name: str, content: dict[str, Any], *, note: str = "", expected: int | None = None
    ) -> Version:
        """A new version of a policy. Raises Invalid where a rail, guard, action or parameter is not known."""
        check(content)
        return await self._registry.put(actor, "policy", name, content, note=note, expected=expected)

    async def get(self, scope: Scope, name: str, selector: str = "") -> Version:
        """A version by label, number or digest; the newest without."""
        return await self._registry.get(scope, Ref.parse(f"{name}@{selector}" if selector else name, "policy"))

    async def try_out(self, scope: Scope, name: str, rail: str, text: str) -> Verdict:
        """`check` with a policy by name; by the one in force, or DEFAULT_POLICY, without."""
        if name:
            content = (await self.get(scope, name.removeprefix("policy:"))).content
        else:
            content = (await self.default(scope))[1] or DEFAULT_POLICY
        return self.check(content, rail, text)

    def _steps(self, policy: dict[str, Any], rail: str) -> list[policies.Step]:
        if rail not in RAILS:
            raise Invalid(f"'{rail}' is not a rail. Rails are: {', '.join(RAILS)}.", code="unknown_rail")
        if not policy:
            return []
        key = canonical(policy)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = check(policy)
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            self._compiled[key] = compiled
        return compiled.rails.get(rail, [])

    def _label_moved(self, scope: Scope, kind: str, name: str, label: str, version: Version) -> None:
        if kind == "policy" and name == IN_FORCE:
            self._moves += 1
            self._defaults.pop(scope, None)


def check(content: dict[str, Any]) -> Compiled:
    """The policy's guards, made. Raises Invalid naming what does not fit."""
    policy = policies.read(content)
    try:
        return Compiled(policy)
    except Missing as error:
        raise Invalid(f"The policy names an unknown guard. {error.message} Nothing was kept.", code="invalid_policy") from error


def blocked(rail: str, verdict: Verdict, policy: str = "") -> Blocked:
    """The error for a verdict that blocks: names rail, guard and rule, never the text."""
    return policies.blocked(rail, verdict.findings, policy)


def toxicity(text: str) -> float:
    """Score from 0 to 1 by the list of words of the guard `toxicity`; no classifier."""
    from genwright.guardrails.guards.toxicity import rate

    return rate(text)
