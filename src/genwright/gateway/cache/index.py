"""Which kept questions are near a new one, within one scope: in memory, exact to add and to take away.

A shelf holds the questions of one scope: their vectors as 384 signs (48 bytes) and as float16. A look-up counts differing signs
for all (100,000 in about a millisecond), then compares the nearest few exactly. A scope is a shelf of its own: what lies on
another shelf cannot be found, however near it is. Knows no storage and no threshold.
"""

from __future__ import annotations

import numpy as np

SMALL = 2048
"""Up to so many entries all are compared exactly."""
NARROWED = 256
"""Entries of a larger shelf compared exactly after the signs were counted."""
_FIRST = 16


class Shelf:
    """Rows in no order; the last one moves into the place of one taken away."""

    __slots__ = ("_at", "_signs", "_size", "_vectors", "keys")

    def __init__(self, dim: int = 384):
        self._at: dict[str, int] = {}
        self.keys: list[str] = []
        self._size = 0
        self._signs = np.zeros((dim // 64, _FIRST), np.uint64)  # one row a word, so that counting runs along memory
        self._vectors = np.zeros((_FIRST, dim), np.float16)

    def __len__(self) -> int:
        return self._size

    def add(self, key: str, vector: np.ndarray) -> None:
        """Put an entry on the shelf, or another vector in its place."""
        at = self._at.get(key)
        if at is None:
            if self._size == len(self._vectors):
                self._signs = np.concatenate([self._signs, np.zeros_like(self._signs)], 1)
                self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            at = self._at[key] = self._size
            self.keys.append(key)
            self._size += 1
        self._signs[:, at] = signs(vector)
        self._vectors[at] = vector

    def remove(self, key: str) -> None:
        """Take an entry away, if it is there."""
        at = self._at.pop(key, None)
        if at is None:
            return
        self._size -= 1
        last = self.keys.pop()
        if last != key:
            self.keys[at], self._at[last] = last, at
            self._signs[:, at], self._vectors[at] = self._signs[:, self._size], self._vectors[self._size]

    def near(self, vector: np.ndarray, count: int, floor: float) -> list[tuple[str, float]]:
        """Up to `count` (key, cosine) of at least `floor`, nearest first."""
        if not self._size:
            return []
        rows = None
        if self._size > SMALL:
            differ = np.zeros(self._size, np.uint16)
            for kept, asked in zip(self._signs, signs(vector), strict=True):
                differ += np.bitwise_count(kept[: self._size] ^ asked)
            rows = np.flatnonzero(differ <= np.partition(differ, NARROWED)[NARROWED])
        vectors = self._vectors[: self._size] if rows is None else self._vectors[rows]
        like = vectors.astype(np.float32) @ vector
        best = np.argsort(-like)[:count]
        return [(self.keys[at if rows is None else rows[at]], float(like[at])) for at in best if like[at] >= floor]


def signs(vector: np.ndarray) -> np.ndarray:
    """One bit a dimension, as uint64 (dim / 64,)."""
    return np.packbits(vector > 0).view(np.uint64)
