"""Trains the pair verifier: small networks by Adam (Kingma & Ba 2015) with weight decay, in numpy, in seconds.

Knows features and labels, not where they come from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genwright.gateway.cache.pairs import NAMES
from genwright.gateway.cache.verify import Net, Verifier, Weights

HIDDEN, NETS, EPOCHS, BATCH = 24, 8, 60, 256
RATE, DECAY, PATIENCE = 2e-3, 2e-3, 8


def fit(forth: np.ndarray, back: np.ndarray, labels: np.ndarray, card: dict[str, Any], seed: int = 0) -> Verifier:
    """`forth` and `back`: features (n, len(NAMES)) of every pair in both orders; `labels`: 1 where both may share an answer."""
    rows, wanted = np.vstack([forth, back]).astype(np.float32), np.concatenate([labels, labels]).astype(np.float32)
    mean, scale = rows.mean(0), rows.std(0) + 1e-6
    rows = (rows - mean) / scale
    nets = []
    for number in range(NETS):
        random = np.random.default_rng(seed * 1000 + number)
        held = np.tile(random.random(len(labels)) < 0.1, 2)  # both orders of a pair stay on one side
        nets.append(_net(rows[~held], wanted[~held], rows[held], wanted[held], random))
    weights = Weights(card, NAMES, _short(mean), _short(scale), nets, 0.5, [], float(labels.mean()))
    scores = _both(Verifier(weights), forth, back)
    curve = [
        (float(t), float((scores[labels == 1] >= t).mean()), float((scores[labels == 0] >= t).mean()))
        for t in np.round(np.arange(0.02, 0.99, 0.01), 2)
    ]
    balanced = _balanced(curve, int(labels.sum()), int((labels == 0).sum()))
    return Verifier(Weights(card, NAMES, weights.mean, weights.scale, nets, balanced, curve, weights.positive))


def _balanced(curve: list[tuple[float, float, float]], right: int, wrong: int) -> float:
    """Where a right and a false hit weigh the same: the lowest threshold within a standard error of the best (Breiman 1984)."""
    _, tpr, fpr = max(curve, key=lambda point: point[1] - point[2])
    error = (tpr * (1 - tpr) / right + fpr * (1 - fpr) / wrong) ** 0.5
    return min(threshold for threshold, here, there in curve if here - there >= tpr - fpr - error)


def _net(rows: np.ndarray, wanted: np.ndarray, held_rows: np.ndarray, held: np.ndarray, random: np.random.Generator) -> Net:
    """Descends until the held-out loss has not fallen for PATIENCE epochs; the best of them is kept."""
    wide = rows.shape[1]
    state = [
        random.normal(0, wide**-0.5, (wide, HIDDEN)).astype(np.float32),
        np.zeros(HIDDEN, np.float32),
        random.normal(0, HIDDEN**-0.5, HIDDEN).astype(np.float32),
        np.zeros(1, np.float32),
    ]
    first, second = [np.zeros_like(x) for x in state], [np.zeros_like(x) for x in state]
    best, best_loss, waited, step = [x.copy() for x in state], np.inf, 0, 0
    for _ in range(EPOCHS):
        order = random.permutation(len(rows))
        for start in range(0, len(order), BATCH):
            step += 1
            chosen = order[start : start + BATCH]
            for at, slope in enumerate(_slopes(state, rows[chosen], wanted[chosen])):
                first[at] = 0.9 * first[at] + 0.1 * slope
                second[at] = 0.999 * second[at] + 0.001 * slope**2
                move = first[at] / (1 - 0.9**step) / (np.sqrt(second[at] / (1 - 0.999**step)) + 1e-8)
                state[at] -= (RATE * move).astype(np.float32)
        odds = np.tanh(held_rows @ state[0] + state[1]) @ state[2] + state[3]
        loss = float(np.logaddexp(0, np.where(held == 1, -odds, odds)).mean())
        if loss < best_loss - 1e-5:
            best, best_loss, waited = [x.copy() for x in state], loss, 0
        else:
            waited += 1
            if waited == PATIENCE:
                break
    return Net([_short(row) for row in best[0]], _short(best[1]), _short(best[2]), _short(best[3])[0])


def _slopes(state: list[np.ndarray], rows: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    w, b, v, c = state
    inner = np.tanh(rows @ w + b)
    gap = (1 / (1 + np.exp(-(inner @ v + c))) - wanted) / len(rows)
    back = np.outer(gap, v) * (1 - inner**2)
    return [rows.T @ back + DECAY * w, back.sum(0), inner.T @ gap + DECAY * v, np.asarray([gap.sum()])]


def _both(verifier: Verifier, forth: np.ndarray, back: np.ndarray) -> np.ndarray:
    return (verifier.scores(forth) + verifier.scores(back)) / 2


def _short(values: np.ndarray) -> list[float]:
    """Four digits are enough, and keep the file small."""
    return [float(f"{value:.4g}") for value in values]
