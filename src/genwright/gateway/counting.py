"""How many tokens a request would cost to read: as its provider counts, where it says that without answering, else as we do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from genwright import tokens
from genwright.errors import UpstreamRefused
from genwright.gateway.flow import names

if TYPE_CHECKING:
    from genwright.access.types import Actor
    from genwright.gateway.service import Gateway
    from genwright.gateway.types import Call


async def count_tokens(gateway: Gateway, actor: Actor, call: Call) -> int:
    """Input tokens, tools included. An app's or a route's are estimated: which model will read them is not known before."""
    actor.need("call")
    call, target = await gateway.resolve(actor, call)
    first, rest = names(call.model)
    if target is None and first != "route":
        endpoint = await gateway._directory.endpoint(actor.scope, first)
        count = getattr(endpoint, "count_tokens", None)
        with contextlib.suppress(UpstreamRefused):  # some of Bedrock's models cannot be counted
            counted = await count(call, rest) if count is not None else None
            if counted is not None:
                return counted
    return await asyncio.to_thread(_ours, call)


def _ours(call: Call) -> int:
    schemas = msgspec.json.encode(call.tools).decode() if call.tools else ""
    return tokens.count_messages(call.messages, call.model) + (tokens.count(schemas, call.model) if schemas else 0)
