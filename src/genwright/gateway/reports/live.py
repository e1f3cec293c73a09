"""Traffic as it happens: entries of the ledger, told as calls end, to whoever looks on at this server.

Costs a call almost nothing: the last few are kept, and each onlooker has a short queue; what does not fit is counted, not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

from genwright.vocab import Scope

KEPT = 200
"""Last calls of a project, shown to who comes later."""
WAITING = 300
"""Calls an onlooker can be behind; more are only counted."""
MAX_PROJECTS = 1_000


class Onlooker:
    """What one open page was not told yet."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.waiting: deque[Any] = deque(maxlen=WAITING)
        self.seen = 0
        self.wake = asyncio.Event()

    def take(self) -> tuple[list[Any], int]:
        """(rows, how many there were) since the last time; the newest are kept where there were too many."""
        rows, seen = list(self.waiting), self.seen
        self.waiting.clear()
        self.seen = 0
        self.wake.clear()
        return rows, seen


class Live:
    def __init__(self) -> None:
        self._last: dict[tuple[str, str], deque[Any]] = {}
        self._onlookers: list[Onlooker] = []
        self.stopping = False

    def __len__(self) -> int:
        """Pages that look on."""
        return len(self._onlookers)

    def tell(self, row: Any) -> None:
        """A ledger row just settled. Called on the server's loop, once a call."""
        place = (row.workspace, row.project)
        last = self._last.get(place)
        if last is None:
            if len(self._last) >= MAX_PROJECTS:
                self._last.clear()
            last = self._last[place] = deque(maxlen=KEPT)
        last.append(row)
        for onlooker in self._onlookers:
            if (onlooker.scope.workspace, onlooker.scope.project) == place:
                onlooker.waiting.append(row)
                onlooker.seen += 1
                onlooker.wake.set()

    def last(self, scope: Scope) -> list[Any]:
        """The last calls of a project that ended at this server, newest first."""
        return list(reversed(self._last.get((scope.workspace, scope.project), ())))

    @contextlib.contextmanager
    def watching(self, scope: Scope) -> Iterator[Onlooker]:
        """Be told of calls while inside."""
        onlooker = Onlooker(scope)
        self._onlookers.append(onlooker)
        try:
            yield onlooker
        finally:
            self._onlookers.remove(onlooker)

    def stop(self) -> None:
        """End all watching: the server is going down."""
        self.stopping = True
        for onlooker in self._onlookers:
            onlooker.wake.set()
