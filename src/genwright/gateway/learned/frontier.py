"""From predicted and known scores to what each way of choosing is worth: sweep, points, APGR, bootstrap. Pure arithmetic.

APGR is RouteLLM's (Ong et al., 2024): the share of the gap between the cheap and the strong model's quality that is recovered,
averaged over all shares of calls to the strong one. Choosing at random gives 0.5.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from genwright.errors import Invalid
from genwright.gateway.learned.types import Bin, Chosen, Estimate, Kept, Point

REPLICATES = 1_000
STEPS = 101
EVER = 1e12
"""As `lam`: money is all that counts (or, negative, all that does not)."""


class Surface(NamedTuple):
    """What is known of n rows and m models."""

    predicted: np.ndarray
    """(n, m) by a predictor that had not seen the row"""
    scores: np.ndarray
    """(n, m) actual, or doubly robust estimates where a model was not asked"""
    usd: np.ndarray
    """(n, m)"""
    seconds: np.ndarray | None
    """(n, m)"""
    mean_usd: np.ndarray
    """(m,) what the choice reckons with"""
    mean_seconds: np.ndarray
    """(m,) zeros where not known"""

    @property
    def strong(self) -> int:
        return int(self.scores.mean(0).argmax())

    @property
    def cheap(self) -> int:
        return int(self.mean_usd.argmin())


def choose(predicted: np.ndarray, usd: np.ndarray, lam: float, seconds: np.ndarray | None = None, per_second: float = 0.0) -> Any:
    """Index of the best model, for one row (m,) or many (n, m)."""
    value = predicted - lam * usd
    if seconds is not None and per_second:
        value = value - per_second * seconds
    return value.argmax(-1)


def robust(predicted: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Scores with estimates where a model was not asked (doubly robust; unbiased where models were asked at random)."""
    known = ~np.isnan(scores)
    if known.all():
        return scores
    asked = known.mean(0)
    return np.where(known, predicted + (np.nan_to_num(scores) - predicted) / asked, predicted)


def apgr(gain: np.ndarray, actual: np.ndarray) -> float:
    """`gain` (n,): what orders the rows; `actual` (n,): strong score − cheap score."""
    running = np.cumsum(actual[np.argsort(-gain, kind="stable")])
    return float((running.mean() - running[-1] / (2 * len(running))) / running[-1])


def apgr_estimate(gain: np.ndarray, actual: np.ndarray, seed: int = 0) -> Estimate:
    """With its interval over rows drawn again."""
    ordered = actual[np.argsort(-gain, kind="stable")]
    values = []
    for counts in _draws(len(ordered), seed):
        weights = counts * ordered
        running = np.cumsum(weights)
        total = counts.sum()
        middle = running - weights / 2  # rows drawn several times share one place
        values.append(float((counts * middle).sum() / total / running[-1]) if running[-1] else 0.5)
    return _estimate(apgr(gain, actual), np.array(values))


def strong_shares(gain: np.ndarray, actual: np.ndarray, gaps: tuple[float, ...], seed: int = 0) -> list[Kept]:
    """For each share of the gap the least share of strong calls that keeps it."""
    ordered = actual[np.argsort(-gain, kind="stable")]
    drawn: list[list[float]] = [[] for _ in gaps]
    for counts in _draws(len(ordered), seed):
        for at, gap in enumerate(gaps):
            drawn[at].append(_needed(counts * ordered, counts, gap))
    ones = np.ones(len(ordered))
    return [Kept(gap, _estimate(_needed(ordered, ones, gap), np.array(drawn[at]))) for at, gap in enumerate(gaps)]


def _needed(weighted: np.ndarray, counts: np.ndarray, gap: float) -> float:
    running = np.cumsum(weighted)
    first = int(np.argmax(running >= gap * running[-1]))
    return float(counts[: first + 1].sum() / counts.sum())


def sweep(surface: Surface, per_second: float = 0.0) -> list[Point]:
    """Points from always the cheapest to always the dearest, at most STEPS; those that another one beats in both are left out."""
    value = surface.predicted - per_second * surface.mean_seconds
    turns = []
    for one in range(value.shape[1]):
        for other in range(value.shape[1]):
            apart = surface.mean_usd[one] - surface.mean_usd[other]
            if apart > 0:
                turns.append((value[:, one] - value[:, other]) / apart)
    lams = np.quantile(np.concatenate(turns), np.linspace(0, 1, STEPS)) if turns else np.zeros(1)
    points = [point(surface, lam, per_second) for lam in [-EVER, *lams, EVER]]
    points.sort(key=lambda found: (found.usd, -found.quality))
    best, kept = -1.0, []
    for found in points:
        if found.quality > best:
            best = found.quality
            kept.append(found)
    return kept


def point(surface: Surface, lam: float, per_second: float = 0.0) -> Point:
    """What choosing so is worth on all rows."""
    chosen = choose(surface.predicted, surface.mean_usd, lam, surface.mean_seconds, per_second)
    return _point(surface, chosen, float(lam))


def _point(surface: Surface, chosen: np.ndarray, lam: float) -> Point:
    rows = np.arange(len(chosen))
    strong, cheap = surface.scores[:, surface.strong].mean(), surface.scores[:, surface.cheap].mean()
    quality, usd = surface.scores[rows, chosen].mean(), surface.usd[rows, chosen].mean()
    return Point(
        lam=lam,
        quality=float(quality),
        kept=float(quality / strong) if strong else 1.0,
        gap=float((quality - cheap) / (strong - cheap)) if strong > cheap else 1.0,
        usd=float(usd),
        saving=_saving(usd, surface.usd[:, surface.strong].mean()),
        shares=[float((chosen == model).mean()) for model in range(surface.scores.shape[1])],
        latency_s=None if surface.seconds is None else float(surface.seconds[rows, chosen].mean()),
    )


def pick(points: list[Point], asked: dict[str, float]) -> Point:
    """The cheapest point that keeps what was asked: `keep` (of the strong model's quality), `gap`, or at most `usd` a call."""
    if len(asked) != 1 or next(iter(asked)) not in ("keep", "gap", "usd"):
        raise Invalid("Ask for one of keep (0.95), gap (0.8) or usd (a call). Nothing was changed.", code="invalid_point")
    (word, wanted), *_ = asked.items()
    if word == "usd":
        within = [found for found in points if found.usd <= wanted]
        if not within:
            raise Invalid(f"Even the cheapest costs {points[0].usd:.6f} USD a call. Nothing was changed.", code="invalid_point")
        return max(within, key=lambda found: found.quality)
    for found in points:
        if (found.kept if word == "keep" else found.gap) >= wanted:
            return found
    best = max(points, key=lambda found: found.quality)
    most = best.kept if word == "keep" else best.gap
    raise Invalid(f"No point keeps {wanted:.1%}; the most is {most:.1%}. Nothing was changed.", code="invalid_point")


def chosen(surface: Surface, lam: float, asked: dict[str, float], per_second: float = 0.0, seed: int = 0) -> Chosen:
    """A point with its intervals: `lam` stays as it is, rows are drawn again."""
    choice = choose(surface.predicted, surface.mean_usd, lam, surface.mean_seconds, per_second)
    rows, strong, cheap = np.arange(len(choice)), surface.strong, surface.cheap
    columns = np.stack(
        [
            surface.scores[rows, choice], surface.scores[:, strong], surface.scores[:, cheap],
            surface.usd[rows, choice], surface.usd[:, strong],
        ]
    )  # fmt: skip
    drawn = np.array([columns @ counts / counts.sum() for counts in _draws(len(choice), seed)]).T
    best = _point(surface, choice, lam)
    kept = drawn[0] / np.maximum(drawn[1], 1e-9)
    gap = (drawn[0] - drawn[2]) / np.where(np.abs(drawn[1] - drawn[2]) < 1e-9, 1e-9, drawn[1] - drawn[2])
    saving = 1 - drawn[3] / np.maximum(drawn[4], 1e-18)
    return Chosen(best, asked, _estimate(best.kept, kept), _estimate(best.gap, gap), _estimate(best.saving, saving))


def calibration(gain: np.ndarray, actual: np.ndarray, bins: int = 10) -> tuple[list[Bin], float]:
    """(tenths of the rows by predicted gain, mean distance of prediction and truth)."""
    found, error = [], 0.0
    for rows in np.array_split(np.argsort(gain, kind="stable"), min(bins, len(gain))):
        mean = float(actual[rows].mean())
        half = 1.96 * float(actual[rows].std()) / len(rows) ** 0.5
        found.append(Bin(float(gain[rows].mean()), mean, mean - half, mean + half, len(rows)))
        error += abs(found[-1].predicted - mean) * len(rows) / len(gain)
    return found, error


def _saving(usd: float, strong_usd: float) -> float:
    return float(1 - usd / strong_usd) if strong_usd > 0 else 0.0


def _draws(rows: int, seed: int) -> Any:
    """How often each row is drawn, REPLICATES times."""
    random = np.random.default_rng(seed)
    for _ in range(REPLICATES):
        yield np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float64)


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))
