"""Conditions: on facts of the call (when), and on what the catalogue says of a model (require)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.errors import Unavailable
from genwright.gateway.routing import facts
from genwright.gateway.routing.tree import Node, Steps, Wait
from genwright.gateway.routing.types import Candidate, Outcome

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip


class Case(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"condition": "if"}):
    """{"if": condition, "node": …}."""

    condition: dict[str, Any]
    node: Any

    def __post_init__(self) -> None:
        facts.check(self.condition)


class When(Node):
    """The first case that holds; `otherwise` if none does."""

    SLOTS: ClassVar = ("cases[].node", "otherwise")
    WORD: ClassVar[str] = "when"

    cases: list[Case]
    otherwise: Any = None

    def __post_init__(self) -> None:
        if not self.cases:
            raise ValueError("cases is empty: name at least one")

    def walk(self, trip: Trip, at: str) -> Steps:
        if any("tokens" in facts.named(case.condition) for case in self.cases):
            yield Wait(trip.facts.count)
        for index, case in enumerate(self.cases):
            if facts.holds(case.condition, trip.facts):
                trip.note(at, f"cases[{index}] holds: {facts.words(case.condition)}")
                return (yield from case.node.walk(trip, f"{at}.cases[{index}].node"))
        if self.otherwise is None:
            error = Unavailable(f"No case of the route holds for this call (at {at}). Nothing was sent.", code="no_candidate")
            return Outcome(Candidate("", "", at), error=error)
        trip.note(at, "no case holds")
        return (yield from self.otherwise.walk(trip, f"{at}.otherwise"))

    def edge(self, place: str) -> str:
        return "otherwise" if place == "otherwise" else facts.words(self.cases[int(place[6 : place.index("]")])].condition)


class Require(Node):
    """Only models of which the catalogue says what is asked; the others below are passed over."""

    SLOTS: ClassVar = ("node",)
    WORD: ClassVar[str] = "require"

    models: dict[str, Any]
    """Condition on the catalogue's fields; "$tokens" and other facts of the call may be compared with."""
    node: Any
    unknown: str = "skip"
    """skip or take: models that the catalogue does not know."""

    def __post_init__(self) -> None:
        facts.check(self.models, None)
        if self.unknown not in ("skip", "take"):
            raise ValueError("unknown is skip or take")

    def walk(self, trip: Trip, at: str) -> Steps:
        if "tokens" in facts.named(self.models):
            yield Wait(trip.facts.count)
        trip.requirements.append(self._unmet)
        try:
            return (yield from self.node.walk(trip, f"{at}.node"))
        finally:
            trip.requirements.remove(self._unmet)

    def _unmet(self, trip: Trip, provider: str, model: str) -> str:
        known = trip.means.catalogue(trip.scope, provider, model)
        if known is None:
            return "" if self.unknown == "take" else "the catalogue does not know it"
        with_facts = _Both(known, trip.facts)
        return "" if facts.holds(self.models, with_facts) else f"it is not {facts.words(self.models)}"

    def ready(self, trip: Trip) -> bool:
        trip.requirements.append(self._unmet)
        try:
            return self.node.ready(trip)
        finally:
            trip.requirements.remove(self._unmet)

    def says(self) -> str:
        return facts.words(self.models)


class _Both(dict):
    """The catalogue's fields, then the call's facts."""

    def __init__(self, known: dict[str, Any], call: facts.Facts):
        super().__init__(known)
        self._call = call

    def get(self, field: str, default: Any = None) -> Any:
        return self[field] if field in self else (self._call[field] if field in facts.FIELDS else default)
