"""The catalogue's verbs: cards of models, the project's own entries, rules that refuse models, canary runs.

Cards are made from memory; a project's own entries and rules are read once and kept (looked at again within a second on
PostgreSQL). Knows no route and no wire format; it is asked by routes (fields) and by the flow (admit).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import audit, clock, prices
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Forbidden, Invalid, Missing
from genwright.gateway.catalogue import cards, store
from genwright.gateway.catalogue.types import CanaryRun, ModelCard, ModelRule
from genwright.gateway.routing import facts
from genwright.vocab import IDENT, Scope, nearest

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from genwright.gateway.directory import Directory

MAX_RULES = 100


class _Known(msgspec.Struct):
    """A project's own entries and rules, and its providers' kinds and addresses."""

    own: dict[tuple[str, str], dict[str, Any]]
    rules: list[ModelRule]
    providers: dict[str, tuple[str, str, str]]
    """Name → kind, name in the price list, address."""
    book: Any
    read_s: float


class Catalogue:
    def __init__(self, database: Database, directory: Directory, book: Callable[[Scope], Awaitable[Any]]):
        self._database = database
        self._directory = directory
        self._book = book
        self._known: dict[Scope, _Known] = {}
        self._again_s = 0.9 if database.postgres else float("inf")

    # -- what is known

    async def load(self, scope: Scope) -> _Known:
        """The project's entries; costs nothing when they were read before."""
        known = self._known.get(scope)
        if known is not None and clock.monotonic() - known.read_s < self._again_s:
            known.book = await self._book(scope)
            return known
        own = await self._database.read(store.own, scope)
        rules = await self._database.read(store.all_rules, scope)
        providers = dict(await self._directory.reached(scope))
        # The price list takes 0.1 s to load: in a thread.
        await asyncio.to_thread(prices.window, "openai", "gpt-4o")
        known = _Known(own, rules, providers, await self._book(scope), clock.monotonic())
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[scope] = known
        return known

    def forget(self) -> None:
        """Everything kept in memory: after a change of providers or prices."""
        self._known.clear()

    async def card(self, scope: Scope, provider: str, model: str) -> ModelCard:
        return self._card(await self.load(scope), provider, model)

    def fields(self, scope: Scope, provider: str, model: str) -> dict[str, Any] | None:
        """The card as conditions see it; None where nothing is known. The scope's entries must have been loaded."""
        known = self._known.get(scope)
        if known is None or (provider not in known.providers and (provider, model) not in known.own):
            return None
        return cards.fields(self._card(known, provider, model))

    def _card(self, known: _Known, provider: str, model: str) -> ModelCard:
        kind, price_as, address = known.providers.get(provider, ("", provider, ""))
        at_ns = clock.now_ns()
        found = cards.known(kind, price_as, address, model) + _prices(price_as, model, at_ns, known.book, provider)
        return cards.card(provider, model, found, known.own.get((provider, model), {}), cards.today(at_ns))

    async def all(self, actor: Actor, query: str = "") -> list[ModelCard]:
        """Cards of all models that can be called by name, and of those with an entry of their own; by words of the name."""
        actor.need("read")
        known = await self.load(actor.scope)
        names = [(model.provider, model.id.partition("/")[2]) for model in await self._directory.models(actor.scope)]
        words = query.lower().split()
        every = dict.fromkeys([*names, *known.own])
        return [
            self._card(known, provider, model)
            for provider, model in sorted(every)
            if all(word in f"{provider}/{model}".lower() for word in words)
        ]

    async def show(self, actor: Actor, model: str) -> ModelCard:
        """The card of PROVIDER/MODEL. Raises Missing where there is no such provider."""
        actor.need("read")
        provider, name = _split(model)
        known = await self.load(actor.scope)
        if provider not in known.providers:
            near = nearest(provider, list(known.providers)) or sorted(known.providers)
            raise Missing(f"There is no provider '{provider[:60]}' here. Nearest: {', '.join(near)}.", param="model")
        return self._card(known, provider, name)

    # -- the project's own entries

    async def set(self, actor: Actor, model: str, fields: dict[str, Any]) -> ModelCard:
        """Set fields of a model's card (null takes one's own value away). Raises Invalid naming the field."""
        actor.need("write")
        provider, name = _split(model)
        known = await self.load(actor.scope)
        own = {**known.own.get((provider, name), {}), **fields}
        own = {field: value for field, value in own.items() if value is not None}
        unknown = next((field for field in fields if field not in cards.OWN_FIELDS), "")
        if unknown:
            near = ", ".join(nearest(unknown, list(cards.OWN_FIELDS)) or cards.OWN_FIELDS)
            raise Invalid(f"A card has no field '{unknown[:60]}'. Nearest: {near}. Nothing was stored.", field=unknown)
        try:
            msgspec.convert({"provider": provider, "model": name, **own}, ModelCard)
        except msgspec.ValidationError as error:
            raise Invalid(f"{error}. Nothing was stored.", field=str(error).rpartition("$.")[2].rstrip("`")) from None
        _check_day(own.get("retires", ""))
        await self._database.write(_set, actor, provider, name, own)
        self.forget()
        return await self.card(actor.scope, provider, name)

    # -- rules

    async def rules(self, actor: Actor) -> list[ModelRule]:
        actor.need("read")
        return (await self.load(actor.scope)).rules

    async def put_rule(self, actor: Actor, name: str, condition: dict[str, Any], models: str = "*") -> ModelRule:
        """From now on, only models whose card meets the condition may be called (of those that `models` names)."""
        actor.need("admin")
        if not IDENT.match(name):
            raise Invalid(f"'{name[:60]}' cannot be a rule's name. Nothing was stored.", field="name")
        try:
            facts.check(condition, (*cards.OWN_FIELDS, "provider", "model", "retired"), ())
        except ValueError as error:
            raise Invalid(f"The condition cannot be used: {error}. Nothing was stored.", field="condition") from None
        if len((await self.load(actor.scope)).rules) >= MAX_RULES:
            raise Invalid(f"There are {MAX_RULES} rules, which is the limit. Nothing was stored.", field="name")
        rule = ModelRule(name, models.strip() or "*", condition, clock.now_ns(), actor.id)
        await self._database.write(_put_rule, actor, rule)
        self.forget()
        return rule

    async def remove_rule(self, actor: Actor, name: str) -> None:
        actor.need("admin")
        if not await self._database.write(_remove_rule, actor, name):
            raise Missing(f"There is no rule '{name[:60]}'.")
        self.forget()

    async def admit(self, scope: Scope, provider: str, model: str) -> None:
        """Raises Forbidden (code model_rule) naming the rule and the field of the card that does not meet it."""
        known = self._known.get(scope)
        if known is None or clock.monotonic() - known.read_s >= self._again_s:
            known = await self.load(scope)
        if not known.rules or provider == "app":
            return
        name = f"{provider}/{model}"
        card: dict[str, Any] | None = None
        for rule in known.rules:
            if not fnmatchcase(name, rule.models):
                continue
            if card is None:
                card = cards.fields(self._card(known, provider, model))
            if not facts.holds(rule.condition, card):
                raise _refused(rule, name, card)

    # -- canaries

    async def runs(self, actor: Actor, model: str = "", limit: int = 50) -> list[CanaryRun]:
        """The newest first."""
        actor.need("read")
        provider, name = _split(model) if model else ("", "")
        return await self._database.read(store.runs, actor.scope, provider, name, min(limit, 500))

    async def keep_run(self, scope: Scope, run: CanaryRun) -> None:
        await self._database.write(_keep_run, scope, run)

    async def last_run(self, scope: Scope, provider: str, model: str) -> CanaryRun | None:
        """The newest that has answers."""
        found = await self._database.read(store.runs, scope, provider, model, 20)
        return next((run for run in found if run.verdict != "failed"), None)


def _prices(price_as: str, model: str, at_ns: int, book: Any, provider: str) -> tuple[tuple[str, Any, str], ...]:
    found = prices.rates(price_as, model, at_ns, book, provider)
    if found is None:
        return ()
    source, rates = found
    where = "own" if book is not None and not source.startswith(("genai-prices", "local")) else "list"
    if rates is None:
        return (("usd_in", 0.0, where), ("usd_out", 0.0, where))
    listed = (("usd_in", rates.input), ("usd_out", rates.output))
    return tuple((name, round(tiers[-1][1] / rates.scale / 1000, 9), where) for name, tiers in listed if tiers)


def _refused(rule: ModelRule, name: str, card: dict[str, Any]) -> Forbidden:
    failing = [field for field, wanted in rule.condition.items() if not facts.holds({field: wanted}, card)]
    fields = list(dict.fromkeys(facts.named({field: rule.condition[field] for field in failing})))
    shown = ", ".join(f"{field} is {card.get(field, 'not known')}" for field in fields)
    return Forbidden(
        f"The rule '{rule.name}' allows only models with {facts.words(rule.condition)}; of {name}, {shown}. Nothing was sent. "
        "Take another model, or have an administrator change the rule or complete the model's card.",
        code="model_rule",
        rule=rule.name,
        field=fields[0] if fields else "",
        param="model",
    )


def _split(model: str) -> tuple[str, str]:
    provider, slash, name = model.partition("/")
    if not slash or not provider or not name:
        raise Invalid(f"'{model[:200]}' is no model: write PROVIDER/MODEL.", field="model")
    return provider, name


def _check_day(day: str) -> None:
    from datetime import date

    try:
        if day:
            date.fromisoformat(day)
    except ValueError:
        raise Invalid(f"retires: '{day[:40]}' is no day: write 2026-01-05. Nothing was stored.", field="retires") from None


def _set(connection: Connection, actor: Actor, provider: str, model: str, fields: dict[str, Any]) -> None:
    store.put(connection, actor.scope, provider, model, fields, clock.now_ns(), actor.id)
    audit.write(connection, actor.scope, actor.id, "model.set", f"model:{provider}/{model}", fields)


def _put_rule(connection: Connection, actor: Actor, rule: ModelRule) -> None:
    store.put_rule(connection, actor.scope, rule)
    details = {"models": rule.models, "condition": rule.condition}
    audit.write(connection, actor.scope, actor.id, "model.rule", f"rule:{rule.name}", details)


def _remove_rule(connection: Connection, actor: Actor, name: str) -> bool:
    done = store.delete_rule(connection, actor.scope, name)
    if done:
        audit.write(connection, actor.scope, actor.id, "model.rule.remove", f"rule:{name}", {})
    return done


def _keep_run(connection: Connection, scope: Scope, run: CanaryRun) -> None:
    store.put_run(connection, scope, run)
    if run.verdict == "changed":
        audit.write(
            connection, scope, run.by, "model.changed", f"model:{run.provider}/{run.model}", {"run": run.id, "why": run.why}
        )
