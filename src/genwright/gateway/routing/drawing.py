"""Where the boxes of a route's tree go: levels from left to right, children in the order written. Pure geometry in pixels."""

from __future__ import annotations

import msgspec

from genwright.gateway.routing.types import DrawnNode, TargetHealth

HEIGHT, LABEL, GAP_X, GAP_Y, MARGIN = 54, 18, 34, 12, 12
MODEL, INNER = 232, 158
"""Widths of a model's box, and of one that only decides."""
NAME_PX, UNDER_PX = 7.4, 6.0
"""Width of a letter in a box's first and second line, about."""


class Box(msgspec.Struct, frozen=True):
    """One node with the top left corner of its box; what is longer than its line stands whole in the title."""

    node: DrawnNode
    x: int
    y: int
    width: int
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
    level = {"": -1}
    for node in nodes:
        level[node.at] = level[node.parent] + 1
    widest = [max(_width(node) for node in nodes if level[node.at] == depth) for depth in range(max(level.values()) + 1)]
    left = [MARGIN + sum(widest[:depth]) + depth * GAP_X for depth in range(len(widest))]
    boxes: dict[str, Box] = {}
    bottom = MARGIN

    def place(node: DrawnNode) -> int:
        """The y of a node's box: its own row for a leaf, the middle of its children else."""
        nonlocal bottom
        below = children.get(node.at, [])
        if below:
            rows = [place(child) for child in below]
            y = (rows[0] + rows[-1]) // 2
        else:
            y = bottom + LABEL
            bottom = y + HEIGHT + GAP_Y
        boxes[node.at] = _box(node, left[level[node.at]], y)
        return y

    for root in children.get("", []):
        place(root)
    lines = [_line(boxes[node.parent], boxes[node.at]) for node in nodes if node.parent]
    return Drawing([boxes[node.at] for node in nodes], lines, left[-1] + widest[-1] + MARGIN, bottom)


def _width(node: DrawnNode) -> int:
    return MODEL if node.model or node.ref else INNER


def _line(parent: Box, child: Box) -> str:
    x, y = parent.x + parent.width, parent.y + HEIGHT // 2
    end_x, end_y = child.x, child.y + HEIGHT // 2
    bend = end_x - GAP_X // 2
    return f"M{x} {y}H{end_x - GAP_X}C{bend} {y} {bend} {end_y} {end_x} {end_y}"


def _box(node: DrawnNode, x: int, y: int) -> Box:
    name = node.model or node.ref or node.title or node.kind
    words = [node.kind if name != node.kind else "", node.title if name != node.title else "", node.says]
    said = " · ".join(filter(None, words))
    under = in_words(node.health) if node.health is not None else ("not asked lately" if node.model else said)
    title = "\n".join(filter(None, [node.at, node.edge, name, said, under if under != said else ""]))
    width, room = _width(node), _width(node) - 20
    name, under, label = _cut(name, room / NAME_PX), _cut(under, room / UNDER_PX), _cut(node.edge, (width + 10) / UNDER_PX)
    return Box(node, x, y, width, name, under, label, title, tone(node.health))


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


def _cut(text: str, longest: float) -> str:
    return text if len(text) <= longest else text[: int(longest) - 1] + "…"
