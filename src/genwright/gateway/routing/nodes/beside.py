"""Nodes that ask a second model beside the first: mirror (to compare, never awaited) and hedge (against the slow tail)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.gateway.routing.tree import Node, Steps
from genwright.gateway.routing.trip import altered
from genwright.gateway.routing.types import Candidate

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip

LEAST_KNOWN = 20
"""Answers whose times must be known before a hedge starts by their p95."""

LEAST_AFTER_S = 0.02


class Mirror(Node):
    """Shadow traffic: a share of the calls goes to `shadow` too. Its answer is kept as a span and billed; nobody waits for it."""

    SLOTS: ClassVar = ("node", "shadow")
    WORD: ClassVar[str] = "mirror"

    node: Any
    shadow: Any
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}; it is 0 to 1")

    def walk(self, trip: Trip, at: str) -> Steps:
        shadow: Candidate | None = None
        if trip.means.chance() < self.share:
            shadow = yield from trip.first_of(self.shadow, f"{at}.shadow")
            trip.note(at, f"mirrored to {shadow.name}" if shadow else "nobody to mirror to")
        sent = False

        def with_shadow(candidate: Candidate) -> Candidate:
            nonlocal sent
            if shadow is None or sent:
                return candidate
            sent = True
            return msgspec.structs.replace(candidate, shadows=(*candidate.shadows, shadow))

        return (yield from altered(self.node.walk(trip, f"{at}.node"), with_shadow))

    def leaves(self) -> Any:
        return self.node.leaves()

    def ready(self, trip: Trip) -> bool:
        return self.node.ready(trip)

    def edge(self, place: str) -> str:
        return "answers" if place == "node" else f"mirrored {100 * self.share:.3g} %"


class Hedge(Node):
    """If nothing came by the live p95 (or `after_s`), a second request is sent; the first answer counts. At most 2 % of calls."""

    SLOTS: ClassVar = ("node", "to")
    WORD: ClassVar[str] = "hedge"

    node: Any
    to: Any = None
    """Who gets the second request; the same model without."""
    after_s: float | None = None

    def __post_init__(self) -> None:
        if self.after_s is not None and not 0 < self.after_s <= 3600:
            raise ValueError("after_s is more than 0 and at most 3600 seconds")

    def walk(self, trip: Trip, at: str) -> Steps:
        other = (yield from trip.first_of(self.to, f"{at}.to")) if self.to is not None else None
        first = True

        def with_hedge(candidate: Candidate) -> Candidate:
            nonlocal first
            if not first:
                return candidate
            first = False
            after = self.after_s or self._after(trip, candidate)
            if after is None:
                trip.note(at, f"no hedge: fewer than {LEAST_KNOWN} answers are known")
                return candidate
            second = other or msgspec.structs.replace(candidate, step=f"{at}.to", shadows=())
            trip.note(at, f"hedged to {second.name} after {after:.3f} s")
            return msgspec.structs.replace(candidate, hedge=second, hedge_after_s=after)

        return (yield from altered(self.node.walk(trip, f"{at}.node"), with_hedge))

    def _after(self, trip: Trip, candidate: Candidate) -> float | None:
        """The live p95, but not what is only the jitter of quick answers: the budget would be gone before it is needed."""
        p95 = trip.health.latency_s(trip.scope, candidate.provider, candidate.model, 0.95, least=LEAST_KNOWN)
        p50 = trip.health.latency_s(trip.scope, candidate.provider, candidate.model, 0.5, least=LEAST_KNOWN)
        return None if p95 is None or p50 is None else max(p95, 1.5 * p50, LEAST_AFTER_S)

    def leaves(self) -> Any:
        return self.node.leaves()

    def edge(self, place: str) -> str:
        return "first" if place == "node" else ("after p95" if self.after_s is None else f"after {self.after_s:g} s")
