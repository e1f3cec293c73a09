"""Where the boxes of a small directed graph go: layers from left to right, few crossings.

Used for "why" and "impact". Pure geometry in pixels; knows nothing of what the boxes mean. Layering is by longest path,
arrows that pass a layer get a lane in it, order inside a layer is by the mean position of the neighbours
(Sugiyama, Tagawa and Toda 1981).
"""

from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 164, 50, 60, 16, 12
LANE = 14  # height of the lane by which an arrow passes a layer


@dataclass(frozen=True)
class Node:
    """A box. `kind` picks its colour (any of vocab's kinds, or `trace`, `chunk`, `document`); `url` makes it a link."""

    id: str
    label: str
    kind: str = ""
    note: str = ""
    url: str = ""
    focus: bool = False


@dataclass(frozen=True)
class Edge:
    """An arrow from one node's id to another's."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True)
class Placed:
    """A node with the top left corner of its box."""

    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    """Boxes, the paths of arrows (edge, SVG path data, label position), the arrows in words (source, label, target), the size."""

    boxes: list[Placed]
    arrows: list[tuple[Edge, str, tuple[int, int]]]
    sentences: list[tuple[str, str, str]]
    width: int
    height: int


def layout(nodes: list[Node], edges: list[Edge]) -> Drawing:
    """Place nodes and route edges. Edges with unknown ends are left out; a cycle's back edges don't count for layering."""
    by_id = {node.id: node for node in nodes}
    edges = [edge for edge in edges if edge.source in by_id and edge.target in by_id and edge.source != edge.target]
    depth = _depths(nodes, edges)
    layers: list[list[str]] = [
        [node.id for node in nodes if depth[node.id] == level] for level in range(max(depth.values(), default=-1) + 1)
    ]
    routes = [_route(edge, depth, layers, at) for at, edge in enumerate(edges)]
    layers = _ordered(layers, routes)
    heights = [sum(_height(name, by_id) + GAP_Y for name in layer) - GAP_Y for layer in layers]
    tallest = max(heights, default=0)
    corners: dict[str, tuple[int, int]] = {}
    for column, layer in enumerate(layers):
        y = MARGIN + (tallest - heights[column]) // 2
        for name in layer:
            corners[name] = (MARGIN + column * (WIDTH + GAP_X), y)
            y += _height(name, by_id) + GAP_Y
    arrows = [(edge, *_arrow(route, corners, by_id)) for edge, route in zip(edges, routes, strict=True)]
    return Drawing(
        boxes=[Placed(node, *corners[node.id]) for node in nodes],
        arrows=arrows,
        sentences=[(by_id[edge.source].label, edge.label, by_id[edge.target].label) for edge in edges],
        width=2 * MARGIN + max(len(layers) * (WIDTH + GAP_X) - GAP_X, 0),
        height=2 * MARGIN + tallest,
    )


def _height(name: str, by_id: dict[str, Node]) -> int:
    return HEIGHT if name in by_id else LANE


def _depths(nodes: list[Node], edges: list[Edge]) -> dict[str, int]:
    """Layer numbers: by longest path, then each node that nothing points to moves right, next to what it points to."""
    depth = {node.id: 0 for node in nodes}
    for _ in nodes:  # relaxation; the bound also ends it on cycles
        changed = False
        for edge in edges:
            if depth[edge.target] < depth[edge.source] + 1 < len(nodes):
                depth[edge.target], changed = depth[edge.source] + 1, True
        if not changed:
            break
    reached = {edge.target for edge in edges}
    for name in depth:
        after = [depth[edge.target] for edge in edges if edge.source == name]
        if after and name not in reached:
            depth[name] = max(min(after) - 1, 0)
    used = {level: rank for rank, level in enumerate(sorted(set(depth.values())))}
    return {name: used[level] for name, level in depth.items()}


def _route(edge: Edge, depth: dict[str, int], layers: list[list[str]], at: int) -> list[str]:
    """The names an arrow passes: its ends, and a lane (added here) in each layer between them."""
    lanes = []
    for level in range(depth[edge.source] + 1, depth[edge.target]):
        lanes.append(f"\0lane {at} {level}")
        layers[level].append(lanes[-1])
    return [edge.source, *lanes, edge.target]


def _ordered(layers: list[list[str]], routes: list[list[str]]) -> list[list[str]]:
    neighbours: dict[str, list[str]] = {}
    for route in routes:
        for left, right in pairwise(route):
            neighbours.setdefault(left, []).append(right)
            neighbours.setdefault(right, []).append(left)
    for _ in range(6):
        place = {name: row - (len(layer) - 1) / 2 for layer in layers for row, name in enumerate(layer)}

        def mean(name: str, place: dict[str, float] = place) -> float:
            near = [place[other] for other in neighbours.get(name, ())]
            return sum(near) / len(near) if near else place[name]

        layers = [sorted(layer, key=mean) for layer in layers]
    return layers


def _arrow(route: list[str], corners: dict[str, tuple[int, int]], by_id: dict[str, Node]) -> tuple[str, tuple[int, int]]:
    """SVG path data through the route, and where a label goes: over its first lane, or the middle of its only gap."""
    x, y = corners[route[0]][0] + WIDTH, corners[route[0]][1] + HEIGHT // 2
    path, label = f"M{x} {y}", (0, 0)
    for name in route[1:]:
        end_x, end_y = corners[name][0], corners[name][1] + _height(name, by_id) // 2
        last = name == route[-1]
        end_x -= 4 if last else 0
        bend = max((end_x - x) // 2, 24)
        if not label[0]:
            label = ((x + end_x) // 2, (y + end_y) // 2 - 5) if last else (end_x + WIDTH // 2, end_y - 5)
        path += f" C{x + bend} {y} {end_x - bend} {end_y} {end_x} {end_y}" + ("" if last else f" h{WIDTH}")
        x, y = end_x + WIDTH, end_y
    return path, label
