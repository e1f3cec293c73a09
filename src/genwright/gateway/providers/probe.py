"""What works at a provider: its list of models, and one tiny call of each kind; no check stops the others.

Every call goes the way of all calls (limits, ledger, span), under tags that say what it was for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.errors import Error
from genwright.gateway.types import Answer, Call, Check, Chunk
from genwright.messages import user

if TYPE_CHECKING:
    from genwright.access.types import Actor
    from genwright.gateway.service import Gateway

TAGS = {"purpose": "provider test"}
LONGEST_S = 60.0
_TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_SCHEMA = {
    "type": "object", "properties": {"capital": {"type": "string"}}, "required": ["capital"], "additionalProperties": False,
}  # fmt: skip


class Failed(Exception):
    """An answer came, and it is not what was asked for."""


async def probe(gateway: Gateway, actor: Actor, name: str, chat: str, embeddings: str) -> list[Check]:
    """Chat, stream, tools, JSON and embeddings, one after the other. An empty model skips what needs it."""

    def call(text: str, **parameters: Any) -> Call:
        given = {"max_tokens": 300, **parameters}
        return Call(f"{name}/{chat}", [user(text)], given, rails=False, tags=TAGS, cache="off", timeout_s=LONGEST_S)

    async def plain() -> str:
        answer = await gateway.complete(actor, call("Reply with the word OK."))
        return _said(answer)

    async def stream() -> str:
        pieces, answer = 0, None
        async with aclosing(gateway.stream(actor, call("Count from 1 to 5."))) as items:  # type: ignore[type-var]
            async for item in items:
                if isinstance(item, Chunk):
                    pieces += bool(item.text or item.reasoning)
                else:
                    answer = item
        if answer is None:
            raise Failed("the stream ended without an answer")
        return f"{pieces} pieces: {_said(answer)}"

    async def tools() -> str:
        asked = msgspec.structs.replace(call("How is the weather in Rome? Use the tool."), tools=[_TOOL])
        answer = await gateway.complete(actor, asked)
        calls = answer.message.tool_calls
        if not calls:
            raise Failed(f"it called no tool and said: {answer.message.text[:200] or 'nothing'}")
        return f"{calls[0].name}({msgspec.json.encode(calls[0].arguments).decode()[:120]})"

    async def structured() -> str:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True}}
        answer = await gateway.complete(actor, call("What is the capital of France?", response_format=form))
        try:
            return f"capital = {msgspec.json.decode(answer.message.text)['capital']}"
        except (msgspec.DecodeError, KeyError, TypeError):
            raise Failed(f"this is not what the schema asks for: {answer.message.text[:200] or 'nothing'}") from None

    async def embed() -> str:
        vectors, _ = await gateway.embed(actor, f"{name}/{embeddings}", ["red planet", "soup"])
        return f"{vectors.shape[1]} numbers a text"

    none, no_embeddings = "it names no chat model: give one", "it names no embeddings model: give one"
    checks = [
        await _check("chat", chat, plain, none),
        await _check("stream", chat, stream, none),
        await _check("tools", chat, tools, none),
        await _check("json", chat, structured, none),
    ]
    return [*checks, await _check("embeddings", embeddings, embed, no_embeddings)]


async def _check(name: str, model: str, run: Callable[[], Awaitable[str]], missing: str) -> Check:
    if not model:
        return Check(name, "skipped", 0.0, error=missing)
    start = clock.perf_ns()
    try:
        said, problem = await run(), ""
    except Error as error:
        said, problem = "", error.message
    except Failed as failed:
        said, problem = "", str(failed)
    return Check(name, "failed" if problem else "works", (clock.perf_ns() - start) / 1e6, model, said, problem)


def _said(answer: Answer) -> str:
    if not answer.message.text and not any(getattr(part, "content", "") for part in answer.message.parts):
        raise Failed(f"the answer is empty (it ended with {answer.finish_reason})")
    return answer.message.text[:200] or "(only reasoning)"
