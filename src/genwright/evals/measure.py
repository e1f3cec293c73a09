"""The table of metrics, and scoring of items with them. Pure and slow: call it in a thread."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from genwright.errors import Error, Invalid, NeedsExtra
from genwright.evals.types import Measure, Metric, MetricRow, RunItem
from genwright.plugs import Table

log = logging.getLogger(__name__)

_OWN = {
    "recall": "genwright.evals.metrics.retrieval:Recall",
    "hit": "genwright.evals.metrics.retrieval:Hit",
    "mrr": "genwright.evals.metrics.retrieval:ReciprocalRank",
    "ndcg": "genwright.evals.metrics.retrieval:Ndcg",
    "token_f1": "genwright.evals.metrics.answer:TokenF1",
    "rouge_l": "genwright.evals.metrics.answer:RougeL",
    "groundedness": "genwright.evals.metrics.grounding:Groundedness",
    "citation_correctness": "genwright.evals.metrics.grounding:CitationCorrectness",
    "cited": "genwright.evals.metrics.grounding:Cited",
    "answered": "genwright.evals.metrics.answer:Answered",
    "toxicity": "genwright.evals.metrics.safety:Toxicity",
    "latency_ms": "genwright.evals.metrics.cost:Latency",
    "cost_usd": "genwright.evals.metrics.cost:Cost",
}
METRICS = Table("genwright.metrics", _OWN)

DEFAULT = tuple(_OWN)
"""What a run measures unless it is told otherwise, in the order in which it is shown."""


def make(spec: str) -> Metric:
    """A metric by name; `ndcg@10` sets its k. Raises Missing, Invalid, NeedsExtra."""
    name, at, k = spec.partition("@")
    if at and not (k.isascii() and k.isdigit() and len(k) < 5):
        raise Invalid(f"'{spec[:100]}': after '@' comes k, a number. Example: ndcg@10.")
    return METRICS.make(name, **({"k": int(k)} if at else {}))


def choose(wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """(metrics that a run will have, notes). Asked-for ones must all be there; of the default ones, what is not installed is
    left out and named. Raises Missing, Invalid, NeedsExtra."""
    if wanted is not None:
        if not wanted:
            raise Invalid("A run needs at least one metric. Nothing was started.")
        for spec in wanted:
            make(spec)
        return list(dict.fromkeys(wanted)), []
    names, notes = [], []
    for name in DEFAULT:
        try:
            make(name)
        except NeedsExtra as error:
            notes.append(f"{name} was left out: {error.message}")
            continue
        names.append(name)
    return names, notes


def rows() -> list[MetricRow]:
    """All metrics with their cards."""
    found = []
    for name in [*DEFAULT, *(name for name in METRICS.names() if name not in DEFAULT)]:
        problem = ""
        try:
            METRICS.make(name)
        except NeedsExtra as error:
            problem = error.message
        found.append(MetricRow(name, METRICS.load(name.partition("@")[0]).card, not problem, problem))
    return found


def card(spec: str) -> Any:
    """The card of a metric, with k in its title."""
    name, _, k = spec.partition("@")
    found = METRICS.load(name).card
    return msgspec.structs.replace(found, title=found.title.replace("@k", f"@{k or 5}"))


def score_items(specs: Sequence[str], items: Sequence[RunItem]) -> None:
    """Set `scores` and `comments` of every item. An item that got no answer has each metric's value for that."""
    for item in items:
        item.scores, item.comments = {}, {}
    answered = [item for item in items if item.state != "failed"]
    samples = [item.sample() for item in answered]
    for spec in specs:
        metric = make(spec)
        for item in items:
            if item.state == "failed":
                _set(item, spec, Measure(metric.card.on_failure, "no answer"))
        for item, measure in zip(answered, _measures(spec, metric, samples), strict=True):
            _set(item, spec, measure)


def _measures(spec: str, metric: Metric, samples: list[Any]) -> list[Measure]:
    """What a metric says. One that breaks says nothing about these items, and why; the run goes on."""
    try:
        found = metric.score(samples)
        if len(found) != len(samples):
            raise Error(f"it gave {len(found)} values for {len(samples)} items")
        return found
    except Exception as error:  # a plug call
        log.exception("The metric '%s' failed", spec)
        return [Measure(None, f"the metric failed: {type(error).__name__}: {error}"[:500])] * len(samples)


def _set(item: RunItem, spec: str, measure: Measure) -> None:
    assert item.scores is not None
    sound = measure.value is not None and math.isfinite(measure.value)
    item.scores[spec] = measure.value if sound else None
    if measure.comment:
        item.comments[spec] = measure.comment
