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
        found = {key.id: key.name for key in await self._access.list_keys(actor)}
        return found | {member.id: member.name for member in await self._access.tree.members(actor)}
