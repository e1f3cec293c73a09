"""Fitted routers at work: weights kept loaded, a prompt read in a thread, and what was seen counted for drift.

A reading is one embedding (about 3 ms for a short prompt) and half a millisecond of arithmetic. Counts are written every few
seconds; what a server had not written when it died is lost, calls are not.
"""

from __future__ import annotations

import asyncio
import bisect
import math
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from genwright import clock
from genwright.db import Database
from genwright.gateway.learned import store
from genwright.gateway.learned.types import Drift, Lies
from genwright.vocab import Scope

if TYPE_CHECKING:
    from genwright.blobs import Blobs

OPEN = 16
"""Weights kept loaded; 2 MB each."""
FLUSH_S = 3.0
HOUR_NS = 3_600_000_000_000
MIN_CALLS = 100
"""Fewer calls say nothing about drift."""
ALIKE, OTHER = 0.1, 0.25
"""Population stability index: below ALIKE nothing has changed, above OTHER it is another population (the usual rule of thumb)."""


class Reading(NamedTuple):
    """What a router makes of a prompt."""

    scores: dict[str, float]
    """Model → score to be expected, 0 … 1."""
    near: float
    """Cosine of the nearest landmark of the rows fitted."""


class Readings:
    def __init__(self, database: Database, blobs: Blobs):
        self._database, self._blobs = database, blobs
        self._open: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._opening = threading.Lock()
        self._server = f"{os.getpid():x}-{os.urandom(4).hex()}"
        self._hours: dict[tuple[str, str, str, int], store.Hour] = {}
        self._waiting: set[tuple[str, str, str, int]] = set()
        self._flushing: asyncio.Task | None = None

    async def read(self, scope: Scope, weights: str, text: str) -> Reading:
        """Raises Missing, Unavailable, Invalid where the weights cannot be read, NeedsExtra without the embedding model."""
        return await asyncio.to_thread(self._read, scope, weights, text)

    def loaded(self, scope: Scope, weights: str) -> Any:
        """The weights (weights.Loaded). Blocks: call it in a thread."""
        key = (scope.workspace, weights)
        with self._opening:
            found = self._open.get(key)
            if found is None:
                from genwright.gateway.learned.weights import load

                found = self._open[key] = load(self._blobs.get(scope, weights))
                while len(self._open) > OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
        return found

    def _read(self, scope: Scope, weights: str, text: str) -> Reading:
        loaded = self.loaded(scope, weights)
        from genwright.gateway.learned import features
        from genwright.gateway.learned.blend import Features
        from genwright.gateway.learned.fit import similarity

        found = Features(features.embeddings([text]), features.text_features([text]))
        scores = loaded.blend.predict(found)[0].clip(0, 1).tolist()
        return Reading(dict(zip(loaded.models, scores, strict=True)), float(similarity(loaded.blend, found.embedded)[0]))

    # -- drift

    def saw(self, scope: Scope, weights: str, lies: Lies, gain: float, near: float) -> None:
        """Count one prompt."""
        hour = clock.now_ns() // HOUR_NS * HOUR_NS
        key = (scope.workspace, scope.project, weights, hour)
        row = self._hours.get(key)
        if row is None:
            self._hours = {known: found for known, found in self._hours.items() if known[3] == hour or known in self._waiting}
            row = self._hours[key] = store.Hour(*key, self._server, 0, 0, [0] * 10, [0] * 10)
        row.calls += 1
        row.far += near < lies.far
        row.gains[bisect.bisect_right(lies.gains, gain)] += 1
        row.near[bisect.bisect_right(lies.near, near)] += 1
        self._waiting.add(key)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(FLUSH_S)
        self._flushing = None
        await self.flush()

    async def flush(self) -> None:
        """Write what was counted."""
        waiting, self._waiting = self._waiting, set()
        if waiting:
            await self._database.write(store.put, [self._hours[key] for key in waiting])

    async def drift(self, scope: Scope, weights: str, lies: Lies, since_ns: int = 0) -> Drift:
        """Live prompts beside those fitted, from `since_ns` on (the hour it lies in)."""
        await self.flush()
        rows = await self._database.read(store.since, scope, weights, since_ns // HOUR_NS * HOUR_NS)
        gains = [sum(row.gains[at] for row in rows) for at in range(10)]
        near = [sum(row.near[at] for row in rows) for at in range(10)]
        calls, far = sum(row.calls for row in rows), sum(row.far for row in rows)
        psi_gain, psi_near = stability(gains), stability(near)
        drifted = calls >= MIN_CALLS and max(psi_gain, psi_near) - _chance(calls) > OTHER
        first = rows[0].hour_ns if rows else since_ns
        last = rows[-1].hour_ns + HOUR_NS if rows else since_ns
        says = _says(calls, far, psi_gain, psi_near)
        return Drift(weights, calls, first, last, far, gains, near, psi_gain, psi_near, drifted, says)


def stability(counts: list[int]) -> float:
    """Population stability index of counts in tenths against equal ones; half a call is added to each, so that none is empty."""
    total = sum(counts) + 0.5 * len(counts)
    if total <= 0.5 * len(counts):
        return 0.0
    shares = [(count + 0.5) / total for count in counts]
    expected = 1 / len(counts)
    return sum((share - expected) * math.log(share / expected) for share in shares)


def _chance(calls: int) -> float:
    """The index to be expected where nothing has changed: chi-square of nine degrees over the calls."""
    return 9 / calls


def _says(calls: int, far: int, psi_gain: float, psi_near: float) -> str:
    if calls < MIN_CALLS:
        return f"{calls} calls: too few to say anything ({MIN_CALLS} are needed)."
    worst = max(psi_gain, psi_near) - _chance(calls)
    outside = f"{far / calls:.1%} of the prompts are unlike all that was fitted (0.5 % is usual)."
    if worst > OTHER:
        return f"Drift: live prompts are another population than those fitted. {outside} Fit again with their answers."
    if worst > ALIKE:
        return f"Live prompts have moved a little from those fitted. {outside}"
    return f"Live prompts are like those fitted. {outside}"
