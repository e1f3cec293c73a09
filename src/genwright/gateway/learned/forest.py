"""Gradient-boosted trees of fixed depth for one number, by histograms, in numpy. Knows no prompts.

Reference: Friedman, "Stochastic gradient boosting", 2002, with squared loss; a leaf is shrunk by LEAF_RIDGE as in XGBoost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DEPTH = 4
BINS = 24
RATE = 0.04
TREES = 250
ROWS = 0.6
"""Share of rows that a tree sees."""
COLUMNS = 0.3
MIN_LEAF = 20
LEAF_RIDGE = 20.0
_NODES = 2**DEPTH - 1


class Forest(NamedTuple):
    """Trees as arrays: node n of a tree has children 2n + 1 and 2n + 2."""

    columns: np.ndarray
    """(trees, 15) int16"""
    thresholds: np.ndarray
    """(trees, 15) float32; to the right if greater; infinite where a node does not split"""
    leaves: np.ndarray
    """(trees, 16) float32"""
    offset: float

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """(n,) from (n, columns)."""
        out = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), 1024):
            out[start : start + 1024] = self._predict(rows[start : start + 1024])
        return out

    def _predict(self, rows: np.ndarray) -> np.ndarray:
        trees = np.arange(len(self.columns))
        at, here = np.zeros((len(rows), len(trees)), np.intp), np.arange(len(rows))[:, None]
        for _ in range(DEPTH):
            at = 2 * at + 1 + (rows[here, self.columns[trees, at]] > self.thresholds[trees, at])
        return self.leaves[trees, at - _NODES].sum(1) + self.offset


def fit(rows: np.ndarray, target: np.ndarray, seed: int = 0) -> Forest:
    """Trees for `target` (n,) from `rows` (n, columns)."""
    random = np.random.default_rng(seed)
    quantiles = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = [np.unique(np.quantile(rows[:, column], quantiles)).astype(np.float32) for column in range(rows.shape[1])]
    binned = np.stack([np.searchsorted(edge, rows[:, column], side="left") for column, edge in enumerate(edges)])
    offset = float(target.mean())
    left = target - offset
    columns, cuts, leaves = [], [], []
    for _ in range(TREES):
        sample = np.flatnonzero(random.random(len(rows)) < ROWS)
        looked = random.choice(rows.shape[1], max(1, int(COLUMNS * rows.shape[1])), replace=False)
        column, cut, at = _grow(binned[:, sample], left[sample], looked)
        sums = np.bincount(at, left[sample], _NODES + 1)
        leaf = RATE * sums / (np.bincount(at, minlength=_NODES + 1) + LEAF_RIDGE)
        left = left - leaf[_leaf(binned, column, cut)]
        columns.append(column)
        cuts.append(cut)
        leaves.append(leaf)
    thresholds = [
        [_edge(edges[c], k) for c, k in zip(column, cut, strict=True)] for column, cut in zip(columns, cuts, strict=True)
    ]
    shape = (len(columns), _NODES)
    return Forest(
        np.array(columns, np.int16).reshape(shape), np.array(thresholds, np.float32).reshape(shape),
        np.array(leaves, np.float32).reshape(len(columns), _NODES + 1), offset,
    )  # fmt: skip


def _grow(binned: np.ndarray, left: np.ndarray, looked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(column of each node, last bin that goes to the left, leaf of each row)."""
    columns, cuts = np.zeros(_NODES, np.intp), np.full(_NODES, BINS, np.intp)
    at, rows = np.zeros(len(left), np.intp), np.arange(len(left))
    seen = binned[looked]
    weights = np.broadcast_to(left, seen.shape).ravel()
    for depth in range(DEPTH):
        width, first = 2**depth, 2**depth - 1
        keys = (np.arange(len(looked))[:, None] * width + at) * BINS + seen
        gains = _gains(keys.ravel(), weights, (len(looked), width))
        by_node = gains.transpose(1, 0, 2).reshape(width, -1)
        best = by_node.argmax(1)
        splits = by_node[np.arange(width), best] > 0
        columns[first : first + width][splits] = looked[best // BINS][splits]
        cuts[first : first + width][splits] = (best % BINS)[splits]
        node = first + at
        at = 2 * at + (binned[columns[node], rows] > cuts[node])
    return columns, cuts, at


def _gains(keys: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(columns, nodes of a level, bins): what a cut after each bin gains, negative where it may not be."""
    size = shape[0] * shape[1] * BINS
    sums = np.bincount(keys, weights, size).reshape(*shape, BINS).cumsum(2)
    counts = np.bincount(keys, minlength=size).reshape(*shape, BINS).cumsum(2)
    all_sums, all_counts = sums[..., -1:], counts[..., -1:]
    gains = sums**2 / (counts + LEAF_RIDGE) + (all_sums - sums) ** 2 / (all_counts - counts + LEAF_RIDGE)
    gains -= all_sums**2 / (all_counts + LEAF_RIDGE)
    gains[(counts < MIN_LEAF) | (all_counts - counts < MIN_LEAF)] = -1
    return gains


def _leaf(binned: np.ndarray, columns: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    at, rows = np.zeros(binned.shape[1], np.intp), np.arange(binned.shape[1])
    for _ in range(DEPTH):
        at = 2 * at + 1 + (binned[columns[at], rows] > cuts[at])
    return at - _NODES


def _edge(edges: np.ndarray, cut: int) -> float:
    """The value up to which a row goes to the left."""
    return float(edges[cut]) if cut < len(edges) else float("inf")
