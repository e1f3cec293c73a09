"""The verbs of responses that outlive their call: make (plain, streamed, in the background), go on from one, get, cancel, delete.

A response is kept in our registry database, whoever made it, so that the next one may go to another provider: its turns are put
in front of the new input. Only where the same provider keeps it too, `previous_response_id` is handed on. Nothing is kept for a
key that captures no content. Formats are faces/responses.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Conflict, Error, Invalid, Missing
from genwright.gateway.faces import responses as face
from genwright.gateway.faces.openai import write_error
from genwright.gateway.faces.responses import AskedResponse
from genwright.gateway.faces.responses_stream import StreamWriter, failed
from genwright.gateway.responses import store
from genwright.gateway.responses.store import UNFINISHED, Kept
from genwright.gateway.types import Answer, Chunk
from genwright.gateway.wire import responses as wire
from genwright.vocab import new_id

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway

MAX_TURNS = 500
GRACE_S = 60.0
"""A background response that is this much older than the longest call was lost with its server."""
_FOR_EVER_NS = 2**63 - 1
log = logging.getLogger("genwright.gateway")


class Responses:
    def __init__(self, database: Database, gateway: Gateway, settings: Any):
        self._database = database
        self._gateway = gateway
        self._days = settings.responses_retention_days
        self._longest_s = settings.request_timeout_s + GRACE_S
        self._tasks: dict[str, asyncio.Task] = {}

    # -- making

    async def ready(self, actor: Actor, asked: AskedResponse) -> AskedResponse:
        """The same with the turns of its previous response in front, and `store` decided."""
        actor.need("call")
        store_it = asked.store is not False and actor.capture == "full"
        if asked.background and not store_it:
            raise Invalid(
                "A background response has to be kept until it is fetched: store must not be false, and the key must capture "
                "content. Nothing was sent.",
                code="background_needs_store",
                param="background",
            )
        if asked.background and asked.stream:
            raise Invalid(
                "background and stream together are not supported. Nothing was sent.", param="stream", code="invalid_field"
            )
        asked = msgspec.structs.replace(asked, store=store_it)
        return asked if not asked.previous else await self._after(actor, asked)

    async def _after(self, actor: Actor, asked: AskedResponse) -> AskedResponse:
        turns = await self._database.read(store.chain, actor.scope, asked.previous, clock.now_ns(), MAX_TURNS)
        if turns is None:
            raise Invalid(
                f"Previous response with id '{asked.previous[:100]}' not found: it was not stored, has expired or was deleted. "
                "Nothing was sent. Send its items as input.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        if turns[-1].status in UNFINISHED:
            raise Conflict(f"The response {asked.previous} is still {turns[-1].status}. Nothing was sent. Wait for it.")
        before = [item for turn in turns for item in [*turn.input, *turn.body.get("output", [])]]
        messages = wire.read_input([*before, *_items(asked.body["input"])], asked.body.get("instructions"))
        call = asked.call
        assert call.wire is not None
        same = turns[-1].provider and turns[-1].provider == call.model.partition("/")[0]
        body = call.wire.body
        if not same:
            body = {name: value for name, value in body.items() if name != "previous_response_id"}
            body["input"] = [*before, *_items(body["input"])]
        return msgspec.structs.replace(
            asked, call=msgspec.structs.replace(call, messages=messages, wire=msgspec.structs.replace(call.wire, body=body))
        )

    async def complete(self, actor: Actor, asked: AskedResponse) -> tuple[Answer, bytes]:
        """The answer and its body, kept if it is to be."""
        answer = await self._gateway.complete(actor, asked.call)
        body = face.write_answer(answer, asked)
        if asked.store:
            native = answer.dialect == wire.DIALECT and answer.raw
            await self._put(actor, asked, msgspec.json.decode(body), answer.provider if native else "")
        return answer, body

    async def stream(self, actor: Actor, asked: AskedResponse, writer: StreamWriter) -> AsyncIterator[Chunk | Answer]:
        """Pieces for the writer; what it made of them is kept before the client sees the end."""
        async with aclosing(self._gateway.stream(actor, asked.call)) as items:  # type: ignore[type-var]
            async for item in items:
                if isinstance(item, Answer):
                    final = writer.finish(item)
                    if asked.store:
                        await self._put(actor, asked, final, item.provider if writer.native else "")
                yield item

    async def start(self, actor: Actor, asked: AskedResponse) -> dict[str, Any]:
        """Begin one in the background: the response object as it stands now. It is not done again after a crash."""
        response = face.begin(asked, status="queued")
        await self._put(actor, asked, response, "")
        task = asyncio.create_task(self._work(actor, asked, response))
        self._tasks[response["id"]] = task
        task.add_done_callback(lambda _: self._tasks.pop(response["id"], None))
        return response

    async def _work(self, actor: Actor, asked: AskedResponse, response: dict[str, Any]) -> None:
        """The answer under the id that was given out; a failure is its end, too."""
        try:
            answer = await self._gateway.complete(actor, asked.call)
            made = msgspec.json.decode(face.write_answer(answer, asked))
            final = {**made, "id": response["id"], "background": True, "created_at": response["created_at"]}
        except asyncio.CancelledError:
            final = {**response, "status": "cancelled"}
            await self._finish(actor, final)
            raise
        except Error as error:
            final = failed(response, msgspec.json.decode(write_error(error))["error"], [])
        except Exception:
            log.exception("background response %s failed", response["id"])
            final = failed(response, {"code": "server_error", "message": "Something broke on our side; see the log."}, [])
        await self._finish(actor, final)

    async def _finish(self, actor: Actor, final: dict[str, Any]) -> None:
        await asyncio.shield(self._database.write(store.finish, actor.scope, final["id"], final))

    async def _put(self, actor: Actor, asked: AskedResponse, body: dict[str, Any], provider: str) -> None:
        now = clock.now_ns()
        expires = now + self._days * 86_400 * 1_000_000_000 if self._days else _FOR_EVER_NS
        items = [item if item.get("id") else {**item, "id": new_id("msg")} for item in _items(asked.body["input"])]
        kept = Kept(body["id"], asked.previous, provider, body.get("status") or "completed", items, body, now, actor.id, expires)
        await self._database.write(store.put, actor.scope, kept)

    # -- kept ones

    async def get(self, actor: Actor, id_: str) -> Kept:
        """Raises Missing. One whose server was lost is said to have failed."""
        actor.need("call")
        now = clock.now_ns()
        kept = await self._database.read(store.get, actor.scope, id_, now)
        if kept is None:
            raise Missing(f"Response with id '{id_[:100]}' not found: it was not stored, has expired or was deleted.")
        if kept.status in UNFINISHED and id_ not in self._tasks and now - kept.created_ns > self._longest_s * 1e9:
            said = {"code": "server_error", "message": "The server stopped before this response was done. Ask again."}
            kept.body = failed(kept.body, said, [])
            kept.status = "failed"
            await self._database.write(store.finish, actor.scope, id_, kept.body)
        return kept

    async def cancel(self, actor: Actor, id_: str) -> Kept:
        """Stop a background response; one that has ended stays as it is. Raises Missing, or Invalid for one of the foreground."""
        kept = await self.get(actor, id_)
        if not kept.body.get("background"):
            raise Invalid("Only background responses can be cancelled. Nothing was changed.", code="not_background")
        if kept.status in UNFINISHED:
            await self._database.write(store.finish, actor.scope, id_, {**kept.body, "status": "cancelled"})
            if (task := self._tasks.get(id_)) is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        return await self.get(actor, id_)

    async def delete(self, actor: Actor, id_: str) -> None:
        """Raises Missing."""
        await self.get(actor, id_)
        if (task := self._tasks.get(id_)) is not None:
            task.cancel()
        await self._database.write(store.delete, actor.scope, id_)

    async def close(self) -> None:
        """Stop what runs in the background: it is marked as cancelled."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _items(given: Any) -> list[dict[str, Any]]:
    """`input` as items."""
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
