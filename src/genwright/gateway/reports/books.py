"""The project's own price book: a registry artifact, `price_book:default`, whose newest version is in force.

Keeps the compiled book in memory, because every call asks for it; on PostgreSQL it looks again within a second, so that a price
set at one server reaches the others. What a row means is `genwright.price_book`; which call it prices is the ledger's affair.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

from genwright import clock, price_book, prices, yamls
from genwright.access.types import Actor
from genwright.errors import Invalid, Missing
from genwright.gateway.reports.types import BookVersion, ModelPrice
from genwright.price_book import PER, Book
from genwright.registry.service import Registry
from genwright.registry.types import Version
from genwright.vocab import Ref, Scope, nearest

KIND, NAME = "price_book", "default"
LOOK_AGAIN_S, MOST_S = 0.5, 0.8
"""On PostgreSQL: when it is looked again beside the calls, and when calls wait for it."""
EMPTY: dict[str, Any] = {"prices": {}}


class PriceBooks:
    def __init__(self, registry: Registry, replicated: bool):
        self._registry = registry
        self._look_again_s = LOOK_AGAIN_S if replicated else float("inf")
        self._held: dict[Scope, Book | None] = {}
        self._looked_s: dict[Scope, float] = {}
        self._looking: dict[Scope, asyncio.Future] = {}

    async def book(self, scope: Scope) -> Book | None:
        """The book in force, or None where there is none; never one that was last looked at longer than MOST_S ago."""
        looked = self._looked_s.get(scope)
        age_s = float("inf") if looked is None else clock.monotonic() - looked
        if age_s < self._look_again_s:
            return self._held[scope]
        look = self._looking.get(scope)
        if look is None:
            look = self._looking[scope] = asyncio.ensure_future(self._look(scope))
            look.add_done_callback(lambda done: self._looked(scope, done))
        return self._held[scope] if age_s < MOST_S else await asyncio.shield(look)

    async def _look(self, scope: Scope) -> Book | None:
        began, held = clock.monotonic(), self._held.get(scope)
        newest = await self._newest(scope)
        if newest is None or held is None or held.number != newest:
            held = None if newest is None else await self.version(scope, newest)
        if self._looking.get(scope) is asyncio.current_task():  # else a price was set meanwhile: what was seen is too old to keep
            self._held[scope], self._looked_s[scope] = held, began
        return held

    def _looked(self, scope: Scope, done: asyncio.Future) -> None:
        if self._looking.get(scope) is done:
            del self._looking[scope]
        if not done.cancelled():
            done.exception()  # whoever waits is told; where nobody does, the next call looks again

    async def version(self, scope: Scope, number: int) -> Book:
        """One version, ready to be asked. Raises Missing."""
        found = await self._registry.get(scope, Ref(KIND, NAME, number=number))
        return await asyncio.to_thread(Book, found.content, f"price book {NAME}@{found.number}", found.number)

    async def _newest(self, scope: Scope) -> int | None:
        try:
            return (await self._registry.artifact(scope, KIND, NAME)).newest
        except Missing:
            return None

    # -- what people do

    async def show(self, actor: Actor, number: int = 0) -> BookVersion:
        """A version with its prices, the newest where no number is given; an empty one where there is none yet."""
        actor.need("read")
        try:
            return _shown(await self._registry.get(actor.scope, Ref(KIND, NAME, number=number or None)))
        except Missing:
            if number:
                raise
            return BookVersion(0, {})

    async def history(self, actor: Actor) -> list[BookVersion]:
        """All versions without their prices, newest first."""
        actor.need("read")
        try:
            return [_shown(version) for version in await self._registry.versions(actor.scope, KIND, NAME)]
        except Missing:
            return []

    async def set(
        self, actor: Actor, changes: dict[str, Any], *, replace: bool = False, expected: int | None = None, note: str = ""
    ) -> BookVersion:
        """A new version with these prices; None takes a model's away. `replace`: nothing of the version before is kept.

        Raises Invalid naming the model and field, Missing for a model to be taken away that has no price, Conflict where
        somebody else was faster. Prices are money: this needs an administrator.
        """
        actor.need("admin")
        before = await self.show(actor)
        kept = {} if replace else dict(before.prices)
        for name, rows in changes.items():
            if rows is not None:
                kept[name] = rows
            elif kept.pop(name, None) is None and not replace:
                near = nearest(name, list(kept)) or list(kept)[:3]
                hint = f" Nearest: {', '.join(near)}." if near else ""
                raise Missing(f"The price book has no price of '{name[:200]}'. Nothing was changed.{hint}", code="no_price")
        content = await asyncio.to_thread(lambda: price_book.plain(price_book.read({"prices": kept})))
        seen = before.number if expected is None else expected
        version = await self._registry.put(actor, KIND, NAME, content, note=note, expected=seen)
        for known in (self._looked_s, self._held, self._looking):
            known.pop(actor.scope, None)
        return _shown(version)

    async def price_of(self, scope: Scope, name: str, provider: str, model: str, at_ns: int = 0) -> ModelPrice:
        """What one model costs, and where that stands. `provider`: the service behind the name."""
        if not name or not model:
            raise Invalid("A model is named PROVIDER/MODEL.", field="model")
        book, at_ns = await self.book(scope), at_ns or clock.now_ns()
        found = await asyncio.to_thread(prices.rates, provider, model, at_ns, book, name)
        if found is None:
            return ModelPrice(f"{name}/{model}", "", {}, note="Its price is not known: calls count as 'without a price'.")
        source, rates = found
        return ModelPrice(
            f"{name}/{model}", source, {} if rates is None else amounts(rates), note="free" if rates is None else ""
        )


def _shown(version: Version) -> BookVersion:
    return BookVersion(
        version.number, version.content.get("prices", {}), version.created_ns, version.created_by, version.note, version.digest
    )


def amounts(rates: prices.Rates) -> dict[str, str]:
    """Rates as dollars: {"input": "1.25", "input above 200000": "2.5", …}."""
    found = {}
    for field, per in PER.items():
        tiers = getattr(rates, field, None)
        if tiers is None and field in rates.units:
            tiers = [(-1, rates.units[field])]
        for above, rate in reversed(tiers or []):
            found[field if above < 0 else f"{field} above {above}"] = usd(Fraction(rate * per, rates.scale * price_book.NANO))
    return found


def usd(amount: Fraction) -> str:
    """Dollars as decimal text, without needless zeros; list prices have few digits, so twelve are exact."""
    digits = f"{round(amount * 10**12):013d}"
    return f"{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".")


def read_file(text: str, name: str = "The file") -> dict[str, Any]:
    """The prices in a book's file, YAML or JSON. Raises Invalid."""
    content = yamls.read(text, name)
    prices_ = content.get("prices", content) if isinstance(content, dict) else None
    if not isinstance(prices_, dict):
        raise Invalid('A price book holds "prices": PROVIDER/MODEL → prices. Nothing was stored.', code="bad_file")
    return prices_
