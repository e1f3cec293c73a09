"""What people call the keys, teams and members whose ids the ledger holds. Only administrators are told."""

from __future__ import annotations

from typing import Any

from genwright.access.types import Actor


class Names:
    def __init__(self, access: Any):
        self._access = access

    async def __call__(self, actor: Actor) -> dict[str, str]:
        """id → name, of the actor's project; empty for who may not see them."""
        if not actor.may("admin"):
            return {}
        return {node.partition(":")[2]: name for node, name in (await self._access.tree.names(actor)).items()}
