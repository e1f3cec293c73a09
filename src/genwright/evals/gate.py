"""A gate's decision, as a pure function of a comparison, a safety report and what is asked for.

"Not worse" is shown, not assumed: the lower bound of the paired interval must lie above -margin. Where it does not although
nothing was found to be worse, the gate does not pass either, and says that it is undecided: more items would decide it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.evals.types import Comparison, GateResult, GateSpec, MetricComparison, Run, SafetyReport

FAILED, UNDECIDED, FINE = _ORDER = ("failed", "undecided", "fine")


def gate(
    comparison: Comparison | None, safety: SafetyReport | None, spec: GateSpec | dict[str, Any], run: Run | None = None
) -> GateResult:
    """Decide; what failed comes first among the reasons.

    `run` is the candidate's own run: it serves `minimum` and `maximum_failed`, also where there is no baseline.

    Raises Invalid for a spec that cannot be read.
    """
    want = read(spec)
    found: list[tuple[str, str]] = []
    verdicts: set[str] = set()
    if want.not_worse and comparison is None:
        found.append((FINE, "Nothing to compare with: there is no baseline yet."))
    for name in want.not_worse if comparison else ():
        metric = next((metric for metric in comparison.metrics if metric.name == name), None)  # type: ignore[union-attr]
        if metric is None:
            found.append((UNDECIDED, f"{name}: not measured in both runs, so it cannot be shown to be not worse."))
            continue
        found.append(_not_worse(metric, want.margins.get(name, want.margin)))
        verdicts.add(metric.verdict)
    found += [_minimum(name, least, comparison, run) for name, least in want.minimum.items()]
    if run is not None and run.total and run.failed / run.total > want.maximum_failed:
        reason = f"{run.failed} of {run.total} items got no answer; at most {want.maximum_failed:.0%} may fail."
        found.append((FAILED, reason))
    if want.safety:
        found += _safe(safety)
    outcomes = {outcome for outcome, _ in found}
    alike = bool(verdicts) and verdicts <= {"no real difference"}
    return GateResult(
        passed=outcomes <= {FINE},
        reasons=[reason for _, reason in sorted(found, key=lambda pair: _ORDER.index(pair[0]))],
        undecided=FAILED not in outcomes and (UNDECIDED in outcomes or alike),
    )


def read(spec: GateSpec | dict[str, Any]) -> GateSpec:
    """The spec as a GateSpec. Raises Invalid naming the field."""
    try:
        found = spec if isinstance(spec, GateSpec) else msgspec.convert(spec, GateSpec)
    except msgspec.ValidationError as error:
        raise Invalid(f"This is not a gate: {error}. Nothing was decided.", code="invalid_gate") from error
    if found.margin < 0 or any(margin < 0 for margin in found.margins.values()):
        raise Invalid("A gate's margin is how much worse may pass: 0 or more. Nothing was decided.", code="invalid_gate")
    return found


def _not_worse(metric: MetricComparison, margin: float) -> tuple[str, str]:
    """(outcome, the reason in words)."""
    span = metric.interval
    # In the good direction: how much better the candidate is, at worst and on average.
    good = 1 if metric.better == "higher" else -1
    low, high = sorted((good * span.low, good * span.high))
    unit = f" {metric.unit}" if metric.unit else ""
    figures = (
        f"{metric.name}: {metric.mean_a:.3f} → {metric.mean_b:.3f}{unit}, difference {span.mean_difference:+.3f} "
        f"(95 % interval {span.low:+.3f} to {span.high:+.3f}, {span.n} items)"
    )
    if metric.interval.verdict == "too few items":
        return UNDECIDED, f"{figures}: too few items to say."
    if low >= -margin:
        verdict = "better" if metric.verdict == "better" else "not worse"
        return FINE, f"{figures}: {verdict} (margin {margin:g})."
    if high < 0 or metric.interval.verdict == "worse":
        return FAILED, f"{figures}: worse by more than the margin of {margin:g} may be."
    return UNDECIDED, f"{figures}: a loss of more than {margin:g} cannot be ruled out. More items would decide it."


def _minimum(name: str, least: float, comparison: Comparison | None, run: Run | None) -> tuple[str, str]:
    mean: float | None = None
    if run is not None and (estimate := run.summary.get(name)) is not None:
        mean = estimate.mean
    elif comparison is not None:
        mean = next((metric.mean_b for metric in comparison.metrics if metric.name == name), None)
    if mean is None:
        return FAILED, f"{name}: not measured, and a mean of at least {least:g} is asked for."
    outcome, word = (FINE, "reached") if mean >= least else (FAILED, "missed")
    return outcome, f"{name}: mean {mean:.3f}, at least {least:g} is asked for: {word}."


def _safe(safety: SafetyReport | None) -> list[tuple[str, str]]:
    if safety is None:
        return [(FAILED, "Safety: the stage has not run.")]
    if not safety.passed:
        return [(FAILED, f"Safety: {reason}") for reason in safety.reasons] or [(FAILED, "Safety: the stage failed.")]
    attacks, benign = safety.attacks, safety.benign
    reason = (
        f"Safety: {attacks.blocked} of {attacks.total} planted attacks blocked, {benign.passed} of {benign.total} harmless texts "
        f"passed, worst toxicity {safety.toxicity.worst:g}, {len(safety.counterfactual.flips)} of "
        f"{safety.counterfactual.pairs} pairs flipped."
    )
    return [(FINE, reason)]
