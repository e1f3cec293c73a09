"""Cheap first: a step's answer is judged before the client sees it, and the next step is asked where it is weak."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.errors import Error
from genwright.gateway.routing import checks, kinds
from genwright.gateway.routing.tree import Node, Steps
from genwright.gateway.routing.trip import altered
from genwright.gateway.routing.types import Candidate, Outcome

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A node, and what its answer must pass. The last step's answer is taken as it is."""

    node: Any
    checks: list[Any] = []
    """Each {"check": NAME, …}; a text stands for a check without settings."""

    def __post_init__(self) -> None:
        self.checks = [checks.read(raw) for raw in self.checks]

    def needs(self, trip: Trip) -> dict[str, Any]:
        """Parameters that the checks need and the caller did not set."""
        needed = {name: value for check in self.checks for name, value in check.NEEDS.items()}
        return {name: value for name, value in needed.items() if name not in trip.call.parameters}


class Cascade(Node):
    """Steps from cheap to strong. If a stronger one fails, the weak answer before it is given rather than none."""

    SLOTS: ClassVar = ("steps[].node",)
    WORD: ClassVar[str] = "cascade"

    steps: list[Step]
    on: list[str] = msgspec.field(default_factory=lambda: list(kinds.USUAL))

    def __post_init__(self) -> None:
        if len(self.steps) < 2:
            raise ValueError("a cascade has two steps or more")
        if not all(step.checks for step in self.steps[:-1]):
            raise ValueError("every step but the last names checks: without, its answer would always be taken")

    def walk(self, trip: Trip, at: str) -> Steps:
        kept: Outcome | None = None
        outcome: Outcome | None = None
        for index, step in enumerate(self.steps):
            place = f"{at}.steps[{index}].node"
            last = index == len(self.steps) - 1
            asked = step.node.walk(trip, place)
            if last:
                outcome = yield from asked
            else:
                outcome = yield from altered(asked, _held(step.needs(trip)))
                if outcome.answer is None and getattr(outcome.error, "details", {}).get("param") in step.needs(trip):
                    trip.note(place, "it cannot give what the checks ask for: asked again without")
                    outcome = yield from altered(step.node.walk(trip, place), _held({}))
            kind = kinds.kind(outcome)
            if outcome.answer is None:
                if kind != kinds.SKIPPED and kind not in self.on:
                    break
                trip.note(place, f"{kind}: the next step is asked")
                continue
            weak = "" if last else (yield from self._weakness(trip, place, step, outcome))
            if not weak:
                return outcome
            kept = outcome
            trip.escalations.append({"step": place, "model": outcome.candidate.name, "why": weak})
            trip.note(place, f"weak: {weak}")
        assert outcome is not None
        return kept if outcome.answer is None and kept is not None else outcome

    def _weakness(self, trip: Trip, at: str, step: Step, outcome: Outcome) -> Any:
        for check in step.checks:
            found = yield from check.weakness(trip, outcome)
            if isinstance(found, Error):
                trip.note(at, f"{check.NAME} could not be checked, the answer was taken: {found.message[:200]}")
            elif found:
                return f"{check.NAME}: {found}"
        return ""

    def edge(self, place: str) -> str:
        index = int(place[6 : place.index("]")])
        return "first" if index == 0 else "if weak"

    def says(self) -> str:
        return "; ".join(f"{number}: {', '.join(check.says() for check in step.checks)}"
                         for number, step in enumerate(self.steps, 1) if step.checks)  # fmt: skip


def _held(needed: dict[str, Any]) -> Callable[[Candidate], Candidate]:
    """Held back, and asked for what the checks need."""
    return lambda one: msgspec.structs.replace(one, hold_back=True, parameters={**needed, **one.parameters})
