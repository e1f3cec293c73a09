"""OpenAI's legacy completions (text in, text out) as a dialect of providers, for callers that speak it. Pure."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from genwright.gateway import sse
from genwright.gateway.providers.failures import stream_error
from genwright.gateway.providers.openai_compatible import OpenAICompatible
from genwright.gateway.types import Answer, Call, Chunk
from genwright.gateway.wire import openai as wire
from genwright.gateway.wire.openai import bad
from genwright.messages import Message, Text

DIALECT = "completions"


class Completions(OpenAICompatible):
    """Taken only by calls that came in it: a chat has no completion's form."""

    name = DIALECT
    paths: ClassVar = {"chat": "/completions", "stream": "/completions"}

    def request(self, call: Call, model: str, stream: bool) -> bytes:
        assert call.wire is not None
        if "prompt" not in call.wire.body:  # a rail changed it
            text = "".join(message.text for message in call.messages)
            body = {**call.wire.body, "prompt": text}
            if "prompt" in call.extra:
                raise bad("prompt", "A policy changed one of several prompts. Nothing was sent. Send them one by one.")
            call = msgspec.structs.replace(call, wire=msgspec.structs.replace(call.wire, body=body))
        body = msgspec.json.decode(super().request(call, model, stream))
        body.pop("messages", None)
        return msgspec.json.encode(body)

    def answer(self, body: bytes) -> Answer:
        decoded = msgspec.json.decode(body)
        if "error" in decoded and "choices" not in decoded:
            raise stream_error("the provider", body)
        choices = sorted(decoded["choices"], key=lambda choice: choice.get("index") or 0)
        messages = [
            Message("assistant", [Text(choice["text"])], finish_reason=choice.get("finish_reason") or "stop")
            for choice in choices
        ]
        return Answer(
            messages[0],
            finish_reason=messages[0].finish_reason,
            usage=wire.read_usage(decoded.get("usage")),
            model=decoded.get("model") or "",
            response_id=decoded.get("id") or "",
            others=messages[1:],
            raw=body,
            dialect=self.name,
        )

    def reader(self) -> Reader:  # type: ignore[override]
        return Reader()


class Reader:
    """Events → chunks that keep their bytes."""

    def __init__(self) -> None:
        self.done = False

    def read(self, event: sse.Event) -> Chunk | None:
        if event.data == b"[DONE]":
            self.done = True
            return Chunk(raw=event.raw, dialect=DIALECT, event=wire.DONE)
        decoded: dict[str, Any] = msgspec.json.decode(event.data)
        if decoded.get("error"):
            raise stream_error("the provider", event.data)
        chunk = Chunk(raw=event.raw, dialect=DIALECT, response_id=decoded.get("id") or "", model=decoded.get("model") or "")
        chunk.usage = wire.read_usage(decoded.get("usage"))
        for choice in (decoded.get("choices") or [])[:1]:
            chunk.index, chunk.text = choice.get("index") or 0, choice.get("text") or ""
            if choice.get("finish_reason"):
                chunk.finish_reason, self.done = choice["finish_reason"], True
        if not decoded.get("choices") and chunk.usage is not None:
            chunk.event = wire.USAGE
        return chunk
