"""Rules of the cache: which calls it covers, with which threshold. Settings with history; labelled pairs; what is in force, warm.

Knows no entry and no answer.
"""

from __future__ import annotations

import asyncio
import fnmatch
from typing import Any, get_args

import msgspec

from genwright import clock
from genwright.access.types import SYSTEM, Actor
from genwright.db import Database
from genwright.errors import Invalid, Missing
from genwright.gateway.cache import store
from genwright.gateway.cache.types import Label, Mode, Rule, Share
from genwright.vocab import LABEL, Scope, nearest, new_id

LOOK_AGAIN_S = 0.9
"""On PostgreSQL another server may have changed a rule."""
OWN_LABELS = 100
"""From so many labelled pairs of one's own on, thresholds are fitted on those alone."""
_OURS = ("workspace", "project", "number", "created_ns", "created_by")
FIELDS = tuple(name for name in Rule.__struct_fields__ if name not in _OURS)
_RANGES: dict[str, tuple[float, float]] = {
    "ttl_s": (1, 10 * 365 * 86_400),
    "target": (0.001, 0.5),
    "threshold": (0, 1),
    "sample": (0, 1),
    "max_entries": (1, 10_000_000),
}


class PutRule(msgspec.Struct, frozen=True):
    """A rule as it is asked for; what is left out stays as it is, or is the usual for a new one."""

    name: str
    models: str | None = None
    mode: str | None = None
    share: str | None = None
    ttl_s: int | None = None
    target: float | None = None
    threshold: float | None = None
    sample: float | None = None
    judge: str | None = None
    sampled: bool | None = None
    tools: bool | None = None
    max_entries: int | None = None
    enabled: bool | None = None
    note: str = ""


class InForce(msgspec.Struct, frozen=True):
    """Rules of one project, ready for use."""

    rules: list[Rule]
    thresholds: dict[str, float]
    own_labels: int
    looked: float

    def covering(self, target: str) -> Rule | None:
        """The first by name that is switched on for this PROVIDER/MODEL."""
        for rule in self.rules:
            if rule.enabled and fnmatch.fnmatchcase(target, rule.models):
                return rule
        return None


class Rules:
    def __init__(self, database: Database):
        self._database = database
        self._known: dict[Scope, InForce] = {}

    def known(self, scope: Scope) -> InForce | None:
        """What holds, if it was read lately: costs a dict look-up."""
        found = self._known.get(scope)
        if found is None or (self._database.postgres and clock.monotonic() - found.looked > LOOK_AGAIN_S):
            return None
        return found

    async def in_force(self, scope: Scope) -> InForce:
        """What holds, read anew where it is not known."""
        return self.known(scope) or await self._read(scope)

    async def _read(self, scope: Scope) -> InForce:
        looked = clock.monotonic()
        rules = await self._database.read(store.newest_rules, scope)
        semantic = [rule for rule in rules if rule.mode == "semantic"]
        labels = await self._database.read(store.all_labels, scope) if semantic else []
        thresholds = await asyncio.to_thread(_thresholds, semantic, labels) if semantic else {}
        found = self._known[scope] = InForce(rules, thresholds, len(labels), looked)
        return found

    def forget(self, scope: Scope) -> None:
        """Something was changed."""
        self._known.pop(scope, None)

    # -- settings

    async def put(self, actor: Actor, asked: PutRule) -> Rule:
        """A new rule, or the next version of one. Raises Invalid naming the field."""
        actor.need("write")
        _check(asked)
        if asked.mode == "semantic":
            from genwright import embed

            embed.weights_path()
        before = next((rule for rule in await self.all(actor) if rule.name == asked.name), None)
        rule = before or Rule(actor.scope.workspace, actor.scope.project, asked.name, 0)
        changes: dict[str, Any] = {name: getattr(asked, name) for name in FIELDS if getattr(asked, name) is not None}
        if before is not None and not before.enabled and asked.enabled is None:
            changes["enabled"] = True
        rule = msgspec.structs.replace(rule, **changes, created_ns=clock.now_ns(), created_by=actor.id)
        return await self._put(actor, rule)

    async def switch_off(self, rule: Rule, note: str) -> Rule:
        """By the house itself: the rule misses its target."""
        actor = SYSTEM(Scope(rule.workspace, rule.project))
        off = msgspec.structs.replace(rule, enabled=False, note=note, created_ns=clock.now_ns(), created_by=actor.id)
        return await self._put(actor, off)

    async def remove(self, actor: Actor, name: str) -> Rule:
        """End a rule; its history stays. Raises Missing."""
        actor.need("write")
        rule = await self.get(actor, name)
        gone = msgspec.structs.replace(rule, enabled=False, note="removed", created_ns=clock.now_ns(), created_by=actor.id)
        return await self._put(actor, gone, removed=True)

    async def _put(self, actor: Actor, rule: Rule, removed: bool = False) -> Rule:
        try:
            return await self._database.write(store.put_rule, actor, rule, removed)
        finally:
            self.forget(actor.scope)

    async def all(self, actor: Actor) -> list[Rule]:
        """By name; those switched off, too."""
        actor.need("read")
        return await self._database.read(store.newest_rules, actor.scope)

    async def get(self, actor: Actor, name: str) -> Rule:
        """The newest version. Raises Missing."""
        rules = await self.all(actor)
        for rule in rules:
            if rule.name == name:
                return rule
        near = nearest(name, [rule.name for rule in rules])
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise Missing(f"There is no cache rule '{name[:100]}'.{hint}", code="unknown_rule")

    async def history(self, actor: Actor, name: str) -> list[Rule]:
        """All versions, newest first; of removed rules, too."""
        actor.need("read")
        return await self._database.read(store.history, actor.scope, name)

    # -- labels

    async def label(self, actor: Actor, asked: str, question: str, same: bool) -> Label:
        """Say of two questions whether they may share an answer: thresholds are fitted to what was said, from 100 pairs on."""
        actor.need("score")
        if not asked.strip() or not question.strip():
            raise Invalid("Both questions are needed. Nothing was kept.", field="asked")
        score = await asyncio.to_thread(_score, asked, question)
        label = Label(
            actor.scope.workspace, actor.scope.project, new_id("lab"), asked.strip(), question.strip(), same, score,
            clock.now_ns(), actor.id,
        )  # fmt: skip
        await self._database.write(store.add_label, label)
        self.forget(actor.scope)
        return label

    async def labels(self, actor: Actor) -> list[Label]:
        """Newest first."""
        actor.need("read")
        return await self._database.read(store.all_labels, actor.scope)


def _check(asked: PutRule) -> None:
    if not LABEL.match(asked.name):
        raise Invalid("A rule's name is small letters, digits, '-' and '_', a letter first. Nothing was kept.", field="name")
    for name, choices in (("mode", get_args(Mode)), ("share", get_args(Share))):
        value = getattr(asked, name)
        if value is not None and value not in choices:
            raise Invalid(f"{name} is '{value[:50]}'; it must be one of {', '.join(choices)}. Nothing was kept.", field=name)
    for name, (low, high) in _RANGES.items():
        value = getattr(asked, name)
        if value is not None and not low <= value <= high:
            raise Invalid(f"{name} is {value:g}; it must lie between {low:g} and {high:g}. Nothing was kept.", field=name)
    if asked.models is not None and not asked.models.strip():
        raise Invalid("models is empty: write PROVIDER/MODEL, `*` for any letters. Nothing was kept.", field="models")
    if asked.judge and "/" not in asked.judge:
        raise Invalid(f"judge is '{asked.judge[:80]}'; write PROVIDER/MODEL. Nothing was kept.", field="judge")


def _thresholds(rules: list[Rule], labels: list[Label]) -> dict[str, float]:
    from genwright.gateway.cache.verify import shipped

    own = [(label.score, label.same) for label in labels]
    own = own if len(own) >= OWN_LABELS else []
    return {rule.name: rule.threshold or shipped().threshold(rule.target, own) for rule in rules}


def _score(asked: str, question: str) -> float:
    from genwright.gateway.cache import pairs
    from genwright.gateway.cache.verify import shipped

    return shipped().probability(pairs.read(asked), pairs.read(question))
