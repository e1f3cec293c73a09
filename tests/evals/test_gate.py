"""The gate as a pure function, and comparison's arithmetic: every decision comes with its figures."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from genwright import stats
from genwright.errors import Invalid
from genwright.evals.compare import Paired, holm
from genwright.evals.gate import gate
from genwright.evals.types import (
    AttackResult,
    BenignResult,
    CounterfactualResult,
    MetricComparison,
    Run,
    SafetyLimits,
    SafetyReport,
    ToxicityResult,
)


def run(run_id, failed=0, total=20, metrics=("token_f1", "latency_ms"), **summary):
    estimates = {name: stats.Estimate(mean, mean, mean, total) for name, mean in summary.items()}
    return Run(
        workspace="w", project="p", id=run_id, target="app/x", pinned=f"app/x@{run_id}", dataset="dataset:d@1", dataset_number=1,
        metrics=list(metrics), state="done", total=total, failed=failed, summary=estimates,
    )  # fmt: skip


def compared(f1_a, f1_b, latency_a=None, latency_b=None):
    n = len(f1_a)
    latency_a, latency_b = latency_a or [100.0] * n, latency_b or [100.0] * n
    sides = [
        {f"q{i:04}": {"token_f1": f1, "latency_ms": ms} for i, (f1, ms) in enumerate(zip(*side, strict=True))}
        for side in ((f1_a, latency_a), (f1_b, latency_b))
    ]
    return Paired(run("a", total=n), run("b", total=n), *sides).report([], {}, {})


def safe(passed=True, reasons=()):
    return SafetyReport(
        id="s", target="app/x", release="", attacks=AttackResult(40, 39, []), benign=BenignResult(50, 50, []),
        toxicity=ToxicityResult(0.0, 90, []), counterfactual=CounterfactualResult(28, [], 0), limits=SafetyLimits(),
        passed=passed, reasons=list(reasons),
    )  # fmt: skip


LEVEL = [0.5 + 0.01 * (i % 7) for i in range(60)]
NOISE = [0.01 * ((i * 37) % 11 - 5) for i in range(60)]
SPEC = {"not_worse": ["token_f1"], "margin": 0.02, "safety": False}


def shifted(by):
    return [value + by + noise for value, noise in zip(LEVEL, NOISE, strict=True)]


def test_better_passes_and_says_so():
    found = gate(compared(LEVEL, shifted(0.1)), None, SPEC)
    assert (found.passed, found.undecided) == (True, False)
    assert "token_f1: 0.529 → 0.628, difference +0.099" in found.reasons[0]
    assert "better" in found.reasons[0]


def test_no_difference_passes_when_the_interval_is_narrow_enough():
    found = gate(compared(LEVEL, shifted(0.0)), None, SPEC)
    assert (found.passed, found.undecided) == (True, True), "it passes, and nobody may call it better"
    assert "not worse (margin 0.02)" in found.reasons[0]


def test_clearly_worse_is_refused():
    found = gate(compared(LEVEL, shifted(-0.1)), None, SPEC)
    assert (found.passed, found.undecided) == (False, False)
    assert "worse by more than the margin" in found.reasons[0]


def test_too_wide_an_interval_is_undecided_and_does_not_pass():
    wild = [(i * 37) % 11 / 10 for i in range(60)]
    other = [(i * 53 + 5) % 11 / 10 for i in range(60)]
    found = gate(compared(wild, other), None, SPEC)
    assert (found.passed, found.undecided) == (False, True)
    assert "cannot be ruled out" in found.reasons[0]


def test_too_few_items_are_undecided():
    found = gate(compared([0.5] * 5, [0.9] * 5), None, SPEC)
    assert (found.passed, found.undecided) == (False, True)
    assert "too few items" in found.reasons[0]


def test_slower_counts_as_worse_with_a_margin_of_its_own():
    slow = compared(LEVEL, LEVEL, [100.0 + i % 5 for i in range(60)], [160.0 + i % 7 for i in range(60)])
    metric = next(metric for metric in slow.metrics if metric.name == "latency_ms")
    assert (metric.verdict, metric.interval.losses) == ("worse", 60)
    assert metric.interval.mean_difference > 0
    assert not gate(slow, None, {"not_worse": ["latency_ms"], "margins": {"latency_ms": 10}, "safety": False}).passed
    assert gate(slow, None, {"not_worse": ["latency_ms"], "margins": {"latency_ms": 100}, "safety": False}).passed


def test_minimum_by_the_run_and_by_the_comparison():
    spec = {"minimum": {"token_f1": 0.6}, "safety": False}
    assert gate(None, None, spec, run("b", token_f1=0.7)).passed
    low = gate(None, None, spec, run("b", token_f1=0.5))
    assert (low.passed, low.undecided) == (False, False)
    assert "missed" in low.reasons[0]
    assert not gate(compared(LEVEL, LEVEL), None, spec).passed
    assert "not measured" in gate(None, None, spec, run("b")).reasons[0]


def test_items_without_answer_and_a_metric_that_nobody_measured():
    assert not gate(None, None, {"safety": False}, run("b", failed=2)).passed
    assert gate(None, None, {"safety": False}, run("b", failed=1)).passed
    found = gate(compared(LEVEL, LEVEL), None, {"not_worse": ["ndcg"], "safety": False})
    assert (found.passed, found.undecided) == (False, True)


def test_a_first_release_has_nothing_to_be_compared_with():
    found = gate(None, safe(), {"not_worse": ["token_f1"]})
    assert found.passed
    assert "no baseline" in found.reasons[0]


def test_safety_refuses_whatever_the_scores_say():
    assert not gate(compared(LEVEL, shifted(0.1)), None, {"not_worse": ["token_f1"]}).passed
    found = gate(compared(LEVEL, shifted(0.1)), safe(False, ["Toxic words in prompt:x@2"]), {"not_worse": ["token_f1"]})
    assert (found.passed, found.undecided) == (False, False)
    assert found.reasons[0] == "Safety: Toxic words in prompt:x@2"
    assert "39 of 40 planted attacks blocked" in gate(None, safe(), {}).reasons[-1]


@pytest.mark.parametrize("spec", [{"marign": 1}, {"margin": "wide"}, {"margin": -0.1}, {"margins": {"x": -1}}])
def test_a_wrong_spec_is_refused(spec):
    with pytest.raises(Invalid, match="gate"):
        gate(None, safe(), spec)


def metric(name, p_value, verdict="better"):
    interval = stats.Interval(0.1, 0.01, 0.2, p_value, 50, 30, 10, 10, verdict)
    return MetricComparison(
        name=name, title=name, better="higher", mean_a=0, mean_b=0.1, interval=interval, p_holm=p_value, verdict=verdict
    )


def test_holm_by_hand():
    # Holm (1979): sorted p times the number of hypotheses left, never falling.
    found = holm([metric("a", 0.01), metric("b", 0.04), metric("c", 0.03), metric("d", 0.005)])
    assert [row.p_holm for row in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [row.verdict for row in found] == ["better", "no real difference", "no real difference", "better"]


def test_a_metric_in_which_nothing_differs_is_not_counted_by_holm():
    same = metric("same", 1.0, "no real difference")
    same = msgspec.structs.replace(same, interval=msgspec.structs.replace(same.interval, wins=0, losses=0, ties=50))
    assert [row.p_holm for row in holm([metric("a", 0.04), same])] == pytest.approx([0.04, 1.0])


@given(some.lists(some.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_values_are_never_smaller_and_keep_their_order(values):
    found = holm([metric(str(i), value) for i, value in enumerate(values)])
    pairs = sorted((row.interval.p_value, row.p_holm) for row in found)
    assert all(value <= adjusted <= 1 for value, adjusted in pairs)
    assert [adjusted for _, adjusted in pairs] == sorted(adjusted for _, adjusted in pairs)


def test_pairs_without_a_value_on_one_side_are_left_out_and_counted():
    sides = [{f"q{i}": {"token_f1": 0.5 if i % 3 else None} for i in range(30)}, {f"q{i}": {"token_f1": 0.6} for i in range(30)}]
    found = Paired(run("a", metrics=["token_f1"]), run("b", metrics=["token_f1"]), *sides)
    assert (found.metrics[0].left_out, found.metrics[0].interval.n) == (10, 20)


def test_failed_items_and_equal_versions_are_noted():
    a, b = run("a", failed=3), run("b")
    b.pinned = a.pinned
    scores = {f"q{i}": {"token_f1": 0.5, "latency_ms": 1.0} for i in range(20)}
    notes = Paired(a, b, scores, scores).report([], {}, {}).notes
    assert any("3 of 20 items of run a got no answer" in note for note in notes)
    assert any("same version" in note for note in notes)
