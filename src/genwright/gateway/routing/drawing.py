"""Where the boxes of a route's tree go: levels from left to right, children in the order written. Pure geometry in pixels."""

from __future__ import annotations

import msgspec

from genwright.gateway.routing.types import DrawnNode, TargetHealth

WIDTH, HEIGHT, LABEL, GAP_X, GAP_Y, MARGIN = 236, 54, 18, 46, 14, 12
LONGEST_NAME, LONGEST_UNDER, LONGEST_LABEL = 29, 38, 40
"""Characters that fit a box's lines."""


class Box(msgspec.Struct, frozen=True):
    """One node with the top left corner of its box; what is longer than its line stands whole in the title."""

    node: DrawnNode
    x: int
    y: int
    name: str
    under: str
    label: str
    title: str
    tone: str
    """good, warn, bad or nothing: of a model, by its health."""


class Drawing(msgspec.Struct, frozen=True):
    boxes: list[Box]
    lines: list[str]
    """SVG path data, parent to child."""
    width: int
    height: int


def draw(nodes: list[DrawnNode]) -> Drawing:
    """`nodes`: parents before their children."""
    children: dict[str, list[DrawnNode]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)
    boxes: dict[str, Box] = {}
    bottom = [MARGIN]

    def place(node: DrawnNode, level: int) -> int:
        """The y of a node's box: its own row for a leaf, the middle of its children else."""
        below = children.get(node.at, [])
        if below:
            rows = [place(child, level + 1) for child in below]
            y = (rows[0] + rows[-1]) // 2
        else:
            y = bottom[0] + LABEL
            bottom[0] = y + HEIGHT + GAP_Y
        boxes[node.at] = _box(node, MARGIN + level * (WIDTH + GAP_X), y)
        return y

    for root in children.get("", []):
        place(root, 0)
    lines = [_line(boxes[node.parent], boxes[node.at]) for node in nodes if node.parent]
    right = max((box.x for box in boxes.values()), default=0)
    return Drawing([boxes[node.at] for node in nodes], lines, right + WIDTH + MARGIN, bottom[0])


def _line(parent: Box, child: Box) -> str:
    x, y = parent.x + WIDTH, parent.y + HEIGHT // 2
    end_x, end_y = child.x, child.y + HEIGHT // 2
    middle = (x + end_x) // 2
    return f"M{x} {y}C{middle} {y} {middle} {end_y} {end_x} {end_y}"


def _box(node: DrawnNode, x: int, y: int) -> Box:
    name = node.model or node.ref or node.title or node.kind
    said = " · ".join(
        part for part in (node.kind if name != node.kind else "", node.title if name != node.title else "", node.says) if part
    )
    under = in_words(node.health) if node.health is not None else ("not asked lately" if node.model else said)
    title = "\n".join(part for part in (node.at, node.edge, name, said, under if under != said else "") if part)
    return Box(
        node, x, y, _cut(name, LONGEST_NAME), _cut(under, LONGEST_UNDER), _cut(node.edge, LONGEST_LABEL), title, tone(node.health)
    )


def in_words(health: TargetHealth) -> str:
    """A model's health in one line."""
    if health.state == "open":
        return f"not asked for {health.retry_in_s:.0f} s"
    if health.state == "probing":
        return "being tried again"
    times = f"p50 {_time(health.p50_s)} p95 {_time(health.p95_s)}" if health.p95_s else ""
    busy = f"{health.in_flight} at work" if health.in_flight else ""
    part = f"{100 * health.share:.0f} % of calls" if health.calls else ""
    failed = f"{health.failed} of {health.calls} failed" if health.failed else ""
    return " · ".join(one for one in (failed, times, busy, part) if one) or health.state


def tone(health: TargetHealth | None) -> str:
    if health is None or health.state == "idle":
        return ""
    return {"ok": "good", "failing": "warn", "probing": "warn", "open": "bad"}.get(health.state, "")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
