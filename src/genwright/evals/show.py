"""Runs and comparisons as pages draw them: rows for intervals, items from worst to best. Pure; knows no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from genwright.errors import Error
from genwright.evals import measure
from genwright.evals.types import Card, Comparison, Run, RunItem
from genwright.web.formats import number

FAMILIES = (
    ("retrieval", "Retrieval"),
    ("answer", "Answers"),
    ("grounding", "Grounding"),
    ("safety", "Safety"),
    ("cost", "Time and cost"),
)
VERDICTS = {"better": "better", "worse": "worse", "no real difference": "same", "too few items": "too few items"}


@lru_cache(maxsize=256)
def card(name: str) -> Card | None:
    """A metric's card; None for a metric that is not installed (any more)."""
    try:
        found: Card = measure.card(name)
        return found
    except Error:
        return None


class Axis(NamedTuple):
    """Rows that are drawn over one axis: mappings with name, value, low, high and optional verdict, note."""

    title: str
    digits: int
    rows: list[dict[str, Any]]


def means(run: Run) -> list[Axis]:
    """Means by family; each metric without an upper bound has an axis of its own."""
    found: list[Axis] = []
    for family, title in FAMILIES:
        bounded = []
        for name, estimate in run.summary.items():
            about = card(name)
            if estimate is None or (about.family if about else "answer") != family:
                continue
            better = ", less is better" if about and about.better == "lower" else ""
            row: dict[str, Any] = {"name": about.title if about else name, "note": f"n = {estimate.n}{better}"}
            row |= {"value": estimate.mean, "low": estimate.low, "high": estimate.high}
            if about is not None and about.high is None:
                found.append(_axis(f"{about.title}{f', {about.unit}' if about.unit else ''}", [row], about.unit))
            else:
                bounded.append(row)
        if bounded:
            found.append(_axis(title, bounded))
    return found


def differences(found: Comparison) -> list[Axis]:
    """B - A by unit: shares together, each other unit alone."""
    units: dict[str, list[dict[str, Any]]] = {}
    for metric in found.metrics:
        span = metric.interval
        note = (
            f"{number(metric.mean_a)} → {number(metric.mean_b)}{f' {metric.unit}' if metric.unit else ''}; "
            f"{span.wins} better, {span.losses} worse, {span.ties} equal"
            f"{f'; {metric.left_out} left out' if metric.left_out else ''}; p = {metric.p_holm:.2g}"
            f"{'; less is better' if metric.better == 'lower' else ''}"
        )
        row = {"name": metric.title or metric.name, "verdict": VERDICTS.get(metric.verdict, metric.verdict), "note": note}
        units.setdefault(metric.unit, []).append(row | {"value": span.mean_difference, "low": span.low, "high": span.high})
    return [_axis(f"in {unit}" if unit else "", rows, unit) for unit, rows in units.items()]


def _axis(title: str, rows: list[dict[str, Any]], unit: str = "") -> Axis:
    """Figures rounded to what the unit deserves; zero has no sign."""
    digits = {"ms": 0, "USD": 6}.get(unit, 3)
    for row in rows:
        row |= {key: round(row[key], digits) + 0.0 for key in ("value", "low", "high")}
    return Axis(title, digits, rows)


def quality(item: RunItem) -> float | None:
    """Mean of an item's scores, up is better, in the metrics that run from 0 to 1; None where it has none."""
    values = []
    for name, value in (item.scores or {}).items():
        about = card(name)
        if value is not None and about is not None and about.family != "cost" and about.high == 1.0:
            values.append(value if about.better == "higher" else 1 - value)
    return sum(values) / len(values) if values else None


def worst_first(items: Sequence[RunItem]) -> list[RunItem]:
    """Failures, then the answered from the lowest quality up, then what has no scores yet."""

    def place(item: RunItem) -> tuple[int, float, int]:
        value = quality(item)
        if item.state == "failed":
            return (0, 0.0, item.position)
        return (1, value, item.position) if value is not None else (2, 0.0, item.position)

    return sorted(items, key=place)


def shown_scores(item: RunItem) -> list[tuple[str, float]]:
    """An item's scores but time and cost, which have columns of their own."""
    return [
        (name, value)
        for name, value in (item.scores or {}).items()
        if value is not None and ((about := card(name)) is None or about.family != "cost")
    ]
