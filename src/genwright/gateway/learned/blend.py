"""From (prompt features, scores of each model) to a predictor of each model's score: kernel ridge and two forests, blended.

Where every row has the scores of all models, what is learned is their mean and how each differs from it: that difference is all
that a choice needs. Otherwise each model is learned from the rows that have its score. Shares of the blend are chosen by inner
folds over the rows given.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from genwright.gateway.learned import forest, kernel
from genwright.gateway.learned.forest import Forest
from genwright.gateway.learned.kernel import Kernel

COMPONENTS = 48
"""Principal components of the embedding that the second forest sees."""
CLIP = 4.0
HOLDOUT_ROWS = 2_500
"""Inner folds are at most 3, fewer where one holds so many rows."""
SHARES = [part for part in itertools.product((0.0, 0.25, 0.5, 0.75, 1.0), repeat=3) if sum(part) == 1.0]
_KERNEL = np.array([1.0, 0.0, 0.0])


class Features(NamedTuple):
    """Of n prompts, as features.py makes them."""

    embedded: np.ndarray
    """float32 (n, 384)"""
    text: np.ndarray
    """float32 (n, len(NAMES))"""

    def take(self, rows: np.ndarray) -> Features:
        return Features(self.embedded[rows], self.text[rows])


class Scale(NamedTuple):
    """Where text features lie, and the directions in which embeddings differ most; of the rows fitted."""

    mean: np.ndarray
    deviation: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    """(384, components)"""

    def text(self, found: Features) -> np.ndarray:
        """Standardised text features, clipped at ±CLIP."""
        return np.clip((found.text - self.mean) / self.deviation, -CLIP, CLIP)

    def components(self, found: Features) -> np.ndarray:
        return (found.embedded - self.centre) @ self.axes


class Blend(NamedTuple):
    """A fitted predictor. Heads become models' scores by `basis`."""

    scale: Scale
    kernel: Kernel
    forests: list[tuple[Forest, Forest]]
    """(plain, full) of each head that has a forest: the last ones."""
    shares: np.ndarray
    """(3,): of the kernel, the plain and the full forest."""
    basis: np.ndarray
    """(heads, models)"""

    def predict(self, found: Features) -> np.ndarray:
        """(n, models): scores to be expected, not yet clipped to 0 … 1."""
        return _mixed(self._parts(found), self.shares) @ self.basis

    def _parts(self, found: Features) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        text, components = self.scale.text(found), self.scale.components(found)
        by_kernel = self.kernel.predict(found.embedded, text)
        both = np.hstack([text, components])
        plain, full = by_kernel.copy(), by_kernel.copy()
        first = by_kernel.shape[1] - len(self.forests)
        for number, (one, other) in enumerate(self.forests, first):
            plain[:, number], full[:, number] = one.predict(text), other.predict(both)
        return by_kernel, plain, full


def fit(found: Features, scores: np.ndarray, seed: int = 0) -> Blend:
    """`scores` (n, models), NaN where a model was not asked. About 2 s for 1,300 rows and two models, 30 s for 14,000."""
    basis, targets = _heads(scores)
    scale = _scale(found)
    settings = kernel.fit(found.embedded, scale.text(found), targets, None, seed).settings
    shares = _choose(found, targets, settings, seed)
    return _fit(found, targets, shares, basis, settings, seed)


def _heads(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(basis, targets): the mean and all but one of the differences from it, or each model's own score where some are unknown."""
    models = scores.shape[1]
    if np.isnan(scores).any():
        return np.eye(models), scores
    mean = scores.mean(1, keepdims=True)
    basis = np.vstack([np.ones(models), np.eye(models)[:-1] - np.eye(models)[-1]])
    return basis, np.hstack([mean, (scores - mean)[:, :-1]])


def _choose(found: Features, targets: np.ndarray, settings: kernel.Settings, seed: int) -> np.ndarray:
    """The shares that miss the choosing heads least on rows that were not fitted."""
    folds = 3
    part = np.random.default_rng(seed + 1).permutation(len(targets)) % folds
    tried = range(folds if len(targets) / folds < HOLDOUT_ROWS else 1)
    errors = np.zeros(len(SHARES))
    for fold in tried:
        inner = _fit(found.take(part != fold), targets[part != fold], _KERNEL, np.eye(targets.shape[1]), settings, seed)
        parts, wanted = inner._parts(found.take(part == fold)), targets[part == fold]
        chosen = slice(targets.shape[1] - len(inner.forests), None)
        for number, shares in enumerate(SHARES):
            missed = (_mixed(parts, np.array(shares)) - wanted)[:, chosen]
            errors[number] += np.nansum(missed**2)
    return np.array(SHARES[int(errors.argmin())])


def _fit(
    found: Features, targets: np.ndarray, shares: np.ndarray, basis: np.ndarray, settings: kernel.Settings, seed: int
) -> Blend:
    scale = _scale(found)
    text = scale.text(found)
    both = np.hstack([text, scale.components(found)])
    forests = []
    for head in range(0 if np.isnan(targets).any() else 1, targets.shape[1]):
        known = ~np.isnan(targets[:, head])
        wanted = targets[known, head]
        forests.append((forest.fit(text[known], wanted, seed), forest.fit(both[known], wanted, seed + 1)))
    return Blend(scale, kernel.fit(found.embedded, text, targets, settings, seed), forests, shares, basis)


def _scale(found: Features) -> Scale:
    centre = found.embedded.mean(0)
    apart = (found.embedded - centre).astype(np.float64)
    _, vectors = np.linalg.eigh(apart.T @ apart)
    axes = vectors[:, ::-1][:, :COMPONENTS].astype(np.float32)
    return Scale(found.text.mean(0), found.text.std(0) + 1e-6, centre, np.ascontiguousarray(axes))


def _mixed(parts: tuple[np.ndarray, ...], shares: np.ndarray) -> np.ndarray:
    return sum(share * part for share, part in zip(shares, parts, strict=True))  # type: ignore[return-value]
