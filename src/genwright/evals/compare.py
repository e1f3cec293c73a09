"""Two runs over the same items: is the difference real. Pure; numbers and words, no storage.

Every metric is compared by the paired bootstrap of `stats`. Many metrics looked at together find something by chance: verdicts
here are those after Holm's correction (Holm 1979), over all metrics of the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from genwright import stats
from genwright.errors import Invalid
from genwright.evals import measure
from genwright.evals.types import Comparison, ItemDifference, MetricComparison, Run, RunItem

Scores = dict[str, dict[str, float | None]]
SIGNIFICANT = 0.05
MOST = 10
"""How many differing items are shown."""


def check(a: Run, b: Run) -> None:
    """Raise Invalid unless both ran over the same rows."""
    for what, left, right in (("dataset version", a.dataset, b.dataset), ("split", a.split or "all", b.split or "all")):
        if left != right:
            raise Invalid(
                f"Run {a.id} is over the {what} {left}, run {b.id} over {right}. Nothing was compared: means over different "
                "questions say nothing about the targets. Run both over the same data.",
                code="different_data",
            )


class Paired:
    """The scores of two runs, item by item."""

    def __init__(self, a: Run, b: Run, scores_a: Scores, scores_b: Scores):
        self.a, self.b = a, b
        self.items = [name for name in scores_a if name in scores_b]
        if not self.items:
            raise Invalid(f"Runs {a.id} and {b.id} have no item in common. Nothing was compared.", code="no_pairs")
        self.scores_a, self.scores_b = scores_a, scores_b
        self.names = [name for name in a.metrics if name in b.metrics]
        self.notes = [
            f"{name} was measured in one run only and is not compared."
            for name in [*a.metrics, *b.metrics]
            if name not in self.names
        ]
        self.metrics = holm([found for name in self.names if (found := self._metric(name)) is not None])

    def _metric(self, name: str) -> MetricComparison | None:
        card = measure.card(name)
        pairs = [(self.scores_a[item].get(name), self.scores_b[item].get(name)) for item in self.items]
        both = [(left, right) for left, right in pairs if left is not None and right is not None]
        if not both:
            self.notes.append(f"{name} applies to no item in both runs and is not compared.")
            return None
        sign = 1 if card.better == "higher" else -1
        interval = stats.paired_bootstrap([sign * left for left, _ in both], [sign * right for _, right in both])
        if sign < 0:  # back into the metric's own direction; wins, losses and verdict stay the candidate's
            interval = msgspec.structs.replace(
                interval, mean_difference=-interval.mean_difference, low=-interval.high, high=-interval.low
            )
        n = len(both)
        return MetricComparison(
            name=name, title=card.title, better=card.better, unit=card.unit, mean_a=sum(left for left, _ in both) / n,
            mean_b=sum(right for _, right in both) / n, interval=interval, p_holm=interval.p_value, verdict=interval.verdict,
            left_out=len(self.items) - n,
        )  # fmt: skip

    def differing(self) -> list[tuple[str, float]]:
        """Items with the largest mean difference over the quality metrics, each with it."""
        cards = {name: measure.card(name) for name in self.names}
        signs = {name: 1 if card.better == "higher" else -1 for name, card in cards.items() if card.family != "cost"}
        found = []
        for item in self.items:
            left, right = self.scores_a[item], self.scores_b[item]
            steps = [
                sign * (right[name] - left[name])  # type: ignore[operator]
                for name, sign in signs.items()
                if _both(left, right, name)
            ]
            if steps and any(steps):
                found.append((item, sum(steps) / len(steps), sum(map(abs, steps)) / len(steps)))
        found.sort(key=lambda row: (-row[2], row[0]))
        return [(item, signed) for item, signed, _ in found[:MOST]]

    def report(self, most: Sequence[tuple[str, float]], a: dict[str, RunItem], b: dict[str, RunItem]) -> Comparison:
        """The whole comparison; `a` and `b` hold the items that differ most."""
        differs = [
            ItemDifference(
                item=item, question=a[item].question, difference=signed, trace_a=a[item].trace_id, trace_b=b[item].trace_id,
                answer_a=_shown(a[item]), answer_b=_shown(b[item]), scores_a=self.scores_a[item], scores_b=self.scores_b[item],
            )
            for item, signed in most
        ]  # fmt: skip
        notes = list(self.notes)
        for run in (self.a, self.b):
            if run.failed:
                notes.append(f"{run.failed} of {run.total} items of run {run.id} got no answer; they count as 0 in quality.")
        if self.a.pinned == self.b.pinned:
            notes.append("Both runs called the same version: what differs is chance.")
        return Comparison(
            run_a=self.a.id, run_b=self.b.id, target_a=self.a.target, target_b=self.b.target, dataset=self.a.dataset,
            split=self.a.split, items=len(self.items), metrics=self.metrics, differs=differs, notes=notes,
            summary=summary(self.metrics, len(self.items)),
        )  # fmt: skip


def holm(metrics: Sequence[MetricComparison]) -> list[MetricComparison]:
    """The metrics with p-values adjusted together (Holm 1979), and verdicts that hold after it.

    A metric in which no item differs cannot come out as a difference by chance and is not counted (Tarone 1990).
    """
    adjusted: dict[str, float] = {}
    worst = 0.0
    testable = [m for m in metrics if m.verdict != "too few items" and m.interval.wins + m.interval.losses]
    tested = sorted(testable, key=lambda metric: metric.interval.p_value)
    for rank, metric in enumerate(tested):
        worst = max(worst, min(1.0, metric.interval.p_value * (len(tested) - rank)))
        adjusted[metric.name] = worst
    found = []
    for metric in metrics:
        p_holm = adjusted.get(metric.name, metric.interval.p_value)
        fell = metric.verdict in ("better", "worse") and p_holm >= SIGNIFICANT
        verdict = "no real difference" if fell else metric.verdict
        found.append(msgspec.structs.replace(metric, p_holm=p_holm, verdict=verdict))
    return found


def summary(metrics: Sequence[MetricComparison], items: int) -> str:
    """The result in a sentence."""
    by = {
        verdict: [metric.name for metric in metrics if metric.verdict == verdict]
        for verdict in ("better", "worse", "too few items")
    }
    if metrics and len(by["too few items"]) == len(metrics):
        return f"{items} items are too few to say whether b differs from a."
    parts = [f"{verdict} in {', '.join(by[verdict])}" for verdict in ("better", "worse") if by[verdict]]
    rest = sum(metric.verdict == "no real difference" for metric in metrics)
    if not parts:
        return f"No real difference between a and b in any of {rest} metrics over {items} items."
    tail = f"; no real difference in {rest} other metrics" if rest else ""
    return f"b is {' and '.join(parts)}{tail} ({items} items)."


def _both(left: dict[str, float | None], right: dict[str, float | None], name: str) -> bool:
    return left.get(name) is not None and right.get(name) is not None


def _shown(item: RunItem) -> str:
    return item.answer if item.state == "answered" else f"(no answer: {item.error})"
