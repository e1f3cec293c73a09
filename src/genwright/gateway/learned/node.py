"""The node `learned` of a route: the model whose expected score is worth its price, by a fitted router.

What it cannot judge (weights that cannot be read, no text, a prompt unlike all that was fitted) goes to `unsure`, the strongest
model unless said otherwise. Decides before the call and costs no model call. Fitting and points are service.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.errors import Error, Invalid
from genwright.gateway.learned.types import Lies
from genwright.gateway.routing import kinds
from genwright.gateway.routing.nodes.order import check_kinds, ready_first
from genwright.gateway.routing.tree import Node, Steps, Wait
from genwright.gateway.routing.trip import through
from genwright.gateway.types import Call
from genwright.vocab import DIGEST

if TYPE_CHECKING:
    from genwright.gateway.routing.tree import Loader
    from genwright.gateway.routing.trip import Trip


class Arm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A model that can be chosen."""

    name: str
    """As in the rows fitted."""
    node: Any
    usd: float
    """A call, as the choice reckons."""
    latency_s: float = 0.0


class Learned(Node):
    """Asks the arm with the greatest score − lam × usd − per_second × latency_s; others follow if it fails."""

    SLOTS: ClassVar = ("arms[].node",)
    WORD: ClassVar[str] = "learned"

    arms: list[Arm]
    weights: str
    """Digest of the fitted router."""
    lam: float
    """Score that a dollar is worth."""
    unsure: str
    """Arm asked where the router cannot judge."""
    lies: Lies
    """Where the rows fitted lie."""
    per_second: float = 0.0
    """Score that a second is worth."""
    far: float | None = None
    """Similarity below which a prompt counts as unlike all that was fitted; null: that of the fit; −1: never."""
    chosen: dict[str, Any] = msgspec.field(default_factory=dict)
    """The point and what was to be expected of it, for people; `strong` and `cheap` are names of arms."""
    rows: str = ""
    """Digest of the rows fitted, as JSONL."""
    on: list[str] = msgspec.field(default_factory=lambda: list(kinds.USUAL))

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError("arms needs two models or more, with different names")
        if self.unsure not in names:
            raise ValueError(f"unsure is '{self.unsure[:60]}'; it is one of the arms: {', '.join(names)}")
        if not DIGEST.match(self.weights):
            raise ValueError("weights is the digest of a fitted router; `genwright router fit` makes one")
        if len(self.lies.gains) != 9 or len(self.lies.near) != 9:
            raise ValueError("lies.gains and lies.near have nine edges each")
        check_kinds(self.on)

    async def load(self, loader: Loader) -> list[tuple[str, str]]:
        return [(name, digest) for name, digest in (("weights", self.weights), ("rows", self.rows)) if digest]

    def walk(self, trip: Trip, at: str) -> Steps:
        order, why, marks = yield from self._decide(trip)
        trip.note(at, why)
        trip.marks["genwright.router"] = {"chosen": self.arms[order[0]].name, "why": why, **marks}
        placed = [(f"arms[{index}].node", self.arms[index].node) for index in order]
        return (yield from through(trip, at, ready_first(trip, placed), tuple(self.on)))

    def _decide(self, trip: Trip) -> Any:
        """(arms, best first; why; what goes onto the span)."""
        text = _text(trip.call)
        if trip.means.learned is None or not text:
            return self._by_price(), "no text to judge" if trip.means.learned else "no fitted routers here", {}
        reading = yield Wait(lambda: trip.means.learned.read(trip.scope, self.weights, text))
        if isinstance(reading, Error):
            return self._by_price(), f"the router cannot be read ({reading.code}): {reading.message[:200]}", {}
        scores = [reading.scores.get(arm.name) for arm in self.arms]
        if any(score is None for score in scores):
            return self._by_price(), "the router was fitted to other models", {}
        marks = {"scores": {name: round(score, 4) for name, score in reading.scores.items()}, "near": round(reading.near, 4)}
        if not trip.dry:
            trip.means.learned.saw(trip.scope, self.weights, self.lies, self._gain(scores), reading.near)
        if reading.near < (self.lies.far if self.far is None else self.far):
            return self._by_price(), f"unlike all that was fitted (nearest {reading.near:.2f})", {**marks, "far": True}
        worth = [
            score - self.lam * arm.usd - self.per_second * arm.latency_s for score, arm in zip(scores, self.arms, strict=True)
        ]
        order = sorted(range(len(worth)), key=lambda index: -worth[index])
        shown = ", ".join(f"{arm.name} {score:.2f}" for arm, score in zip(self.arms, scores, strict=True))
        return order, f"{self.arms[order[0]].name} is worth most (expected: {shown})", marks

    def _by_price(self) -> list[int]:
        """`unsure` first, then the dearer before the cheaper."""
        return sorted(range(len(self.arms)), key=lambda index: (self.arms[index].name != self.unsure, -self.arms[index].usd))

    def _gain(self, scores: list[float]) -> float:
        """Of the strongest over the cheapest, as in the card."""
        names = [arm.name for arm in self.arms]
        cheap = min(range(len(self.arms)), key=lambda index: self.arms[index].usd)
        return scores[names.index(self.strong)] - scores[cheap]

    @property
    def strong(self) -> str:
        """The strongest model of the rows fitted."""
        return self.chosen.get("strong", self.unsure)

    def says(self) -> str:
        kept, saving = (self.chosen.get(name, {}).get("value") for name in ("kept", "saving"))
        if kept is None or saving is None:
            return "by what is asked"
        return f"keeps {kept:.0%} of the quality, saves {saving:.0%}"

    def edge(self, place: str) -> str:
        arm = self.arms[int(place[5 : place.index("]")])]
        return f"{arm.name}, {arm.usd:.6f} USD"


def _text(call: Call) -> str:
    from genwright.gateway.learned.features import prompt_text

    found = prompt_text(call.messages)
    if found or call.prompt is None:
        return found
    from genwright.prompts.service import render

    try:
        return prompt_text(render(call.prompt.version.content, call.prompt.variables).messages)
    except Invalid:
        return ""  # the attempt says what is wrong with it
