"""Nodes that put their children in an order and go through it: fallback, weighted, least latency, least busy, sticky."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from genwright.gateway.routing import kinds
from genwright.gateway.routing.tree import Node, Steps
from genwright.gateway.routing.trip import through

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip

Placed = list[tuple[str, Node]]
EXPLORE = 0.02
"""Share of calls that go elsewhere than to the quickest, so that a figure does not grow old."""


class Fallback(Node):
    """The first that answers, in the order written."""

    SLOTS: ClassVar = ("nodes[]", "context_length", "content_policy")
    WORD: ClassVar[str] = "fallback"

    nodes: list[Any]
    on: list[str] = msgspec.field(default_factory=lambda: list(kinds.USUAL))
    """Failures on which the next is asked."""
    context_length: Any = None
    """Asked instead of the next one when the prompt was too long for a model."""
    content_policy: Any = None
    """Asked when a provider's content policy refused."""

    def __post_init__(self) -> None:
        _some(self.nodes)
        check_kinds(self.on)

    def walk(self, trip: Trip, at: str) -> Steps:
        special = [name for name in ("context_length", "content_policy") if getattr(self, name) is not None]
        on = tuple(kind for kind in self.on if kind not in special)
        ordered = [(f"nodes[{index}]", node) for index, node in enumerate(self.nodes)]
        outcome = yield from through(trip, at, ordered, on)
        kind = kinds.kind(outcome)
        if kind in special:
            trip.note(f"{at}.{kind}", f"asked, because the answer before was: {kind}")
            outcome = yield from getattr(self, kind).walk(trip, f"{at}.{kind}")
        return outcome

    def edge(self, place: str) -> str:
        if place.startswith("nodes"):
            return "first" if place == "nodes[0]" else "else"
        return place.replace("_", " ")

    def says(self) -> str:
        return "" if tuple(self.on) == kinds.USUAL else "on " + ", ".join(self.on)


class Arm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A child with a share of the traffic."""

    node: Any
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1e9:
            raise ValueError(f"weight is {self.weight}; it is 0 or more")


class Weighted(Node):
    """By chance, in proportion to the weights; one that fails or is not ready is replaced by another, drawn the same way."""

    SLOTS: ClassVar = ("arms[].node",)
    WORD: ClassVar[str] = "weighted"

    arms: list[Arm]
    on: list[str] = msgspec.field(default_factory=lambda: list(kinds.USUAL))

    def __post_init__(self) -> None:
        _weights(self.arms)
        check_kinds(self.on)

    def walk(self, trip: Trip, at: str) -> Steps:
        order = self._order(trip)
        trip.note(at, f"{order[0][0]} was drawn")
        return (yield from through(trip, at, order, tuple(self.on)))

    def _order(self, trip: Trip) -> Placed:
        # Efraimidis and Spirakis 2006: keys u^(1/w), largest first, draw without replacement in proportion to w.
        keys = [math.log(max(trip.means.chance(), 1e-12)) / arm.weight if arm.weight else -math.inf for arm in self.arms]
        return ready_first(trip, _placed(self.arms, keys))

    def edge(self, place: str) -> str:
        return _share(self.arms, place)


class Sticky(Weighted):
    """The same child for the same session, user, key or tag, as long as it is ready; by weight over many of them."""

    WORD: ClassVar[str] = "sticky"

    by: str = "session"
    """session, user, key or tag:NAME."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_by(self.by)

    def _order(self, trip: Trip) -> Placed:
        key = trip.key(self.by)
        if not key:
            trip.note("", f"the call has no {self.by}: drawn by chance")
            return super()._order(trip)
        return ready_first(trip, _placed(self.arms, rendezvous(key, [arm.weight for arm in self.arms])))

    def says(self) -> str:
        return f"by {self.by}"


class LeastLatency(Node):
    """The quickest of late; those not known yet go first, and a few calls look at the others."""

    SLOTS: ClassVar = ("nodes[]",)
    WORD: ClassVar[str] = "least latency"

    nodes: list[Any]
    quantile: float = 0.5
    explore: float = EXPLORE
    on: list[str] = msgspec.field(default_factory=lambda: list(kinds.USUAL))

    def __post_init__(self) -> None:
        _some(self.nodes)
        check_kinds(self.on)
        if not (0 < self.quantile < 1 and 0 <= self.explore <= 1):
            raise ValueError("quantile is between 0 and 1, explore from 0 to 1")

    def walk(self, trip: Trip, at: str) -> Steps:
        known = [self._latency(trip, node) for node in self.nodes]
        keys = [math.inf if seconds is None else -seconds for seconds in known]
        order = ready_first(trip, _placed(self.nodes, keys))
        if len(order) > 1 and trip.means.chance() < self.explore:
            index = 1 + int(trip.means.chance() * (len(order) - 1)) % (len(order) - 1)
            order.insert(0, order.pop(index))
            trip.note(at, f"{order[0][0]} is looked at, to know how quick it is")
        else:
            shown = ", ".join("not known" if seconds is None else f"{seconds:.3f} s" for seconds in known)
            trip.note(at, f"{order[0][0]} goes first, by p{self.quantile * 100:g} ({shown}); those not known go before")
        return (yield from through(trip, at, order, tuple(self.on)))

    def _latency(self, trip: Trip, node: Node) -> float | None:
        found = [trip.health.latency_s(trip.scope, leaf.provider, leaf.name, self.quantile) for leaf in node.leaves()]
        return min((seconds for seconds in found if seconds is not None), default=None)


class LeastBusy(Node):
    """The one with the fewest attempts under way, by weight of capacity where given."""

    SLOTS: ClassVar = ("arms[].node",)
    WORD: ClassVar[str] = "least busy"

    arms: list[Arm]
    on: list[str] = msgspec.field(default_factory=lambda: list(kinds.USUAL))

    def __post_init__(self) -> None:
        _weights(self.arms)
        check_kinds(self.on)

    def walk(self, trip: Trip, at: str) -> Steps:
        busy = [self._busy(trip, arm.node) for arm in self.arms]
        keys = [-(count + 1) / arm.weight if arm.weight else -math.inf for count, arm in zip(busy, self.arms, strict=True)]
        order = ready_first(trip, _placed(self.arms, keys))
        trip.note(at, f"{order[0][0]} is least busy (in flight: {', '.join(map(str, busy))})")
        return (yield from through(trip, at, order, tuple(self.on)))

    def _busy(self, trip: Trip, node: Node) -> int:
        return sum(trip.health.in_flight(trip.scope, leaf.provider, leaf.name) for leaf in node.leaves())

    def edge(self, place: str) -> str:
        return _share(self.arms, place) if len({arm.weight for arm in self.arms}) > 1 else ""


def rendezvous(key: str, weights: list[float], salt: str = "") -> list[float]:
    """Scores of children for a key, the highest wins: stable when weights change (Thaler and Ravishankar 1998, weighted)."""
    scores = []
    for index, weight in enumerate(weights):
        drawn = int.from_bytes(hashlib.blake2b(f"{salt}\0{key}\0{index}".encode(), digest_size=8).digest())
        scores.append(weight / -math.log((drawn + 1) / (2**64 + 1)) if weight else -math.inf)
    return scores


def ready_first(trip: Trip, order: Placed) -> Placed:
    """Those that may be asked now before those that may not."""
    return sorted(order, key=lambda placed: not placed[1].ready(trip))


def check_kinds(on: list[str]) -> None:
    unknown = [kind for kind in on if kind not in kinds.KINDS]
    if unknown:
        raise ValueError(f"'{unknown[0][:40]}' is no kind of failure. There are: {', '.join(kinds.KINDS)}")


def check_by(by: str) -> None:
    if by not in ("session", "user", "key") and not (by.startswith("tag:") and len(by) > 4):
        raise ValueError(f"by is '{by[:40]}'; it is session, user, key or tag:NAME")


def _placed(items: list[Any], keys: list[float]) -> Placed:
    """Children by key, the highest first; equal ones stay in the order written."""
    found: list[tuple[str, Node]] = []
    for index in sorted(range(len(items)), key=lambda index: -keys[index]):
        item = items[index]
        found.append((f"arms[{index}].node", item.node) if isinstance(item, Arm) else (f"nodes[{index}]", item))
    return found


def _share(arms: list[Any], place: str) -> str:
    weight = arms[int(place[5 : place.index("]")])].weight
    return f"{100 * weight / sum(arm.weight for arm in arms):.3g} %"


def _some(nodes: list[Any]) -> None:
    if not nodes:
        raise ValueError("nodes is empty: name at least one")


def _weights(arms: list[Any]) -> None:
    if not arms:
        raise ValueError("arms is empty: name at least one")
    if not sum(arm.weight for arm in arms) > 0:
        raise ValueError("all weights are 0: nobody would be asked")
