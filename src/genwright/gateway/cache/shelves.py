"""The questions of one server's projects by meaning, in memory: filled from the store at the first look-up, in the background.

With several servers on one database, what others kept is read once a second; what they deleted is noticed when it is fetched.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa

from genwright import clock
from genwright.db import Database
from genwright.errors import Error
from genwright.gateway.cache import store
from genwright.vocab import Scope

if TYPE_CHECKING:
    import numpy as np

    from genwright.gateway.cache.index import Shelf

WAIT_S = 0.25
"""Longest wait for the first reading of a project; a call that comes earlier finds less."""
LOOK_AGAIN_S = 1.0
OVERLAP_NS = 5_000_000_000
"""Clocks of servers differ: what was kept shortly before the newest seen is read again."""
log = logging.getLogger("genwright.gateway.cache")


class Room:
    """One project's shelves by hard scope. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shelves: dict[str, Shelf] = {}
        self._scope_of: dict[str, str] = {}
        self.seen_ns = 0
        self.looked = float("-inf")

    def add(self, hard: str, key: str, vector: np.ndarray) -> None:
        from genwright.gateway.cache.index import Shelf

        with self._lock:
            if hard not in self._shelves:
                self._shelves[hard] = Shelf()
            self._shelves[hard].add(key, vector)
            self._scope_of[key] = hard

    def remove(self, keys: list[str]) -> None:
        with self._lock:
            for key in keys:
                hard = self._scope_of.pop(key, None)
                if hard is None:
                    continue
                self._shelves[hard].remove(key)
                if not len(self._shelves[hard]):
                    del self._shelves[hard]

    def near(self, hard: str, vector: np.ndarray, count: int, floor: float) -> list[str]:
        with self._lock:
            shelf = self._shelves.get(hard)
            return [] if shelf is None else [key for key, _ in shelf.near(vector, count, floor)]

    def __len__(self) -> int:
        return len(self._scope_of)


class Shelves:
    def __init__(self, database: Database):
        self._database = database
        self._rooms: dict[Scope, Room] = {}
        self._reading: dict[Scope, asyncio.Task[None]] = {}

    async def room(self, scope: Scope) -> Room:
        """The project's, filled as far as it got in WAIT_S."""
        room = self._rooms.setdefault(scope, Room())
        again = self._database.postgres and clock.monotonic() - room.looked > LOOK_AGAIN_S
        if (room.looked == float("-inf") or again) and scope not in self._reading:
            room.looked = clock.monotonic()
            self._reading[scope] = asyncio.create_task(self._read(scope, room))
        if scope in self._reading:
            await asyncio.wait({self._reading[scope]}, timeout=WAIT_S)
        return room

    def known(self, scope: Scope) -> Room | None:
        return self._rooms.get(scope)

    async def _read(self, scope: Scope, room: Room) -> None:
        try:
            rows = await self._database.read(store.vectors, scope, room.seen_ns - OVERLAP_NS, clock.now_ns())
            await asyncio.to_thread(_fill, room, rows)
        except (Error, sa.exc.SQLAlchemyError) as error:
            room.looked = float("-inf")
            log.error("The cache's index of %s could not be read, exact hits go on: %s", scope.project, error)
        finally:
            self._reading.pop(scope, None)


def _fill(room: Room, rows: list[tuple[str, str, bytes, int]]) -> None:
    import numpy as np

    for hard, key, vector, created_ns in rows:
        room.add(hard, key, np.frombuffer(vector, np.float16))
        room.seen_ns = max(room.seen_ns, created_ns)
