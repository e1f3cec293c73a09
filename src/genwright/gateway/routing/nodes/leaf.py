"""Leaves: a provider's model, and another route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.errors import Unavailable
from genwright.gateway.routing import kinds
from genwright.gateway.routing.tree import Loader, Node, Steps, Wait
from genwright.gateway.routing.types import Candidate, Outcome

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip

MOST_RETRIES = 5
PAUSES_S = (0.2, 1.0)
"""Before the first repetition, and at most; each is shortened by chance so that callers do not come back together."""
LONGEST_PAUSE_S = 10.0
"""A rate limit that asks for more is left to the next node, or to the caller."""


class Model(Node):
    """One provider's model."""

    WORD: ClassVar[str] = "model"

    model: str
    """PROVIDER/MODEL."""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    """Laid over the call's, under OpenAI's names; null takes one away."""
    timeout_s: float | None = None
    first_chunk_s: float | None = None
    retries: int = 0
    """Further attempts at the same model after a failure that may pass, within the retry budget."""
    context: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        provider, slash, name = self.model.partition("/")
        if not slash or not provider or not name or provider in ("app", "route"):
            raise ValueError(f"'{self.model[:80]}' is no model: write PROVIDER/MODEL")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise ValueError(f"retries is {self.retries}; it is 0 to {MOST_RETRIES}")
        for seconds in (self.timeout_s, self.first_chunk_s):
            if seconds is not None and not 0 < seconds <= 86_400:
                raise ValueError("a timeout is more than 0 and at most 86400 seconds")
        if self.context is not None:
            from genwright.gateway.context import read

            read(self.context)

    def walk(self, trip: Trip, at: str) -> Steps:
        candidate = Candidate(
            provider=self.provider,
            model=self.name,
            step=at,
            parameters=self.parameters,
            timeout_s=self.timeout_s,
            first_chunk_s=self.first_chunk_s,
            context=self.context or trip.context,
        )
        refusal = trip.refuses(candidate)
        if refusal is not None:
            return Outcome(candidate, error=refusal)
        outcome = yield candidate
        for number in range(self.retries):
            if kinds.kind(outcome) not in ("unavailable", "timeout", "rate_limit", "cut"):
                break
            pause = self._pause(trip, outcome, number)
            left = trip.left_s()
            if pause > LONGEST_PAUSE_S or (left is not None and pause >= left):
                break
            yield _pause(pause)
            if trip.refuses(candidate) is not None:
                break
            trip.note(at, f"{kinds.kind(outcome)}: asked again")
            outcome = yield candidate
        return outcome

    def _pause(self, trip: Trip, outcome: Outcome, number: int) -> float:
        if kinds.kind(outcome) == "rate_limit":
            return float(getattr(outcome.error, "retry", 1.0) or 0.0)
        return min(PAUSES_S[0] * 2**number, PAUSES_S[1]) * (0.5 + trip.means.chance() / 2)

    def leaves(self) -> Iterator[Model]:
        yield self

    def ready(self, trip: Trip) -> bool:
        return trip.may_ask(self.provider, self.name)

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]

    @property
    def name(self) -> str:
        """As the provider names it."""
        return self.model.partition("/")[2]

    def says(self) -> str:
        said = [f"{name} {value:g} s" for name, value in (("timeout", self.timeout_s), ("first", self.first_chunk_s)) if value]
        said += [f"{self.retries} retries"] if self.retries else []
        return ", ".join([*said, *(f"{name}={value}" for name, value in self.parameters.items())])


def _pause(seconds: float) -> Wait:
    import asyncio

    return Wait(lambda: asyncio.sleep(seconds), "pause")


class SubRoute(Node):
    """Another route, as a part of this one."""

    WORD: ClassVar[str] = "route"

    ref: str
    """route/NAME[@label|@n]; without a selector its label production, else its newest version."""
    resolved: Any = None
    """Filled in when the route is loaded: (version's ref, its content, root node)."""

    def __post_init__(self) -> None:
        if self.resolved is not None or not self.ref.startswith("route/"):
            raise ValueError("a route node has the field ref: route/NAME[@label|@n]")

    async def load(self, loader: Loader) -> list[tuple[str, str]]:
        version, content, root = await loader.route(self.ref)
        self.resolved = (version.ref, content, root)
        return [(self.ref, version.digest)]

    def walk(self, trip: Trip, at: str) -> Steps:
        if self.resolved is None:
            return Outcome(Candidate("route", self.ref, at), error=Unavailable(f"{self.ref} was not loaded.", code="condition"))
        trip.note(at, f"{self.ref} = {self.resolved[0]}")
        outer, trip.context = trip.context, self.resolved[1].context or trip.context
        try:
            return (yield from self.resolved[2].walk(trip, at))
        finally:
            trip.context = outer

    def leaves(self) -> Iterator[Model]:
        if self.resolved is not None:
            yield from self.resolved[2].leaves()

    def ready(self, trip: Trip) -> bool:
        return self.resolved is not None and self.resolved[2].ready(trip)

    def says(self) -> str:
        return self.resolved[0].partition("sha256:")[2][:12] if self.resolved is not None else ""
