"""An experiment: arms with shares, the arm recorded on the span, the same arm for the same caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.gateway.routing.nodes.order import check_by, rendezvous
from genwright.gateway.routing.tree import Node, Steps

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip


class Variant(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One arm."""

    name: str
    node: Any
    weight: float = 1.0


class Split(Node):
    """A/B: no arm stands in for another, or the comparison would be spoilt; put a fallback inside an arm for that."""

    SLOTS: ClassVar = ("arms[].node",)
    WORD: ClassVar[str] = "split"

    experiment: str
    """The name under which exposures are recorded; another name draws anew."""
    arms: list[Variant]
    by: str = "session"
    """session, user, key or tag:NAME; a call without one is drawn by chance."""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not self.experiment or len(self.arms) < 2 or len(set(names)) < len(names) or not all(names):
            raise ValueError("a split has the field experiment and two or more arms with different names")
        if any(not 0 <= arm.weight < 1e9 for arm in self.arms) or not sum(arm.weight for arm in self.arms) > 0:
            raise ValueError("weights are 0 or more, and not all 0")
        check_by(self.by)

    def walk(self, trip: Trip, at: str) -> Steps:
        key = trip.key(self.by) or str(trip.means.chance())
        scores = rendezvous(key, [arm.weight for arm in self.arms], self.experiment)
        index = max(range(len(scores)), key=scores.__getitem__)
        arm = self.arms[index]
        trip.exposures[self.experiment] = arm.name
        trip.note(at, f"arm {arm.name} of {self.experiment}" + ("" if trip.key(self.by) else f" (by chance: no {self.by})"))
        return (yield from arm.node.walk(trip, f"{at}.arms[{index}].node"))

    def edge(self, place: str) -> str:
        arm = self.arms[int(place[5 : place.index("]")])]
        return f"{arm.name} {100 * arm.weight / sum(arm.weight for arm in self.arms):.3g} %"

    def says(self) -> str:
        return f"{self.experiment}, by {self.by}"
