"""The cache's verbs: look up, keep, forget, and the rules that switch it on."""

from __future__ import annotations

from typing import Any

from genwright.access.types import Actor
from genwright.gateway.cache.types import About, Found
from genwright.gateway.types import Answer, Call, Chunk

__all__ = ["About", "Cache", "Found"]


class Cache:
    def __init__(self, databases: dict, settings: Any):
        self._databases = databases
        self._settings = settings

    async def find(self, actor: Actor, call: Call, about: About) -> Found | None:
        """What an earlier call left. None: no rule covers the call, or it asked for no cache; a Found of how=miss: to be kept."""
        return None

    def keep(self, found: Found, answer: Answer, chunks: list[Chunk] | None = None) -> None:
        """Remember the answer of a miss; returns at once and never raises. `chunks` as the client got them, for a stream."""
        return None
