"""One call's way through a route's tree: runs the nodes' generators, keeps the account of attempts, remembers why.

Decides nothing itself but who may not be asked now (deadline, breaker, retry budget, a requirement). Sends nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Unavailable, UpstreamTimeout
from genwright.gateway.routing import kinds
from genwright.gateway.routing.facts import Facts
from genwright.gateway.routing.health import Health, fault
from genwright.gateway.routing.tree import Node, Steps, Wait
from genwright.gateway.routing.types import Candidate, Outcome
from genwright.gateway.types import Call
from genwright.vocab import ROUTE_REF, ROUTE_STEP

Allows = Callable[["Trip", str, str], str]
"""(trip, provider, model) → why a model may not be asked, "" where it may."""


class Means(msgspec.Struct):
    """What walks need from outside; one per server."""

    health: Health
    chance: Callable[[], float] = random.random
    """0 … 1."""
    catalogue: Callable[[Any, str, str], dict[str, Any] | None] = lambda scope, provider, model: None
    """(scope, provider, model) → what is known of a model; None: nothing."""
    prepare: Any = None
    """async (scope): load what `catalogue` looks into."""
    ask: Any = None
    """async (actor, call) → Answer: a judge model."""
    measure: Any = None
    """async (metric, question, answer) → float: a metric of evaluations."""
    learned: Any = None
    """Fitted routers (gateway/learned/readings.py): `await read(scope, weights, text)`, `saw(scope, weights, reading, far)`."""


class Trip:
    """A Walk (see types.py)."""

    def __init__(self, means: Means, actor: Actor, call: Call, root: Node, ref: str = "", dry: bool = False):
        self.means, self.actor, self.call, self.ref, self.dry = means, actor, call, ref, dry
        self.scope, self.health = actor.scope, means.health
        self.facts = Facts(actor, call)
        self.result: Outcome | None = None
        self.error: BaseException | None = None
        self.attempts = 0
        self.failures = 0
        self.requirements: list[Allows] = []
        self.context: dict[str, Any] | None = None
        """Context policy of the route that is being walked."""
        self.notes: list[tuple[str, str]] = []
        """(place, what was decided there and why)."""
        self.exposures: dict[str, str] = {}
        self.escalations: list[dict[str, Any]] = []
        self.skipped: list[dict[str, str]] = []
        self.marks: dict[str, Any] = {}
        """Further attributes of the route's span."""
        self._steps: Steps | None = root.walk(self, "root")
        self._begun = self._retry = False

    # -- the walk

    async def next(self, outcome: Outcome | None) -> Candidate | None:
        """See Walk."""
        if self._steps is None:
            return None
        if outcome is not None:
            self._account(outcome)
            if outcome.committed:
                self._over(outcome)
                return None
        value: Any = outcome
        while True:
            try:
                item = self._steps.send(value) if self._begun else next(self._steps)
            except StopIteration as stop:
                self._over(stop.value)
                return None
            self._begun = True
            if isinstance(item, Candidate):
                self._count(item)
                return item
            value = await self._waited(item)

    async def _waited(self, wait: Wait) -> Any:
        if self.dry and wait.kind != "compute":
            return Unavailable("An explanation asks nobody.")
        try:
            return await wait.make()
        except Error as error:
            return error

    def _count(self, candidate: Candidate) -> None:
        self.attempts += 1
        self._retry = self.failures > 0
        if not self.dry and self.attempts == 1:
            self.health.called(self.scope, candidate.provider, candidate.model)

    def _account(self, outcome: Outcome) -> None:
        if not fault(outcome.error):
            return
        self.failures += 1
        if self._retry and not self.dry:
            self.health.retried(self.scope, outcome.candidate.provider, outcome.candidate.model)

    def _over(self, outcome: Outcome) -> None:
        self.close()
        if outcome.answer is not None:
            self.result = outcome
        else:
            self.error = outcome.error or Unavailable("The route led to nobody. Nothing was sent.", code="no_candidate")

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def may_hedge(self, candidate: Candidate) -> bool:
        return self.health.may_hedge(self.scope, candidate)

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {ROUTE_REF: self.ref, "genwright.route_attempts": self.attempts}
        if self.result is not None:  # who answered, so that the trace is found and shown by it
            answered = self.result.candidate
            found[ROUTE_STEP] = answered.step
            found["gen_ai.request.model"], found["gen_ai.provider.name"] = answered.model, answered.provider
        if self.notes:
            found["genwright.route_notes"] = [f"{at}: {what}" for at, what in self.notes[:50]]
        if self.exposures:
            found["genwright.exposure"] = self.exposures
        if self.escalations:
            found["genwright.escalations"] = self.escalations
        if self.skipped:
            found["genwright.route_skipped"] = self.skipped[:50]
        return found | self.marks

    # -- asked by nodes

    def note(self, at: str, what: str) -> None:
        self.notes.append((at, what))

    def left_s(self) -> float | None:
        """Until the caller's deadline; None where there is none."""
        return None if not self.call.deadline else self.call.deadline - clock.monotonic()

    def refuses(self, candidate: Candidate) -> Error | None:
        """Why this one is not asked now."""
        provider, model = candidate.provider, candidate.model
        left = self.left_s()
        if left is not None and left <= 0:
            return UpstreamTimeout(
                "The caller's time was up before anybody answered. No further model was asked.", code="deadline_exceeded"
            )
        why: Error | None = None
        unmet = next((word for allows in self.requirements if (word := allows(self, provider, model))), "")
        if unmet:
            why = Unavailable(f"{candidate.name} was not asked: {unmet}. Nothing was sent.", code="condition")
        elif not self.health.ready(self.scope, provider, model):
            why = self.health.refusal(self.scope, provider, model)
        elif self.failures and not self.dry and not self.health.may_retry(self.scope, provider, model):
            why = Unavailable(
                f"{candidate.name} was not asked again: too many repetitions failed of late (retry budget).", code="retry_budget"
            )
        if why is not None:
            self.skipped.append({"step": candidate.step, "model": candidate.name, "why": why.code})
            self.note(candidate.step, f"skipped: {why.message}")
        return why

    def may_ask(self, provider: str, model: str) -> bool:
        """The same without a trace."""
        return self.health.ready(self.scope, provider, model) and not any(
            allows(self, provider, model) for allows in self.requirements
        )

    def key(self, by: str) -> str:
        """What a sticky choice holds on to: session, user, key or tag:NAME; "" where the call has none."""
        if by.startswith("tag:"):
            return self.call.tags.get(by[4:], "")
        return {"session": self.call.session, "user": self.call.user, "key": self.actor.id}.get(by, "")

    def apart(self) -> Trip:
        """A walk beside this one: it leaves no marks."""
        beside = Trip.__new__(Trip)
        beside.__dict__.update(self.__dict__)
        beside.dry, beside.notes, beside.skipped, beside.escalations, beside.exposures = True, [], [], [], {}
        beside.marks = {}
        beside.failures, beside._steps = 0, None
        return beside

    def first_of(self, node: Node, at: str) -> Generator[Wait, Any, Candidate | None]:
        """Whom a node would ask first."""
        steps = node.walk(self.apart(), at)
        try:
            item = next(steps)
            while isinstance(item, Wait):
                item = steps.send((yield item))
            return item
        except StopIteration:
            return None
        finally:
            steps.close()


def altered(steps: Steps, change: Callable[[Candidate], Candidate]) -> Steps:
    """The same steps with every candidate changed."""
    try:
        item = next(steps)
        while True:
            item = steps.send((yield change(item) if isinstance(item, Candidate) else item))
    except StopIteration as stop:
        return stop.value


def through(trip: Trip, at: str, nodes: list[tuple[str, Node]], on: tuple[str, ...] = kinds.USUAL) -> Steps:
    """One node after the other until one answers, or fails in a way that is not in `on`. The most telling failure is returned."""
    told: Outcome | None = None
    for place, node in nodes:
        outcome = yield from node.walk(trip, f"{at}.{place}")
        kind = kinds.kind(outcome)
        if not kind or (kind != kinds.SKIPPED and kind not in on):
            return outcome
        if told is None or kinds.kind(told) == kinds.SKIPPED or outcome.answer is not None:
            told = outcome
        trip.note(f"{at}.{place}", f"{kind}: the next is asked") if kind != kinds.SKIPPED else None
    assert told is not None, "a node with no children is refused at reading"
    return told
