"""The desk every call passes: what its key may call, how often and for how much."""

from __future__ import annotations

from typing import Any

from genwright.access.types import Actor
from genwright.gateway.types import Call


class Admission:
    """Leave to make one call, until it is closed."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """x-ratelimit-* of the limits that cover the call."""
        return []

    def close(self) -> None:
        """The call is over."""


class Desk:
    def __init__(self, databases: dict, settings: Any):
        self._databases = databases
        self._settings = settings

    async def admit(self, actor: Actor, call: Call, operation: str) -> Admission:
        """Raises Forbidden or RateLimited."""
        return Admission()
