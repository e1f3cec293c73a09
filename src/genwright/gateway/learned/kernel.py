"""Ridge regression with a Gaussian kernel over landmarks (Nyström), its settings chosen by leaving out one row at a time.

Nothing outside the rows given is looked at. Reference: Williams and Seeger, "Using the Nyström method to speed up kernel
machines", 2001; the left-out residual of ridge is (y − ŷ) / (1 − h), with h the diagonal of the hat matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LANDMARKS = 800
Settings = tuple[float, float]
SETTINGS: list[Settings] = [(share, gamma) for share in (0.05, 0.1, 0.15) for gamma in (0.3, 1.0)]
"""(how much a text feature of variance 1 weighs beside the embedding of norm 1, gamma of the Gaussian)."""
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
_JITTER = 1e-6


class Kernel(NamedTuple):
    """Predicts `heads` numbers. Arrays are float32."""

    landmarks: np.ndarray
    """(m, 384 + text features): embedding, and standardised text features times the share."""
    weights: np.ndarray
    """(m, heads)"""
    offset: np.ndarray
    """(heads,)"""
    gamma: float
    share: float

    @property
    def settings(self) -> Settings:
        return self.share, self.gamma

    def predict(self, embedded: np.ndarray, text: np.ndarray) -> np.ndarray:
        """(n, heads) from embeddings (n, 384) and standardised text features."""
        return _gaussian(_joined(embedded, text, self.share), self.landmarks, self.gamma) @ self.weights + self.offset


def fit(embedded: np.ndarray, text: np.ndarray, targets: np.ndarray, settings: Settings | None = None, seed: int = 0) -> Kernel:
    """`targets` (n, heads), NaN where not known. `settings` None: the best of SETTINGS for all heads; a ridge is a head's own."""
    chosen = np.random.default_rng(seed).permutation(len(embedded))[:LANDMARKS]
    best: tuple[float, Kernel] | None = None
    for share, gamma in [settings] if settings else SETTINGS:
        points = _joined(embedded, text, share)
        error, found = _fit(points, targets, points[chosen], (share, gamma))
        if best is None or error < best[0]:
            best = (error, found)
    assert best is not None
    return best[1]


def _fit(points: np.ndarray, targets: np.ndarray, landmarks: np.ndarray, settings: Settings) -> tuple[float, Kernel]:
    share, gamma = settings
    among = _gaussian(landmarks, landmarks, gamma).astype(np.float64)
    among[np.diag_indices_from(among)] += _JITTER
    whiten = np.linalg.inv(np.linalg.cholesky(among)).T
    mapped = (_gaussian(points, landmarks, gamma) @ whiten.astype(np.float32)).astype(np.float64)
    unknown = np.isnan(targets)
    weights, offsets, error = np.empty((len(landmarks), targets.shape[1])), np.empty(targets.shape[1]), 0.0
    for lacking in np.unique(unknown, axis=1).T:  # heads known for the same rows share the work
        heads = np.flatnonzero((unknown == lacking[:, None]).all(0))
        turned = _turned(mapped[~lacking])
        for head in heads:
            wanted = targets[~lacking, head]
            left_out, found, offsets[head] = _ridge(turned, wanted)
            error += left_out / max(_JITTER, float(np.var(wanted)))
            weights[:, head] = whiten @ found
    return error, Kernel(landmarks, weights.astype(np.float32), offsets.astype(np.float32), gamma, share)


class _Turned(NamedTuple):
    """Rows in the axes of their covariance."""

    centre: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    rows: np.ndarray
    squares: np.ndarray


def _turned(mapped: np.ndarray) -> _Turned:
    centre = mapped.mean(0)
    rows = mapped - centre
    values, vectors = np.linalg.eigh(rows.T @ rows)
    turned = rows @ vectors
    return _Turned(centre, values, vectors, turned, turned * turned)


def _ridge(turned: _Turned, target: np.ndarray) -> tuple[float, np.ndarray, float]:
    """(mean squared left-out residual, weights, offset) with the best of RIDGES."""
    mean = float(target.mean())
    wanted = target - mean
    projected = turned.rows.T @ wanted
    best: tuple[float, np.ndarray] | None = None
    for ridge in RIDGES:
        shrunk = projected / (turned.values + ridge)
        leverage = np.minimum(1 / len(wanted) + turned.squares @ (1 / (turned.values + ridge)), 0.99)
        error = float(np.mean(((wanted - turned.rows @ shrunk) / (1 - leverage)) ** 2))
        if best is None or error < best[0]:
            best = (error, turned.vectors @ shrunk)
    assert best is not None
    return best[0], best[1], mean - float(turned.centre @ best[1])


def _joined(embedded: np.ndarray, text: np.ndarray, share: float) -> np.ndarray:
    return np.hstack([embedded, share * text]).astype(np.float32)


def _gaussian(left: np.ndarray, right: np.ndarray, gamma: float) -> np.ndarray:
    apart = (left * left).sum(1)[:, None] + (right * right).sum(1) - 2 * left @ right.T
    return np.exp(-gamma * np.maximum(apart, 0, out=apart), out=apart)
