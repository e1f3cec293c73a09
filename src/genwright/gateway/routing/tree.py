"""A route's tree: reading it from plain data with errors that name the place, and what every node can do.

A node is {"type": …, …}; a text stands for a leaf: PROVIDER/MODEL or route/NAME. Kinds of nodes are plugs: a row in NODES.
A node's `walk` is a generator: it yields Candidates (and is sent their Outcomes) or Waits (and is sent their results), and
returns the Outcome it ends with. So nodes nest by `yield from` and know nothing of each other.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from genwright.errors import Invalid, Missing
from genwright.gateway.routing.types import Candidate, Outcome, RouteContent
from genwright.plugs import Table

if TYPE_CHECKING:
    from genwright.gateway.routing.trip import Trip
    from genwright.registry.types import Version
    from genwright.vocab import Scope

NODES = Table(
    "genwright.route_nodes",
    {
        "model": "genwright.gateway.routing.nodes.leaf:Model",
        "route": "genwright.gateway.routing.nodes.leaf:SubRoute",
        "fallback": "genwright.gateway.routing.nodes.order:Fallback",
        "weighted": "genwright.gateway.routing.nodes.order:Weighted",
        "least_latency": "genwright.gateway.routing.nodes.order:LeastLatency",
        "least_busy": "genwright.gateway.routing.nodes.order:LeastBusy",
        "sticky": "genwright.gateway.routing.nodes.order:Sticky",
        "split": "genwright.gateway.routing.nodes.split:Split",
        "when": "genwright.gateway.routing.nodes.when:When",
        "require": "genwright.gateway.routing.nodes.when:Require",
        "cascade": "genwright.gateway.routing.nodes.cascade:Cascade",
        "mirror": "genwright.gateway.routing.nodes.beside:Mirror",
        "hedge": "genwright.gateway.routing.nodes.beside:Hedge",
        "learned": "genwright.gateway.learned.node:Learned",
    },
)
MAX_NODES = 300
MAX_DEPTH = 20


class Wait(msgspec.Struct):
    """Something a node waits for. The walk sends back its result, or the Error it ended with."""

    make: Callable[[], Awaitable[Any]]
    kind: str = "compute"
    """compute, pause or ask (a model); an explanation runs only what is computed."""


class Loader(Protocol):
    """What a node loads with."""

    registry: Any
    scope: Scope

    async def route(self, text: str) -> tuple[Version, RouteContent, Node]:
        """(version, content, root) of route/NAME[@label|@n], loaded. Raises Invalid where it leads back to itself."""
        ...


Steps = Generator[Candidate | Wait, Any, Outcome]


class Node(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every node has. Subclasses add fields, name those that hold nodes in SLOTS, and write `walk`."""

    SLOTS: ClassVar[tuple[str, ...]] = ()
    """`node`, `nodes[]` or `arms[].node`."""
    WORD: ClassVar[str] = ""
    """The kind, as drawn."""

    title: str = ""
    """For the drawing."""

    def walk(self, trip: Trip, at: str) -> Steps:
        """`at`: this node's place in the whole tree."""
        raise NotImplementedError

    async def load(self, loader: Loader) -> list[tuple[str, str]]:
        """Fetch what it names; (ref as written, digest) of each, for the lineage. Raises Missing, Invalid."""
        return []

    def children(self) -> list[tuple[str, Node]]:
        """(place below this node, node), in order."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return [(place, holder[key]) for place, holder, key in _slots(fields, self.SLOTS)]

    def leaves(self) -> Iterator[Any]:
        """All models below, other routes' included."""
        for _, child in self.children():
            yield from child.leaves()

    def ready(self, trip: Trip) -> bool:
        """Whether one of its models may be asked now."""
        return any(child.ready(trip) for _, child in self.children())

    def says(self) -> str:
        """What it does, in a few words, for the drawing."""
        return ""

    def edge(self, place: str) -> str:
        """What is written on the line to a child."""
        return ""


def read(content: dict[str, Any]) -> tuple[RouteContent, Node]:
    """A route's content as records. A bare node is taken as {"root": node}. Raises Invalid naming the place in the tree."""
    if isinstance(content, dict) and "root" not in content and "type" in content:
        content = {"root": content}
    try:
        route = msgspec.convert(content, RouteContent)
    except msgspec.ValidationError as error:
        raise _wrong("route", str(error)) from error
    if route.context is not None:
        from genwright.gateway import context

        try:
            context.read(route.context)
        except ValueError as error:
            raise _wrong("route", str(error)) from error
    counter = [0]
    root = _node(route.root, "root", counter, 0)
    if not any(True for _ in everything(root)):
        raise _wrong("root", "it leads to no model")
    return route, root


def everything(root: Node, at: str = "root") -> Iterator[tuple[str, Node]]:
    """(place, node) of the whole tree, parents first. Other routes are not entered."""
    yield at, root
    for place, child in root.children():
        yield from everything(child, f"{at}.{place}")


def _node(raw: Any, at: str, counter: list[int], depth: int) -> Node:
    if isinstance(raw, str):
        raw = {"type": "route", "ref": raw} if raw.startswith("route/") else {"type": "model", "model": raw}
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise _wrong(at, "a node is an object with a 'type', or a text PROVIDER/MODEL or route/NAME")
    counter[0] += 1
    if counter[0] > MAX_NODES or depth > MAX_DEPTH:
        raise _wrong(at, f"a route has at most {MAX_NODES} nodes, {MAX_DEPTH} deep. Put a part into a route of its own")
    try:
        kind = NODES.load(raw["type"])
    except Missing as error:
        raise _wrong(at, f"there is no node of type '{raw['type'][:60]}'. Types are: {', '.join(NODES.names())}") from error
    fields = _copied({name: value for name, value in raw.items() if name != "type"})
    for place, holder, key in _slots(fields, kind.SLOTS):
        holder[key] = _node(holder[key], f"{at}.{place}", counter, depth + 1)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        where, text = _place(at, str(error))
        known = ", ".join(kind.__struct_encode_fields__)
        raise _wrong(
            where, f"{text} (fields of {raw['type']}: {known}; docs/routes.md shows each)" if where == at else text
        ) from error


def _slots(fields: dict[str, Any], slots: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    """(place, holder, key) of every child: from plain data, or from a node's own fields."""
    for slot in slots:
        name, many, inner = slot.partition("[]")
        value = fields.get(name)
        if not many:
            if value is not None:
                yield name, fields, name
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if not inner:
                    yield f"{name}[{index}]", value, index
                elif isinstance(item, dict) and inner[1:] in item:
                    yield f"{name}[{index}]{inner}", item, inner[1:]
                elif isinstance(item, msgspec.Struct):
                    yield f"{name}[{index}]{inner}", {inner[1:]: getattr(item, inner[1:])}, inner[1:]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: part if isinstance(part, Node) else _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _place(at: str, message: str) -> tuple[str, str]:
    """msgspec's "… - at `$.arms[0].share`" as (place in the tree, message)."""
    found = re.search(r" - at `\$([^`]*)`$", message)
    return (at + found[1], message[: found.start()]) if found else (at, message)


def _wrong(at: str, what: str) -> Invalid:
    what = what[:1].lower() + what[1:] if not what[:2].isupper() else what
    return Invalid(f"At {at}: {what.rstrip('.')}. Nothing was kept.", code="invalid_route", at=at)
