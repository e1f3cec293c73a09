"""What one attempt has put aside, and what becomes of it. Retries, fallbacks and hedges are attempts of their own.

Money under a hard budget is a hold on disk before dispatch; tokens under a hard limit come out of leases; soft limits put
nothing aside and count what was used. Knows neither spans nor dialects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from genwright import failpoints
from genwright.errors import NEVER, Invalid, RateLimited
from genwright.gateway.money.book import Book
from genwright.gateway.money.posting import Held, Hold, Item, Move, Part, Refused
from genwright.gateway.money.rules import Plan, Rule
from genwright.gateway.money.types import LedgerRow
from genwright.gateway.money.windows import FOREVER, SECOND


class Bounds(NamedTuple):
    """How much an attempt can use at most."""

    input_tokens: int
    output_tokens: int
    counted: Callable[[], int]
    """A nearer count of the input; slow, asked for only where the bound would refuse the call."""
    dearest: Callable[[int, int], int | None]
    """(input tokens, output tokens) → nano-dollars at most, or None where no price is known."""
    row: Callable[[int, int, int], LedgerRow]
    """(input tokens, output tokens, nano-dollars) → how the ledger books it should this server die."""


class Reservation:
    __slots__ = ("_drawn", "_tokens", "_usd", "amount", "hard", "held", "unknown")

    def __init__(self, usd: tuple[Rule, ...], tokens: tuple[Rule, ...]):
        self._usd = [(rule, rule.begins_ns) for rule in usd]
        self._tokens = [(rule, rule.begins_ns) for rule in tokens]
        self.held: Held | None = None
        self.unknown = False
        """Whether the answer came without a word of what it used, and cannot be counted."""
        self._drawn = 0
        self.amount = 0
        """Nano-dollars put aside on disk; 0 where no hard budget asks for it."""
        self.hard = any(rule.limit.hard for rule in usd) or any(rule.limit.hard for rule in tokens)

    async def take(self, book: Book, bounds: Bounds, now_ns: int) -> None:
        """Put the worst case aside. Raises RateLimited where it does not fit, Invalid (no_price) where it cannot be known."""
        input_tokens = bounds.input_tokens
        refused = await self._try(book, bounds, input_tokens, now_ns)
        if refused is not None:
            nearer = await asyncio.to_thread(bounds.counted)
            if nearer < input_tokens:
                refused = await self._try(book, bounds, nearer, now_ns)
        if refused is not None:
            raise refused
        failpoints.passing("gateway.after_reserve")

    async def _try(self, book: Book, bounds: Bounds, input_tokens: int, now_ns: int) -> RateLimited | None:
        """One trial; what it took is given back where it fails."""
        need = input_tokens + bounds.output_tokens
        drawn: list[tuple[Rule, int]] = []
        try:
            for rule, _ in self._tokens:
                if not rule.limit.hard:
                    continue
                begins_ns = await rule.draw(book, need)
                if begins_ns is None:
                    self._return(book, drawn, need)
                    return over(rule, rule.begins_ns, rule.limit.amount - rule.free, 0, need, now_ns)
                drawn.append((rule, begins_ns))
            refused = await self._hold_money(book, bounds, input_tokens)
        except BaseException:
            self._return(book, drawn, need)
            raise
        if refused is not None:
            self._return(book, drawn, need)
            rule = next(rule for rule, _ in self._usd if rule.limit.id == refused.part.limit_id)
            return over(rule, refused.part.window_ns, refused.used, refused.held, refused.part.amount, now_ns)
        if drawn:
            self._drawn = need
            self._tokens = [*drawn, *((rule, begins_ns) for rule, begins_ns in self._tokens if not rule.limit.hard)]
        return None

    async def _hold_money(self, book: Book, bounds: Bounds, input_tokens: int) -> Refused | None:
        hard = [(rule, begins_ns) for rule, begins_ns in self._usd if rule.limit.hard]
        if not hard:
            return None
        worst = bounds.dearest(input_tokens, bounds.output_tokens)
        if worst is None:
            raise Invalid(
                f"No price is known for this model, and a hard budget ({hard[0][0].limit.id} of {hard[0][0].limit.node}) covers "
                "the call. Nothing was sent. Set its price (genwright prices set), or make the budget soft.",
                code="no_price", param="model",
            )  # fmt: skip
        if worst == 0:
            return None
        row = bounds.row(input_tokens, bounds.output_tokens, worst)
        parts = tuple(Part(rule.limit.id, begins_ns, worst, rule.limit.amount, True) for rule, begins_ns in hard)
        hold = Hold(row.workspace, row.project, row.id, parts, row)
        outcome = await book.hold(hold)
        if isinstance(outcome, Refused):
            return outcome
        self.held, self.amount = outcome, worst
        return None

    def _return(self, book: Book, drawn: list[tuple[Rule, int]], need: int) -> None:
        moves: list[Move] = []
        for rule, begins_ns in drawn:
            rule.put_back(need, begins_ns, moves)
        if moves:
            book.settle(Item(moves=tuple(moves)))

    def settle(self, row: LedgerRow) -> Item:
        """The end of the attempt: the row, and what moves in every limit that covers it. The hold (`held`) ends with it."""
        used = row.input_tokens + row.output_tokens
        moves: list[Move] = []
        for rule, begins_ns in self._usd:
            held = self.amount if rule.limit.hard else 0
            if held or row.nano_usd:
                moves.append(rule.move(spent=row.nano_usd or 0, held=-held, window_ns=begins_ns))
        for rule, begins_ns in self._tokens:
            drawn = self._drawn if rule.limit.hard else 0
            if drawn > used:
                rule.put_back(drawn - used, begins_ns, moves)
                drawn = used
            if drawn or used:
                moves.append(rule.move(spent=used, leased=-drawn, window_ns=begins_ns))
        return Item(row, tuple(moves))

    def within(self, cost: int) -> int:
        """An estimated cost, at most what was put aside; just that where nobody knows what was used."""
        return self.amount if self.unknown else min(cost, self.amount) if self.amount else cost


def over(rule: Rule, window_ns: int, used: int, held: int, need: int, now_ns: int) -> RateLimited:
    """What a caller is told when a limit does not allow its call."""
    limit = rule.limit
    wait_s = max(1.0, (rule.ends_ns - now_ns) / SECOND)
    retry: str | float = NEVER if rule.ends_ns == FOREVER else wait_s
    if limit.metric == "usd" and held and used + need <= limit.amount:
        retry = 1.0  # what is in the way is calls under way, which will settle for less
    if limit.metric == "usd":
        text = (
            f"The budget of {limit.node} ({_usd(limit.amount)} a {limit.window}) does not allow this call: {_usd(used)} spent, "
            f"{_usd(held)} reserved for calls under way, up to {_usd(need)} needed. Nothing was sent."
        )
    else:
        each = "at once" if limit.metric == "concurrent" else f"a {limit.window}"
        text = f"The limit of {limit.node} is {limit.amount:,} {limit.metric} {each}, and it is reached. Nothing was sent."
    if retry == NEVER:
        text += " An administrator can raise it."
    else:
        text += f" Try again in {retry:.0f} s."
    code = "budget_exceeded" if limit.metric == "usd" else "rate_limit_exceeded"
    return RateLimited(text, code=code, retry=retry, limit=limit.id, node=limit.node, metric=limit.metric, window_ns=window_ns)


def _usd(nano: int) -> str:
    return f"${nano / 1e9:,.6f}".rstrip("0").rstrip(".")


def choose(plan: Plan, now_ns: int, *names: str) -> Reservation | None:
    """The reservation of an attempt at a model so named; None where no limit on money or tokens covers it."""
    usd, tokens = plan.usd, plan.tokens
    if not plan.all_models:
        usd = tuple(rule for rule in usd if rule.covers(*names))
        tokens = tuple(rule for rule in tokens if rule.covers(*names))
        if not usd and not tokens:
            return None
    for rule in usd:
        rule.enter(now_ns)
    for rule in tokens:
        rule.enter(now_ns)
    return Reservation(usd, tokens)
