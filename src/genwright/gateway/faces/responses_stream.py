"""Chunks of one stream → the numbered events of OpenAI's Responses. A provider's own bytes go back as they came.

Source of the sequence: OpenAI API reference, Responses, streaming events (November 2026).
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.errors import Error
from genwright.gateway import sse
from genwright.gateway.faces import responses as face
from genwright.gateway.faces.openai import write_error
from genwright.gateway.faces.responses import AskedResponse
from genwright.gateway.providers.failures import own_words
from genwright.gateway.types import Answer, Chunk, ToolDelta
from genwright.gateway.wire import responses as wire
from genwright.vocab import new_id

_encode = msgspec.json.Encoder().encode


class StreamWriter:
    """`final` is the response object once `end` or `error` was called; of a provider's own stream, its own."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: AskedResponse, response_id: str = ""):
        self._asked = asked
        self._id = response_id
        self._number = 0
        self._response: dict[str, Any] = {}
        self._items: list[dict[str, Any]] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._finish = "stop"
        self._last = b""
        """The provider's own last event: it waits until the answer is settled and kept."""
        self.final: dict[str, Any] | None = None

    def chunk(self, chunk: Chunk) -> bytes:
        """Bytes to send; empty if the client is to get nothing."""
        if chunk.raw and (chunk.dialect == wire.DIALECT or chunk.event == "comment"):
            if chunk.event != "done" and not self._last:
                return chunk.raw
            self._last += chunk.raw
            return b""
        events: list[bytes] = []
        self._begin(chunk, events)
        if chunk.reasoning or chunk.signature:
            self._reason(chunk, events)
        if chunk.text:
            item = self._enter("message", events)
            item.text.append(chunk.text)
            item.logprobs += chunk.logprobs
            events.append(self._delta("response.output_text.delta", item, chunk.text, content_index=0, logprobs=chunk.logprobs))
        for call in chunk.tool_calls:
            self._call(call, events)
        if chunk.finish_reason:
            self._finish = chunk.finish_reason
        return b"".join(events)

    @property
    def native(self) -> bool:
        """Whether a provider's own stream was handed on."""
        return bool(self._last)

    def _begin(self, chunk: Chunk, events: list[bytes]) -> None:
        if not self._response:
            self._response = face.begin(self._asked, self._id, chunk.model) | (chunk.extra or {})
            events.append(self._event("response.created", response=self._response))
            events.append(self._event("response.in_progress", response=self._response))

    def _reason(self, chunk: Chunk, events: list[bytes]) -> None:
        if self._open is not None and self._open.signature and (chunk.reasoning or chunk.signature.startswith("redacted:")):
            self._leave(events)  # each block of reasoning ends with its signature
        item = self._enter("reasoning", events)
        if chunk.reasoning:
            if not item.text:
                part = {"type": "summary_text", "text": ""}
                events.append(self._at("response.reasoning_summary_part.added", item, summary_index=0, part=part))
            item.text.append(chunk.reasoning)
            events.append(self._delta("response.reasoning_summary_text.delta", item, chunk.reasoning, summary_index=0))
        item.signature += chunk.signature

    def _call(self, call: ToolDelta, events: list[bytes]) -> None:
        item = self._calls.get(call.index)
        if item is None:
            item = self._calls[call.index] = self._enter("function_call", events, call)
        if call.arguments:
            item.text.append(call.arguments)
            events.append(self._delta("response.function_call_arguments.delta", item, call.arguments))

    def _enter(self, kind: str, events: list[bytes], call: ToolDelta | None = None) -> _Item:
        """The open item if it is of this kind, else a new one; calls are open together, because their pieces may alternate."""
        if self._open is not None and self._open.kind == kind and call is None:
            return self._open
        if self._open is not None and self._open.kind != "function_call":
            self._leave(events)
        item = _Item(kind, len(self._items), call)
        self._items.append({})
        self._open = item
        events.append(self._event("response.output_item.added", output_index=item.index, item=item.shown("in_progress")))
        if kind == "message":
            events.append(self._at("response.content_part.added", item, content_index=0, part=face.text_part("", [])))
        return item

    def _leave(self, events: list[bytes]) -> None:
        item, self._open = self._open, None
        if item is None or item.kind == "function_call":
            return
        text = "".join(item.text)
        if item.kind == "message":
            events.append(self._at("response.output_text.done", item, content_index=0, text=text, logprobs=item.logprobs))
            part = face.text_part(text, item.logprobs)
            events.append(self._at("response.content_part.done", item, content_index=0, part=part))
        elif text:
            events.append(self._at("response.reasoning_summary_text.done", item, summary_index=0, text=text))
            part = {"type": "summary_text", "text": text}
            events.append(self._at("response.reasoning_summary_part.done", item, summary_index=0, part=part))
        self._done(item, events)

    def _done(self, item: _Item, events: list[bytes]) -> None:
        self._items[item.index] = item.shown("completed")
        events.append(self._event("response.output_item.done", output_index=item.index, item=self._items[item.index]))

    def _leave_all(self, events: list[bytes]) -> None:
        self._leave(events)
        for item in self._calls.values():
            text = "".join(item.text)
            events.append(self._at("response.function_call_arguments.done", item, name=item.name, arguments=text))
            self._done(item, events)
        self._calls = {}

    def finish(self, answer: Answer) -> dict[str, Any]:
        """The response object, before `end` is asked for its bytes: to be kept before the client knows that it is over."""
        if self.final is None and self._last:
            events = sse.Parser().feed(self._last)
            self.final = next(msgspec.json.decode(event.data)["response"] for event in events if event.data)
        elif self.final is None:
            events_: list[bytes] = []
            self._begin(Chunk(model=answer.model), events_)
            self._leave_all(events_)
            self.final = face.finished(self._response, self._items, self._finish, answer.usage)
            self._tail = b"".join(events_)
        return self.final

    _tail = b""

    def end(self, answer: Answer) -> bytes:
        """After the last chunk."""
        final = self.finish(answer)
        return self._last or self._tail + self._event(f"response.{final['status']}", response=final)

    def error(self, error: Error) -> bytes:
        """An error in the middle; the stream ends after it."""
        if raw := own_words(error, wire.DIALECT):
            found = [msgspec.json.decode(event.data) for event in sse.Parser().feed(raw) if event.data]
            self.final = next((data["response"] for data in found if "response" in data), None)
            return raw
        said = msgspec.json.decode(write_error(error))["error"]
        events = [self._event("error", code=said["code"], message=said["message"], param=said["param"], error=said)]
        if self._response:
            self.final = failed(self._response, said, self._items)
            events.append(self._event("response.failed", response=self.final))
        return b"".join(events)

    def _delta(self, kind: str, item: _Item, delta: str, **more: Any) -> bytes:
        return self._at(kind, item, **more, delta=delta)

    def _at(self, kind: str, item: _Item, **more: Any) -> bytes:
        return self._event(kind, item_id=item.id, output_index=item.index, **more)

    def _event(self, kind: str, **data: Any) -> bytes:
        self._number += 1
        return sse.frame(_encode({"type": kind, "sequence_number": self._number - 1, **data}), kind)


def failed(response: dict[str, Any], said: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """A response object that came to nothing."""
    return {
        **response,
        "status": "failed",
        "error": {"code": said["code"] or "server_error", "message": said["message"]},
        "output": [item for item in items if item],
    }


class _Item:
    """An output item that is still growing."""

    __slots__ = ("call_id", "id", "index", "kind", "logprobs", "name", "signature", "text")

    def __init__(self, kind: str, index: int, call: ToolDelta | None):
        self.kind, self.index = kind, index
        self.id = new_id({"message": "msg", "reasoning": "rs", "function_call": "fc"}[kind])
        self.call_id, self.name = (call.id, call.name) if call is not None else ("", "")
        self.text: list[str] = []
        self.logprobs: list[dict[str, Any]] = []
        self.signature = ""

    def shown(self, status: str) -> dict[str, Any]:
        text = "".join(self.text)
        if self.kind == "message":
            item = face.message_item(self.id, text, self.logprobs, status)
            return item if status == "completed" else {**item, "content": []}
        if self.kind == "reasoning":
            return face.reasoning_item(self.id, text, self.signature)
        return face.call_item(self.id, self.call_id, self.name, text, status)
