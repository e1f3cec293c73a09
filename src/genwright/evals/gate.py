"""A gate's decision, as a pure function of a comparison, a safety report and what is asked for.

"Not worse" is shown, not assumed: the lower bound of the paired interval must lie above -margin. Where it does not although
nothing was found to be worse, the gate does not pass either, and says that it is undecided: more items would decide it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.evals.types import Comparison, GateResult, GateSpec, MetricComparison, Run, SafetyReport


def gate(
    comparison: Comparison | None, safety: SafetyReport | None, spec: GateSpec | dict[str, Any], run: Run | None = None
) -> GateResult:
    """Decide. `run` is the candidate's own run: it serves `minimum` and `maximum_failed`, also where there is no baseline.

    Raises Invalid for a spec that cannot be read.
    """
    want = read(spec)
    reasons: list[str] = []
    refused = unsure = False
    verdicts: set[str] = set()
    if want.not_worse and comparison is None:
        reasons.append("Nothing to compare with: there is no baseline yet.")
    for name in want.not_worse if comparison else ():
        metric = next((metric for metric in comparison.metrics if metric.name == name), None)  # type: ignore[union-attr]
        if metric is None:
            reasons.append(f"{name}: not measured in both runs, so it cannot be shown to be not worse.")
            unsure = True
            continue
        outcome, reason = _not_worse(metric, want.margins.get(name, want.margin))
        reasons.append(reason)
        verdicts.add(metric.verdict)
        refused |= outcome == "worse"
        unsure |= outcome == "undecided"
    for name, least in want.minimum.items():
        good, reason = _minimum(name, least, comparison, run)
        reasons.append(reason)
        refused |= not good
    if run is not None and run.total:
        share = run.failed / run.total
        if share > want.maximum_failed:
            reasons.append(f"{run.failed} of {run.total} items got no answer; at most {want.maximum_failed:.0%} may fail.")
            refused = True
    if want.safety:
        good, found = _safe(safety)
        reasons += found
        refused |= not good
    alike = bool(verdicts) and verdicts <= {"no real difference"}
    return GateResult(not refused and not unsure, reasons, not refused and (unsure or alike))


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
    """(fine, worse or undecided; the reason in words)."""
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
        return "undecided", f"{figures}: too few items to say."
    if low >= -margin:
        verdict = "better" if metric.verdict == "better" else "not worse"
        return "fine", f"{figures}: {verdict} (margin {margin:g})."
    if high < 0 or metric.interval.verdict == "worse":
        return "worse", f"{figures}: worse by more than the margin of {margin:g} may be."
    return "undecided", f"{figures}: a loss of more than {margin:g} cannot be ruled out. More items would decide it."


def _minimum(name: str, least: float, comparison: Comparison | None, run: Run | None) -> tuple[bool, str]:
    mean: float | None = None
    if run is not None and (estimate := run.summary.get(name)) is not None:
        mean = estimate.mean
    elif comparison is not None:
        mean = next((metric.mean_b for metric in comparison.metrics if metric.name == name), None)
    if mean is None:
        return False, f"{name}: not measured, and a mean of at least {least:g} is asked for."
    return mean >= least, f"{name}: mean {mean:.3f}, at least {least:g} is asked for: {'reached' if mean >= least else 'missed'}."


def _safe(safety: SafetyReport | None) -> tuple[bool, list[str]]:
    if safety is None:
        return False, ["Safety: the stage has not run."]
    if not safety.passed:
        return False, [f"Safety: {reason}" for reason in safety.reasons]
    attacks, benign = safety.attacks, safety.benign
    return True, [
        f"Safety: {attacks.blocked} of {attacks.total} planted attacks blocked, {benign.passed} of {benign.total} harmless texts "
        f"passed, worst toxicity {safety.toxicity.worst:g}, {len(safety.counterfactual.flips)} of "
        f"{safety.counterfactual.pairs} pairs flipped."
    ]
