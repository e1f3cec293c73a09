"""Where the boxes of a small directed graph go: layers from left to right, few crossings.

Used for "why" and "impact". Pure geometry in pixels; knows nothing of what the boxes mean. Layering is by longest path,
order inside a layer by the mean position of the neighbours (Sugiyama, Tagawa and Toda 1981, without dummy nodes).
"""

from dataclasses import dataclass

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 184, 52, 72, 20, 12


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
    known = {node.id for node in nodes}
    edges = [edge for edge in edges if edge.source in known and edge.target in known and edge.source != edge.target]
    layers = _ordered(_layers(nodes, edges), edges)
    tallest = max((len(layer) for layer in layers), default=0)
    by_id = {node.id: node for node in nodes}
    boxes = {}
    for column, layer in enumerate(layers):
        top = (tallest - len(layer)) * (HEIGHT + GAP_Y) // 2
        for row, name in enumerate(layer):
            boxes[name] = Placed(by_id[name], MARGIN + column * (WIDTH + GAP_X), MARGIN + top + row * (HEIGHT + GAP_Y))
    width = 2 * MARGIN + max(len(layers) * (WIDTH + GAP_X) - GAP_X, 0)
    height = 2 * MARGIN + max(tallest * (HEIGHT + GAP_Y) - GAP_Y, 0)
    sentences = [(by_id[edge.source].label, edge.label, by_id[edge.target].label) for edge in edges]
    return Drawing(list(boxes.values()), [_arrow(edge, boxes) for edge in edges], sentences, width, height)


def _layers(nodes: list[Node], edges: list[Edge]) -> list[list[str]]:
    depth = {node.id: 0 for node in nodes}
    for _ in range(len(nodes)):  # longest path by relaxation; the bound also ends it on cycles
        changed = False
        for edge in edges:
            if depth[edge.target] < depth[edge.source] + 1 < len(nodes):
                depth[edge.target], changed = depth[edge.source] + 1, True
        if not changed:
            break
    used = sorted(set(depth.values()))
    return [[node.id for node in nodes if depth[node.id] == level] for level in used]


def _ordered(layers: list[list[str]], edges: list[Edge]) -> list[list[str]]:
    neighbours: dict[str, list[str]] = {}
    for edge in edges:
        neighbours.setdefault(edge.target, []).append(edge.source)
        neighbours.setdefault(edge.source, []).append(edge.target)
    for _ in range(4):
        place = {name: row - len(layer) / 2 for layer in layers for row, name in enumerate(layer)}

        def mean(name: str, place: dict[str, float] = place) -> float:
            near = [place[other] for other in neighbours.get(name, ())]
            return sum(near) / len(near) if near else place[name]

        layers = [sorted(layer, key=mean) for layer in layers]
    return layers


def _arrow(edge: Edge, boxes: dict[str, Placed]) -> tuple[Edge, str, tuple[int, int]]:
    a, b = boxes[edge.source], boxes[edge.target]
    x0, y0, x1, y1 = a.x + WIDTH, a.y + HEIGHT // 2, b.x - 5, b.y + HEIGHT // 2
    bend = max((x1 - x0) // 2, 24)
    return edge, f"M{x0} {y0} C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}", ((x0 + x1) // 2, (y0 + y1) // 2 - 4)
