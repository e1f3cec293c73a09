"""The desk every call passes: what its key may call, how often and for how much; and the verbs of limits and budgets.

Limits are definitions in the registry database, kept in memory as rules; what was used is in the ledger. Knows how a limit is
asked and told about; how its counters are written is book.py's, what one attempt puts aside reserve.py's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Forbidden, Unavailable
from genwright.gateway.money import store
from genwright.gateway.money.answers import Answers
from genwright.gateway.money.book import Book
from genwright.gateway.money.posting import Held, Hold, Item, Move, Part, Refused
from genwright.gateway.money.reserve import over
from genwright.gateway.money.rules import KEEP_NS, Plan, Rule, allowed, plan
from genwright.gateway.money.types import LedgerRow, LimitEvent
from genwright.gateway.money.usual import Usual
from genwright.gateway.money.windows import SECOND, Steady
from genwright.gateway.types import Call
from genwright.vocab import new_id

REPLICA_S = 0.45
"""On PostgreSQL another server may have set a limit: look again after this long."""
MAX_PLANS = 20_000
OPERATION = {
    "image_generation": "images", "image_edit": "images", "speech": "audio", "transcription": "audio", "translation": "audio",
    "video_generation": "videos", "moderation": "moderations",
}  # fmt: skip
"""What a key's terms call an operation, where its spans call it otherwise."""
UNMETERED = [(b"x-genwright-unmetered", b"1")]
log = logging.getLogger("genwright.gateway")


class Admission:
    """Leave to make one call, until it is closed."""

    __slots__ = ("_book", "_busy", "_hold", "_open", "plan", "unmetered")

    def __init__(self, plan: Plan, book: Book):
        self.plan = plan
        self.unmetered = False
        self._book = book
        self._busy: list[Rule] = []
        self._hold: tuple[Hold, Held] | None = None
        self._open = True

    def enter(self, rule: Rule) -> None:
        rule.busy += 1
        self._busy.append(rule)

    def keep(self, hold: Hold, held: Held) -> None:
        self._hold = (hold, held)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """x-ratelimit-* of the tightest limits on requests and tokens, as OpenAI names them."""
        out = list(UNMETERED) if self.unmetered else []
        now_ns = clock.now_ns()
        for metric, rules in (("requests", self.plan.requests), ("tokens", self.plan.tokens)):
            hard = [rule for rule in rules if rule.limit.hard]
            if hard:
                rule = min(hard, key=lambda rule: rule.left + rule.free)
                seconds = max(0, (rule.ends_ns - now_ns) // SECOND)
                for name, value in (("limit", rule.limit.amount), ("remaining", rule.left + rule.free)):
                    out.append((f"x-ratelimit-{name}-{metric}".encode(), str(value).encode()))
                out.append((f"x-ratelimit-reset-{metric}".encode(), f"{seconds}s".encode()))
        return out

    def close(self) -> None:
        """The call is over: its place is free."""
        if not self._open:
            return
        self._open = False
        for rule in self._busy:
            rule.busy -= 1
        if self._hold is not None:
            self._book.give_back(*self._hold)


class Desk:
    def __init__(self, databases: dict, settings: Any, prices: Any = None, told: Callable[[LedgerRow], None] | None = None):
        self._registry = databases["registry"]
        self._shared = self._registry.postgres
        """Whether other servers use the same ledger."""
        self._look_again_s = REPLICA_S if self._shared else float("inf")
        self._fail_open = settings.limits_fail_open
        self._ttl_s = settings.reservation_ttl_s
        self.default_cap = settings.default_max_output_tokens
        self.prices = prices
        self.time = Steady()
        self.usual = Usual()
        self.book = Book(databases["ledger"], self._event)
        self.answers = Answers(databases["ledger"], self.book.server, self.watch)
        self._told = told
        self._rules: dict[str, list[Rule]] = {}
        self._looked: dict[str, float] = {}
        self._plans: dict[str, Plan] = {}
        self._generation = 0
        self._reading = asyncio.Lock()
        self._keeper: asyncio.Task | None = None
        self._settled = False
        """Whether everything that dead servers left is booked for good (nobody else uses this ledger)."""
        self.unmetered = 0
        """Calls let pass while the ledger could not be asked (limits_fail_open)."""

    # -- a call

    async def admit(self, actor: Actor, call: Call, operation: str) -> Admission:
        """Leave to make a call. Raises Forbidden for what the key's terms leave out, RateLimited where a limit is reached.

        Terms bind what a caller asks for by name; what an app or a route then calls is theirs to know.
        """
        if call.told is not None:
            self.permit(actor, call.model, operation)
        plan = self._plans.get(actor.id)
        if plan is None or plan.actor is not actor or plan.generation != self._generation or self._shared:
            plan = await self.plan(actor)
        admission = Admission(plan, self.book)
        if plan.concurrent or plan.requests:
            try:
                await self._enter(admission, call)
            except BaseException:
                admission.close()
                raise
        return admission

    def permit(self, actor: Actor, model: str, operation: str) -> None:
        """Raise Forbidden unless the actor's terms allow the model and the operation."""
        terms = actor.terms
        if terms.operations and OPERATION.get(operation, operation) not in terms.operations:
            raise Forbidden(
                f"'{actor.name}' may not use {operation}, only {', '.join(terms.operations) or 'nothing'}. Nothing was sent.",
                code="operation_not_allowed",
            )
        if terms.models and not allowed(terms.models, model):
            raise Forbidden(
                f"'{actor.name}' may not call '{model[:200]}', only {', '.join(terms.models)}. Nothing was sent.",
                code="model_not_allowed", param="model",
            )  # fmt: skip

    async def _enter(self, admission: Admission, call: Call) -> None:
        now_ns = self.time.now_ns()
        try:
            await self._take_places(admission, call, now_ns)
            await self._take_requests(admission.plan, call, now_ns)
        except Unavailable:
            self.let_pass(admission)

    def let_pass(self, admission: Admission) -> None:
        """While the ledger is away: raise on, unless the operator chose to go on unmetered; then it is counted and marked."""
        if not self._fail_open:
            raise Unavailable(
                "Limits cannot be checked now, because the ledger is away. Nothing was sent. Try again shortly. "
                "(GENWRIGHT_LIMITS_FAIL_OPEN=1 would let calls pass unmetered.)",
                code="ledger_unavailable",
            )
        admission.unmetered = True
        self.unmetered += 1
        if self.unmetered % 1000 == 1:
            log.warning("calls pass unmetered: the ledger is away (%d so far)", self.unmetered)

    async def _take_places(self, admission: Admission, call: Call, now_ns: int) -> None:
        """Places among the calls under way: in memory, or in the ledger where other servers count too."""
        parts = []
        rules = [rule for rule in admission.plan.concurrent if rule.covers(call.model)]
        for rule in rules:
            rule.enter(now_ns)
            if self._shared and rule.limit.hard:
                parts.append(Part(rule.limit.id, 0, 1, rule.limit.amount, False))
            elif rule.busy >= rule.limit.amount and rule.limit.hard:
                raise over(rule, 0, rule.busy, 0, 1, now_ns)
            admission.enter(rule)
        if parts:
            self.watch()
            scope = admission.plan.actor.scope
            hold = Hold(scope.workspace, scope.project, new_id("run"), tuple(parts), None)
            outcome = await self.book.hold(hold)
            if isinstance(outcome, Refused) and self.book.kept:  # places that were left a moment ago are on their way
                await self.book.flush()
                outcome = await self.book.hold(hold)
            if isinstance(outcome, Refused):
                raise over(next(r for r in rules if r.limit.id == outcome.part.limit_id), 0, outcome.held, 0, 1, now_ns)
            admission.keep(hold, outcome)

    async def _take_requests(self, plan: Plan, call: Call, now_ns: int) -> None:
        moves: list[Move] = []
        drawn: list[tuple[Rule, int]] = []
        for rule in plan.requests:
            if not rule.covers(call.model):
                continue
            self.enter(rule, now_ns)
            if not rule.limit.hard:
                moves.append(rule.move(spent=1))
                continue
            begins_ns = await rule.draw(self.book, 1)
            if begins_ns is None:
                moves = []
                for taken, taken_ns in drawn:
                    taken.put_back(1, taken_ns, moves)
                if moves:
                    self.book.settle(Item(moves=tuple(moves)))
                raise over(rule, rule.begins_ns, rule.limit.amount, 0, 1, now_ns)
            drawn.append((rule, begins_ns))
            moves.append(rule.move(spent=1, leased=-1, window_ns=begins_ns))
        if moves:
            self.book.settle(Item(moves=tuple(moves)))

    def enter(self, rule: Rule, now_ns: int) -> None:
        """Look at the time for a rule; counters of windows long over are forgotten."""
        if rule.enter(now_ns):
            keep_ns = KEEP_NS.get(rule.limit.window)
            if keep_ns is not None:
                self.book.forget(rule.limit.workspace, rule.limit.id, rule.begins_ns - keep_ns)

    # -- the rules

    async def plan(self, actor: Actor) -> Plan:
        """The rules that cover an actor."""
        workspace = actor.scope.workspace
        looked = self._looked.get(workspace)
        age_s = float("inf") if looked is None else clock.monotonic() - looked
        if age_s >= self._look_again_s and (age_s >= 2 * self._look_again_s or not self._reading.locked()):
            await self._read(workspace)  # while one call looks again, others go on with what is known, for as long again
        known = self._plans.get(actor.id)
        if (
            known is not None
            and known.generation == self._generation
            and (known.actor is actor or (known.actor.scope == actor.scope and known.actor.nodes == actor.nodes))
        ):
            return known
        made = plan(actor, self._generation, self._rules.get(workspace, []))
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._plans[actor.id] = made
        return made

    async def _read(self, workspace: str, *, again: bool = False) -> None:
        """Read the limits of a workspace; where that fails those known before stand, and without any nothing can be checked."""
        looked = self._looked.get(workspace)
        async with self._reading:
            if self._looked.get(workspace) != looked and not again:
                return  # somebody else has just looked
            began = clock.monotonic()
            try:
                limits = await self._registry.read(store.all_limits, workspace)
            except sa.exc.SQLAlchemyError as error:
                if workspace not in self._rules:
                    raise Unavailable("The limits of this workspace cannot be read now. Nothing was sent.") from error
                log.warning("limits not read again: %s", error)
                limits = [rule.limit for rule in self._rules[workspace]]
            self._looked[workspace] = began
            known = {rule.limit.id: rule for rule in self._rules.get(workspace, [])}
            rules = []
            for limit in limits:
                rule = known.pop(limit.id, None)
                if rule is None or rule.limit != limit:
                    self._retire(rule)
                    rule = Rule(limit)
                rules.append(rule)
            for rule in known.values():
                self._retire(rule)
            if rules != self._rules.get(workspace, []):
                self._generation += 1
            self._rules[workspace] = rules
        self.watch()

    def _retire(self, rule: Rule | None) -> None:
        move = None if rule is None else rule.surrender()
        if move is not None:
            self.book.settle(Item(moves=(move,)))

    async def changed(self, workspace: str) -> None:
        """A limit was set or removed: what it says holds from now on, here."""
        await self._read(workspace, again=True)

    def rules(self, workspace: str) -> list[Rule]:
        return self._rules.get(workspace, [])

    # -- the ledger

    def settle(self, item: Item, held: Held | None = None) -> None:
        """Book the end of an attempt, and of its hold."""
        self.book.settle(item, held)
        if self._told is not None and item.row is not None:
            self._told(item.row)

    def _event(self, event: LimitEvent) -> None:
        log.warning("limit %s: %s", event.kind, event.message)

    def watch(self) -> None:
        """Have somebody say that this server lives, and book what dead ones held."""
        if self._keeper is None or (self._keeper.done() and not self._settled):
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            try:
                await self.book.bury(self._ttl_s, alone=not self._shared)
            except Error as error:
                log.warning("the ledger is away: %s", error.message)
            else:
                self._settled = not self._shared
            if self._settled:
                return  # nobody else: what was left was left by those before us
            await asyncio.sleep(self._ttl_s / 4)

    async def flush(self) -> None:
        """Return when everything settled so far is on disk."""
        await self.book.flush()

    async def close(self) -> None:
        """Give leases back and write what waits."""
        if self._keeper is not None:
            self._keeper.cancel()
        for rules in self._rules.values():
            for rule in rules:
                self._retire(rule)
        await self.book.close()
