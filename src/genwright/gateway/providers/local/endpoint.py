"""The provider `local`: models of this process as an endpoint like others. Which there are is providers/table.py's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from genwright.errors import Invalid, Missing
from genwright.gateway.providers import table
from genwright.gateway.providers.base import Embedded
from genwright.gateway.types import Answer, Call, Chunk
from genwright.vocab import nearest

_SERVED = {"rerank": "rerank", "moderations": "moderate"}
"""Verb → the method of a local model that does it."""


class Local:
    name = "local"
    dialect = ""
    address = ""
    price_as = "local"

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}

    async def complete(self, call: Call, model: str) -> Answer:
        return await asyncio.to_thread(self._model(model, "answer").answer, call)

    async def stream(self, call: Call, model: str) -> AsyncIterator[Chunk]:
        """The answer exists at once; it comes in words, so that clients see a stream like any other."""
        answer = await self.complete(call, model)
        words = answer.message.text.split(" ")
        for number, word in enumerate(words):
            yield Chunk(word if number == len(words) - 1 else word + " ", response_id=answer.response_id, model=answer.model)
            await asyncio.sleep(0)
        yield Chunk(finish_reason=answer.finish_reason, usage=answer.usage)

    async def embed(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> Embedded:
        return await asyncio.to_thread(self._model(model, "embed").embed, texts, options)

    async def serve(self, verb: str, model: str, content_type: str, body: bytes, timeout_s: float = 0.0) -> tuple[str, bytes]:
        """Rerank by the embedding model's cosine, moderations by a list of words; nothing else of this kind runs here."""
        method = _SERVED.get(verb)
        if method is None:
            raise Invalid(f"No local model does {verb}. Nothing was done.", code="unsupported_operation", param="model")
        run = getattr(self._model(model, method), method)
        return "application/json", await asyncio.to_thread(run, msgspec.json.decode(body))

    async def models(self) -> list[str]:
        return table.LOCAL.names()

    def _model(self, name: str, verb: str) -> Any:
        if name not in self._models:
            if name not in table.LOCAL.names():
                near = nearest(name, table.LOCAL.names()) or table.LOCAL.names()
                message = f"There is no model 'local/{name[:100]}'. Nearest: {', '.join('local/' + n for n in near)}."
                raise Missing(message, code="model_not_found", param="model")
            self._models[name] = table.LOCAL.make(name)
        if not hasattr(self._models[name], verb):
            other = {
                "answer": "makes embeddings and answers no chats",
                "embed": "answers chats and makes no embeddings",
                "rerank": "ranks nothing",
                "moderate": "judges nothing",
            }[verb]
            raise Missing(f"local/{name} {other}.", code="model_not_found", param="model")
        return self._models[name]
