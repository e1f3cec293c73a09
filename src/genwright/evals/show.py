"""Runs and comparisons as pages draw them: rows for intervals, items from worst to best. Pure; knows no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from genwright.errors import Error
from genwright.evals import measure
from genwright.evals.types import Card, Comparison, Estimate, Run, RunItem

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


def means(run: Run) -> list[tuple[str, list[dict[str, Any]]]]:
    """(family, rows with name, value, low, high, note) for the metrics that have a value; each family has its own axis, and
    so has each metric without an upper bound."""
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for family, title in FAMILIES:
        bounded = []
        for name, estimate in run.summary.items():
            about = card(name)
            if estimate is None or (about.family if about else "answer") != family:
                continue
            row = _row(name, estimate, about)
            if about is not None and about.high is None:
                found.append((f"{about.title}{f', {about.unit}' if about.unit else ''}", [row]))
            else:
                bounded.append(row)
        if bounded:
            found.append((title, bounded))
    return found


def _row(name: str, estimate: Estimate, about: Card | None) -> dict[str, Any]:
    better = "; less is better" if about and about.better == "lower" else ""
    return {
        "name": name,
        "value": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "note": f"{estimate.n} items{better}",
    }


def differences(found: Comparison) -> list[tuple[str, list[dict[str, Any]]]]:
    """(axis, rows for `ui.intervals`): shares together, each other unit alone."""
    axes: dict[str, list[dict[str, Any]]] = {}
    for metric in found.metrics:
        span = metric.interval
        note = (
            f"{metric.mean_a:.3g} → {metric.mean_b:.3g}{f' {metric.unit}' if metric.unit else ''}; "
            f"{span.wins} better, {span.losses} worse, {span.ties} equal"
            f"{f'; {metric.left_out} left out' if metric.left_out else ''}; p = {metric.p_holm:.2g} after Holm"
            f"{'; less is better' if metric.better == 'lower' else ''}"
        )
        row = {
            "name": metric.title or metric.name, "value": span.mean_difference, "low": span.low, "high": span.high,
            "verdict": VERDICTS.get(metric.verdict, metric.verdict), "note": note,
        }  # fmt: skip
        axes.setdefault(f"in {metric.unit}" if metric.unit else "", []).append(row)
    return list(axes.items())


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
