"""What an answer took: time and money, as the gateway measured them."""

from __future__ import annotations

from collections.abc import Sequence

from genwright.evals.types import Card, Measure, Sample


class Latency:
    card = Card(
        title="Latency",
        measures="Milliseconds from the question to the end of the answer.",
        lies="Measured while several items ran beside each other; compare runs with the same concurrency on the same machine. "
        "A mean hides the slow ones.",
        source="own clock",
        better="lower",
        high=None,
        unit="ms",
        on_failure=None,
        family="cost",
    )

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [Measure(sample.latency_ns / 1e6) for sample in samples]


class Cost:
    card = Card(
        title="Cost",
        measures="US dollars for the model calls of an answer.",
        lies="List prices, without discounts. Unknown prices have no value here; local models cost 0, as if machines were free.",
        source="bundled price list",
        better="lower",
        high=None,
        unit="USD",
        on_failure=None,
        family="cost",
    )

    def score(self, samples: Sequence[Sample]) -> list[Measure]:
        return [
            Measure(None, "the price is not known") if sample.cost_nano_usd is None else Measure(sample.cost_nano_usd / 1e9)
            for sample in samples
        ]
