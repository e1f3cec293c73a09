"""Says how likely two questions may share an answer, and which threshold keeps false hits under a target.

A few small networks over `pairs.features`, asked in both orders and averaged; their weights are a JSON file with a card
(`data/cache_verifier.json`, docs/cache-verifier.md), made by tools/fit_cache_verifier.py. Knows no cache and no storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from genwright.errors import Invalid
from genwright.gateway.cache.pairs import NAMES, Question, contradicts, features

FILE = Path(__file__).parents[2] / "data" / "cache_verifier.json"


class Net(msgspec.Struct, frozen=True):
    """One hidden layer: tanh(x·w + b)·v + c is the log odds."""

    w: list[list[float]]
    b: list[float]
    v: list[float]
    c: float


class Weights(msgspec.Struct, frozen=True):
    """The file as it is."""

    card: dict[str, Any]
    features: list[str]
    mean: list[float]
    scale: list[float]
    nets: list[Net]
    balanced: float
    """Threshold where a right hit and a false one weigh the same on the training half (the lowest within a standard error)."""
    curve: list[tuple[float, float, float]]
    """(threshold, share of right pairs served, share of wrong pairs served) on the training half, by rising threshold."""
    positive: float
    """Share of right pairs among the labelled ones."""


class _Arrays(NamedTuple):
    mean: np.ndarray
    scale: np.ndarray
    w: np.ndarray
    """(features, nets * hidden)."""
    b: np.ndarray
    v: np.ndarray
    """(nets * hidden, nets)."""
    c: np.ndarray


class Verifier:
    def __init__(self, weights: Weights):
        if weights.features != NAMES:
            raise Invalid("The verifier's weights were made for other features. Run: python tools/fit_cache_verifier.py")
        self.weights = weights
        self._arrays = arrays(weights)

    def probability(self, asked: Question, kept: Question) -> float:
        """That both may share an answer; 0 where numbers, negation or names contradict each other."""
        if not len(asked.ids) or not len(kept.ids) or contradicts(asked, kept):
            return 0.0
        return float(self.scores(np.stack([features(asked, kept), features(kept, asked)])).mean())

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities of rows of features."""
        a = self._arrays
        odds = np.tanh((rows - a.mean) / a.scale @ a.w + a.b) @ a.v + a.c
        return (1 / (1 + np.exp(-odds))).mean(1)

    def threshold(self, target: float, own: Sequence[tuple[float, bool]] = ()) -> float:
        """The lowest threshold at which at most `target` of the pairs served are wrong, on labelled pairs: `own` ones
        (probability, may share) where there are some, else those the verifier came with; 1 where no threshold does that."""
        if own:
            return fitted([score for score, _ in own], [same for _, same in own], target)
        for threshold, right, wrong in self.weights.curve:
            served = right * self.weights.positive + wrong * (1 - self.weights.positive)
            if served and wrong * (1 - self.weights.positive) / served <= target:
                return threshold
        return 1.0


def fitted(scores: Sequence[float], same: Sequence[bool], target: float) -> float:
    """The lowest score that may be served so that the wrong ones among all served are at most `target`; 1 where none is."""
    order = np.argsort(-np.asarray(scores))
    wrong = np.cumsum(~np.asarray(same, bool)[order])
    allowed = np.flatnonzero(wrong / np.arange(1, len(order) + 1) <= target)
    return float(np.asarray(scores)[order[allowed[-1]]]) if len(allowed) else 1.0


def arrays(weights: Weights) -> _Arrays:
    nets = weights.nets
    hidden = len(nets[0].b)
    v = np.zeros((hidden * len(nets), len(nets)), np.float32)
    for at, net in enumerate(nets):
        v[at * hidden : (at + 1) * hidden, at] = net.v
    return _Arrays(
        np.asarray(weights.mean, np.float32),
        np.asarray(weights.scale, np.float32),
        np.concatenate([np.asarray(net.w, np.float32) for net in nets], 1),
        np.concatenate([np.asarray(net.b, np.float32) for net in nets]),
        v,
        np.asarray([net.c for net in nets], np.float32),
    )


@cache
def shipped() -> Verifier:
    """The one in this package."""
    return Verifier(msgspec.json.decode(FILE.read_bytes(), type=Weights))
