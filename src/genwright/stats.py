"""Honest statistics: is a difference real, how sure is a mean or a share.

Numbers in, numbers out. This file does not know metrics, runs or traces, nor which direction is good: it says higher or lower.
A missing score (None, NaN) is refused and counted, never dropped: leaving out what failed is how evaluations lie.
The same input and seed give the same result.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import msgspec

from genwright.errors import Invalid

if TYPE_CHECKING:
    import numpy as np

Verdict = Literal["better", "worse", "no real difference", "too few items"]
MIN_ITEMS = 10
"""Fewer items (or clusters) than this get no verdict: in simulations intervals of fewer miss the truth too often."""

_NORMAL = NormalDist()
# Units that differ, up to which all their signs (2^12) are tried.
_FEW = 12
# Doubles drawn at once: 16 MB.
_CHUNK = 2_000_000


class Estimate(msgspec.Struct, frozen=True):
    mean: float
    low: float
    high: float
    n: int


class Interval(msgspec.Struct, frozen=True):
    """The difference b - a of paired scores: "better" means that b is higher."""

    mean_difference: float
    low: float
    high: float
    p_value: float
    n: int
    wins: int
    losses: int
    ties: int
    verdict: Verdict


class Discordant(msgspec.Struct, frozen=True):
    """Paired yes/no outcomes that changed, and the exact chance of a change as lopsided if both were equal."""

    gained: int
    lost: int
    p_value: float


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    replicates: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Mean of b - a (baseline a, candidate b, one pair per item), its interval, p-value and verdict.

    The interval is BCa (Efron 1987) over resampled items, widened for small n as Hesterberg (2015) does; the p-value
    inverts it. `clusters` names each item's group (document, conversation): groups are then resampled whole, n of the test is
    their number. Where 12 or fewer of them differ, the p-value is at least that of the exact sign-flip test: a bootstrap takes
    a handful of changed items for more than they are. An interval whose p-value is not small is stretched to contain 0.
    Raises Invalid for unequal lengths, empty input, and scores that are no finite numbers.
    """
    before, after = _numbers(a, "a"), _numbers(b, "b")
    if len(before) != len(after):
        raise Invalid(f"a has {len(before)} scores and b has {len(after)}. Nothing was compared: pair them item by item.")
    difference = after - before
    sums, sizes = _grouped(difference, clusters)
    mean, units = float(difference.mean()), len(sums)
    low, high, p_value = mean, mean, _sign_flip(sums)
    if units > 1:
        boot = _Bootstrap(sums, sizes, replicates, seed)
        low, high = boot.interval(confidence)
        p_value = max(p_value, boot.p_value())
    significant = p_value < 1 - confidence and not low <= 0 <= high
    if not significant:
        low, high = min(low, 0.0), max(high, 0.0)
    verdict: Verdict = "better" if mean > 0 else "worse"
    if units < MIN_ITEMS:
        verdict = "too few items"
    elif not significant:
        verdict = "no real difference"
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return Interval(mean, low, high, p_value, len(difference), wins, losses, len(difference) - wins - losses, verdict)


def bootstrap_mean(
    values: Sequence[float],
    *,
    replicates: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean and its BCa interval, as in `paired_bootstrap`. One item, or all alike: the interval is that point; look at n."""
    numbers = _numbers(values, "values")
    sums, sizes = _grouped(numbers, clusters)
    mean = float(numbers.mean())
    low = high = mean
    if len(sums) > 1:
        low, high = _Bootstrap(sums, sizes, replicates, seed).interval(confidence)
    return Estimate(mean, low, high, len(numbers))


def proportion_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) for a share. Of nothing, everything is possible: n = 0 gives (0, 1)."""
    if not 0 <= successes <= n:
        raise Invalid(f"{successes} of {n} is no share.")
    if n == 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf((1 + _level(confidence)) / 2)
    share, weight = successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    # At the ends the bound is 0 or 1 exactly, which rounding would miss.
    return 0.0 if successes == 0 else middle - half, 1.0 if successes == n else middle + half


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p-value that wins and losses (ties left out) come from a fair coin."""
    import numpy as np

    if min(wins, losses) < 0:
        raise Invalid(f"{wins} wins and {losses} losses cannot be counts.")
    n, fewer = wins + losses, min(wins, losses)
    k = np.arange(1, fewer + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log((n - k + 1) / k)))) - n * math.log(2)
    return float(min(1.0, 2 * np.exp(logs).sum()))


def mcnemar(a: Sequence[float], b: Sequence[float]) -> Discordant:
    """Exact McNemar test of paired outcomes that are 0 or 1 (or bool). Raises Invalid for any other."""
    before, after = _numbers(a, "a"), _numbers(b, "b")
    if len(before) != len(after):
        raise Invalid(f"a has {len(before)} outcomes and b has {len(after)}. Nothing was compared: pair them item by item.")
    odd = sum(int(((side != 0) & (side != 1)).sum()) for side in (before, after))
    if odd:
        raise Invalid(f"{odd} outcomes are neither 0 nor 1. Nothing was compared: use paired_bootstrap for scores.")
    gained, lost = int((after > before).sum()), int((after < before).sum())
    return Discordant(gained, lost, sign_test(gained, lost))


class _Bootstrap:
    """Means of resampled units (items or clusters), and what BCa needs besides: bias z0 and acceleration."""

    def __init__(self, sums: np.ndarray, sizes: np.ndarray, replicates: int, seed: int):
        import numpy as np

        if not 100 <= replicates <= 1_000_000:
            raise Invalid(f"replicates must be between 100 and 1,000,000, not {replicates}.")
        self.units, self.mean = len(sums), sums.sum() / sizes.sum()
        self.means = np.sort(_resampled_means(sums, sizes, replicates, seed))
        below = np.searchsorted(self.means, self.mean, "left") + np.searchsorted(self.means, self.mean, "right")
        self.z0 = self._z(below / 2)
        # The jackknife's skewness over 6, in closed form for a mean or a ratio of sums.
        influence = sums - self.mean * sizes
        spread = float((influence**2).sum()) ** 1.5
        self.acceleration = float((influence**3).sum()) / (6 * spread) if spread else 0.0

    def _z(self, below: float) -> float:
        """Normal quantile of a rank among the replicates, kept half a rank inside."""
        total = len(self.means)
        return _NORMAL.inv_cdf(min(max(below, 0.5), total - 0.5) / total)

    def interval(self, confidence: float) -> tuple[float, float]:
        import numpy as np

        # A percentile interval is too narrow by sqrt((n-1)/n) and by normal instead of t quantiles.
        wide = t_quantile((1 + _level(confidence)) / 2, self.units - 1) * math.sqrt(self.units / (self.units - 1))
        levels = []
        for z in (-wide, wide):
            shifted = self.z0 + z
            levels.append(_NORMAL.cdf(self.z0 + shifted / max(1 - self.acceleration * shifted, 1e-9)))
        low, high = np.quantile(self.means, levels)
        return float(low), float(high)

    def p_value(self) -> float:
        """Twice the error level at which a bound of the interval reaches 0; replicates that are 0 speak against a difference."""
        import numpy as np

        rank = int(np.searchsorted(self.means, 0.0, "right" if self.mean > 0 else "left"))
        y = self._z(rank) - self.z0
        z = y / (1 + self.acceleration * y) - self.z0 if 1 + self.acceleration * y > 0 else -math.inf
        t = abs(z) * math.sqrt((self.units - 1) / self.units)
        if (z > 0) == (self.mean > 0):
            return 1.0
        return _two_sided(t, self.units - 1)


def _resampled_means(sums: np.ndarray, sizes: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    import numpy as np

    generator = np.random.Generator(np.random.SFC64(seed))
    units = len(sums)
    means = np.empty(replicates)
    rows = max(1, _CHUNK // units)
    alike = bool((sizes == sizes[0]).all())
    for start in range(0, replicates, rows):
        end = min(start + rows, replicates)
        # Small integers: drawing them is most of the work.
        drawn = generator.integers(0, units, (end - start, units), dtype=np.uint16 if units <= 1 << 16 else np.uint32)
        totals = sums.take(drawn).sum(axis=1)
        means[start:end] = totals / (units * sizes[0] if alike else sizes.take(drawn).sum(axis=1))
    return means


def _grouped(values: np.ndarray, clusters: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """(sum, number of items) of each unit that is resampled."""
    import numpy as np

    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise Invalid(f"There are {len(values)} items and {len(clusters)} cluster names. Nothing was computed.")
    numbers: dict[Hashable, int] = {}
    of = np.fromiter((numbers.setdefault(name, len(numbers)) for name in clusters), np.intp, len(values))
    return np.bincount(of, values), np.bincount(of).astype(float)


def _sign_flip(sums: np.ndarray) -> float:
    """Exact two-sided p-value of the sign-flip test over the units that differ, or 0 where they are more than _FEW."""
    import numpy as np

    changed = sums[sums != 0]
    if len(changed) > _FEW:
        return 0.0
    signs = 1 - 2 * ((np.arange(2 ** len(changed))[:, None] >> np.arange(len(changed))) & 1)
    totals = np.abs(signs @ changed)
    # The actual signs are among them, up to rounding.
    return float((totals >= abs(changed.sum()) * (1 - 1e-9)).mean())


def _numbers(values: Sequence[float], name: str) -> np.ndarray:
    import numpy as np

    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise Invalid(f"{name} holds something that is no number: {error}. Nothing was computed.") from None
    if numbers.ndim != 1:
        raise Invalid(f"{name} must be a list of numbers, not of shape {numbers.shape}.")
    if not len(numbers):
        raise Invalid(f"{name} is empty. There is nothing to compute.")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise Invalid(
            f"{len(bad)} of {len(numbers)} values of {name} are missing, NaN or infinite, the first at item {bad[0]}. "
            "Nothing was computed. Score those items, count them as failures, or leave out the whole pair and say so.",
            code="missing_scores",
            count=len(bad),
        )
    return numbers


def _level(confidence: float) -> float:
    if not 0.5 <= confidence < 1:
        raise Invalid(f"confidence must be between 0.5 and 1, such as 0.95; not {confidence}.")
    return confidence


def t_quantile(p: float, degrees: int) -> float:
    """Quantile of Student's t. Source: G. W. Hill, CACM algorithm 396 (1970); exact for 1 and 2 degrees, else to about 1e-5."""
    if p == 0.5:
        return 0.0
    tail, sign, n = 2 * min(p, 1 - p), 1 if p > 0.5 else -1, degrees
    if n == 1:
        return sign / math.tan(tail * math.pi / 2)
    if n == 2:
        return sign * math.sqrt(2 / (tail * (2 - tail)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * tail) ** (2 / n)
    if y > 0.05 + a:
        x = _NORMAL.inv_cdf(tail / 2)
        y = x * x
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (n + 2) + 1 / y
    return sign * math.sqrt(n * y)


def _two_sided(t: float, degrees: int) -> float:
    """P(|T| > t) by halving the quantile's argument; all below 1e-12 is alike."""
    low, high = 1e-12, 1.0
    if t_quantile(1 - low / 2, degrees) <= t:
        return low
    for _ in range(50):
        middle = (low + high) / 2
        if t_quantile(1 - middle / 2, degrees) > t:
            low = middle
        else:
            high = middle
    return high
