"""Images, audio and rerank through the same life as a chat (admission, route, attempts, ledger, spans); files, batches, videos.

Knows no HTTP of ours (face.py) and no form of a single operation (operations.py).
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Invalid
from genwright.gateway.attempt import Attempt
from genwright.gateway.media.batches import Batches
from genwright.gateway.media.files import Files
from genwright.gateway.media.operations import OPERATIONS, Asked, Operation, Served, check, encode
from genwright.gateway.media.videos import Videos
from genwright.gateway.providers.base import Endpoint, understood
from genwright.gateway.types import Call
from genwright.messages import Media as Medium
from genwright.messages import Message
from genwright.vocab import Scope

if TYPE_CHECKING:
    from genwright.blobs import Blobs
    from genwright.gateway.service import Gateway
    from genwright.jobs import Jobs


class Result(NamedTuple):
    """A provider's answer as it came."""

    content_type: str
    body: bytes
    cost_nano_usd: int | None


class Media:
    """`files`, `batches` and `videos` are its further verbs. `own`: blob store of the files' contents."""

    def __init__(self, gateway: Gateway, database: Database, blobs: Blobs, own: Blobs, jobs: Jobs, access: Any):
        self._gateway = gateway
        self._blobs = blobs
        self.files = Files(database, own)
        self.batches = Batches(gateway, self.files, database, jobs, access)
        self.videos = Videos(gateway, database)

    async def serve(self, actor: Actor, verb: str, asked: Asked, call: Call) -> Result:
        """One operation (a key of OPERATIONS). `call` carries what the headers say; its model and messages are set here.

        Raises Invalid, Missing, RateLimited, Upstream and its kinds.
        """
        actor.need("call")
        operation = OPERATIONS[verb]
        call = msgspec.structs.replace(call, model=check(operation, asked), messages=operation.asked(asked))
        call, target = await self._gateway.resolve(actor, call)
        if target is not None:
            raise Invalid(f"'{call.model}' is an app: it answers chats. Nothing was sent.", param="model")

        async def once(attempt: Attempt, endpoint: Endpoint, call: Call) -> Result:
            attempt.describe(call, stream=False)
            call = await attempt.reserve(call, most=operation.most(asked))
            attempt.sent = True
            kind, body = await self._send(endpoint, operation, asked, attempt.model, call)
            served: Served = understood(endpoint, lambda data: operation.served(asked, kind, data), body)
            output = await self._kept(actor, served.output)
            return Result(kind, body, attempt.served(served.usage, served.model, output))

        return await self._gateway.flow.run(actor, call, operation.name, once)

    async def _send(self, endpoint: Endpoint, operation: Operation, asked: Asked, model: str, call: Call) -> tuple[str, bytes]:
        send = getattr(endpoint, "serve", None)
        if send is None:
            raise Invalid(
                f"{endpoint.name} is reached by the dialect '{endpoint.dialect}', which has no {operation.verb} here. "
                "Nothing was sent. Choose a provider of OpenAI's dialect.",
                code="unsupported_operation",
                param="model",
            )
        content_type, body = encode(asked, model)
        return await send(operation.verb, model, content_type, body, call.timeout_s)

    async def _kept(self, actor: Actor, output: tuple[Message, ...]) -> list[Message]:
        """The answer as its span keeps it: large media as blobs, nothing of them where the key wants no contents kept."""
        if actor.capture != "full":
            return []
        return [Message(m.role, [await self._as_blob(actor.scope, part) for part in m.parts]) for m in output]

    async def _as_blob(self, scope: Scope, part: Any) -> Any:
        if not isinstance(part, Medium) or not part.base64:
            return part
        digest = await asyncio.to_thread(lambda: self._blobs.put(scope, base64.b64decode(part.base64)))
        return msgspec.structs.replace(part, base64="", blob=digest)
