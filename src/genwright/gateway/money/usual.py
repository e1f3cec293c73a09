"""What is usual for a key: the size of its requests, so that one far beyond it is flagged (a model driven to exhaustion).

Mean and spread of the logarithm of tokens, recent requests counting more. In memory, for each server by itself: a flag is told
on the span and as an event; it refuses nothing (limits do). After a restart a key's first requests teach anew.
"""

from __future__ import annotations

import math

MAX_KEYS = 20_000
LEARNED = 30
"""Requests after which a key's usual size is known well enough to call another one unusual."""
FAR = 4.0
"""Standard deviations from the mean."""
SPREAD = 0.5
"""Least standard deviation of the logarithm: keys whose requests are all alike may double them unflagged."""
MEMORY = 200
LEAST = 1_000
"""Tokens below which nothing is called large."""


class Usual:
    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float, float]] = {}

    def far(self, key: str, tokens: int) -> float | None:
        """Take a request in; how many times the usual size it is, if it is far beyond it."""
        if tokens <= 0:
            return None
        size = math.log(tokens)
        count, mean, variance = self._known.get(key, (0, size, 0.0))
        beyond = count >= LEARNED and tokens >= LEAST and size > mean + FAR * max(math.sqrt(variance), SPREAD)
        times = math.exp(size - mean)
        weight = 1 / min(count + 1, MEMORY)
        step = size - mean if not beyond else 0.0  # what is far off does not become usual by itself
        if len(self._known) >= MAX_KEYS and key not in self._known:
            self._known.pop(next(iter(self._known)))
        self._known[key] = (count + 1, mean + weight * step, (1 - weight) * (variance + weight * step * step))
        return times if beyond else None
