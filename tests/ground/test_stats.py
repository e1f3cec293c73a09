"""Statistics against tables, closed forms and seeded simulations of their own promises."""

import math

import numpy as np
import pytest

from genwright import stats
from genwright.errors import Invalid
from genwright.stats import bootstrap_mean, mcnemar, paired_bootstrap, proportion_interval, sign_test, t_quantile


def coverage(draw, truth: float, n: int, trials: int = 400) -> float:
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(trials):
        found = bootstrap_mean(draw(rng, n), replicates=600, seed=trial)
        hits += found.low <= truth <= found.high
    return hits / trials


@pytest.mark.parametrize(
    ("draw", "truth", "n"),
    [
        (lambda r, n: r.normal(1, 2, n), 1, 15),
        (lambda r, n: r.exponential(1, n), 1, 40),
        (lambda r, n: r.choice([1.0, 0.0], n, p=[0.7, 0.3]), 0.7, 40),
        (lambda r, n: np.where(r.random(n) < 0.5, 0, r.beta(1, 2, n)), 1 / 6, 30),
    ],
    ids=["normal", "skewed", "binary", "half zero"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(draw, truth, n):
    # 400 trials of 95 %: standard error 1.1 %.
    assert 0.915 <= coverage(draw, truth, n) <= 0.985


def test_no_difference_is_seldom_called_real():
    rng = np.random.default_rng(2)
    alarms = 0
    for trial in range(400):
        a = rng.choice([0.0, 1.0], 40)
        b = np.where(rng.random(40) < 0.3, rng.choice([0.0, 1.0], 40), a)
        found = paired_bootstrap(a, b, replicates=600, seed=trial)
        alarms += found.verdict in ("better", "worse")
    assert alarms / 400 <= 0.075


def test_large_samples_agree_with_normal_theory():
    rng = np.random.default_rng(4)
    a = rng.normal(0, 1, 5000)
    b = a + rng.normal(0.03, 1, 5000)
    found = paired_bootstrap(a, b)
    error = float((b - a).std(ddof=1)) / math.sqrt(5000)
    assert found.mean_difference == pytest.approx(float((b - a).mean()))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    p = math.erfc(abs(found.mean_difference) / error / math.sqrt(2))
    assert found.p_value == pytest.approx(p, abs=0.01)


def test_verdicts():
    rng = np.random.default_rng(6)
    a = rng.random(50)
    assert paired_bootstrap(a, a + rng.normal(0.1, 0.05, 50)).verdict == "better"
    assert paired_bootstrap(a, a - rng.normal(0.1, 0.05, 50)).verdict == "worse"
    assert paired_bootstrap(a, a + rng.permutation(np.repeat([-0.1, 0.1], 25))).verdict == "no real difference"
    assert paired_bootstrap(a[:9], a[:9] + 1).verdict == "too few items"
    same = paired_bootstrap(a, a)
    assert (same.mean_difference, same.low, same.high, same.p_value, same.ties) == (0, 0, 0, 1, 50)
    assert same.verdict == "no real difference"


@pytest.mark.parametrize(
    ("up", "down", "verdict"),
    [(1, 0, "no real difference"), (5, 0, "no real difference"), (7, 1, "no real difference"), (8, 0, "better"), (0, 8, "worse")],
)
def test_a_few_changed_items_prove_little(up, down, verdict):
    """Five flips of 100 items, all up: the exact sign test says p = 0.0625, and so does this; eight are enough."""
    found = paired_bootstrap([0.0] * 100, [1.0] * up + [-1.0] * down + [0.0] * (100 - up - down))
    assert found.verdict == verdict
    assert found.p_value >= sign_test(up, down) - 1e-9
    assert (found.low <= 0 <= found.high) == (verdict == "no real difference")
    assert found.low < found.mean_difference < found.high
    assert (found.wins, found.losses, found.ties) == (up, down, 100 - up - down)


def test_verdict_interval_and_p_value_agree():
    rng = np.random.default_rng(8)
    seen = set()
    for trial in range(150):
        a, b = rng.random((2, 20))
        found = paired_bootstrap(a, b + rng.normal(0, 0.15), replicates=500, seed=trial)
        real = found.verdict in ("better", "worse")
        assert real == (found.p_value < 0.05 and not found.low <= 0 <= found.high)
        assert real or found.low <= 0 <= found.high
        assert found.low <= found.mean_difference <= found.high
        mirrored = paired_bootstrap(b + 0, a, replicates=500, seed=trial)
        assert mirrored.mean_difference == pytest.approx(float((a - b).mean()))
        seen.add(found.verdict)
    assert seen == {"better", "worse", "no real difference"}


def test_items_of_one_document_are_not_independent():
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(30), 10)
    a = np.zeros(300)
    b = rng.normal(0.1, 1, 30)[groups]
    apart, together = paired_bootstrap(a, b), paired_bootstrap(a, b, clusters=[f"doc {g}" for g in groups])
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(math.sqrt(10), rel=0.2)
    assert apart.mean_difference == pytest.approx(together.mean_difference)
    alone = paired_bootstrap(a, b, clusters=list(range(300)))
    assert alone == apart
    uneven = bootstrap_mean([1, 1, 1, 1, 4, 4], clusters=["a"] * 4 + ["b"] * 2)
    assert uneven.mean == 2
    assert (uneven.low, uneven.high) == (1, 4)
    assert paired_bootstrap(a, b + 1, clusters=["one"] * 300).verdict == "too few items"


def test_same_seed_same_answer():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 30))
    assert paired_bootstrap(a, b, seed=5) == paired_bootstrap(list(a), list(b), seed=5)
    assert paired_bootstrap(a, b, seed=5) != paired_bootstrap(a, b, seed=6)


def test_memory_stays_bounded_in_many_chunks(monkeypatch):
    rng = np.random.default_rng(1)
    values = rng.random(100)
    whole = bootstrap_mean(values)
    monkeypatch.setattr(stats, "_CHUNK", 1000)
    assert bootstrap_mean(values).mean == whole.mean
    assert bootstrap_mean(values).low == pytest.approx(whole.low, rel=0.01)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, None, math.nan, 2], [1, 2, 3, 4], "2 of 4 values of a .* first at item 1"),
        ([1, 2], [1, math.inf], "1 of 2 values of b"),
        ([1, 2, 3], [1, 2], "a has 3 scores and b has 2"),
        ([], [], "a is empty"),
        ([1, "good"], [1, 2], "no number"),
        ([[1, 2]], [1, 2], "shape"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, message):
    with pytest.raises(Invalid, match=message):
        paired_bootstrap(a, b)


def test_odd_options_are_refused():
    with pytest.raises(Invalid, match="replicates"):
        paired_bootstrap([1, 2], [2, 3], replicates=10)
    with pytest.raises(Invalid, match="confidence"):
        paired_bootstrap([1, 2], [2, 4], confidence=95)
    with pytest.raises(Invalid, match="2 items and 1 cluster"):
        paired_bootstrap([1, 2], [2, 3], clusters=["x"])


def test_means():
    assert bootstrap_mean([3.0]) == stats.Estimate(3, 3, 3, 1)
    assert bootstrap_mean([2.0] * 20) == stats.Estimate(2, 2, 2, 20)
    narrow, wide = bootstrap_mean(range(40), confidence=0.8), bootstrap_mean(range(40), confidence=0.99)
    assert wide.low < narrow.low < narrow.mean == 19.5 < narrow.high < wide.high


# Newcombe (1998), table I, method 3.
@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718), (20, 20, 0.8389, 1)],
)
def test_wilson_intervals(x, n, low, high):
    assert proportion_interval(x, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_shares_of_nothing():
    assert proportion_interval(0, 0) == (0, 1)
    with pytest.raises(Invalid):
        proportion_interval(3, 2)


@pytest.mark.parametrize("wins", [0, 1, 4, 8, 10, 300])
@pytest.mark.parametrize("losses", [0, 2, 10, 290])
def test_sign_test_is_exact(wins, losses):
    n, k = wins + losses, min(wins, losses)
    exact = min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    assert sign_test(wins, losses) == pytest.approx(exact, rel=1e-9)


def test_mcnemar():
    a = [True] * 10 + [False] * 10 + [1, 0] * 5
    b = [False] * 2 + [True] * 8 + [True] * 8 + [False] * 2 + [1, 0] * 5
    assert mcnemar(a, b) == stats.Discordant(8, 2, pytest.approx(0.109375))
    assert mcnemar([1, 0], [1, 0]).p_value == 1
    with pytest.raises(Invalid, match="1 outcomes are neither 0 nor 1"):
        mcnemar([0, 0.5], [1, 1])


@pytest.mark.parametrize(
    ("p", "degrees", "value"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 4, 2.776445), (0.975, 9, 2.262157), (0.995, 30, 2.749996)],
)
def test_t_quantiles_are_the_tables(p, degrees, value):
    assert t_quantile(p, degrees) == pytest.approx(value, rel=2e-5)
    assert t_quantile(1 - p, degrees) == pytest.approx(-value, rel=2e-5)
    assert stats._two_sided(value, degrees) == pytest.approx(2 * (1 - p), rel=1e-4)
