"""Anthropic's Messages API as clients speak it: request → Call, Answer → body, Chunk → event, error → body. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import clock
from genwright.errors import (
    Error,
    Forbidden,
    Missing,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamLimited,
    UpstreamTimeout,
)
from genwright.gateway import sse
from genwright.gateway.faces.openai import Asked, field_error, read_json, take_drop
from genwright.gateway.providers.failures import own_words
from genwright.gateway.types import REDACTED, Answer, Call, Chunk, Model, Wire
from genwright.gateway.wire import anthropic as wire
from genwright.gateway.wire.openai import as_text, bad
from genwright.vocab import new_id

_encode = msgspec.json.Encoder().encode


class MessagesRequest(msgspec.Struct):
    """The fields we look at, with their types; all others are passed on or refused by the provider."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


_KNOWN = frozenset(MessagesRequest.__struct_fields__)
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 1),
    "top_p": (0, 1),
    "max_tokens": (1, 1e9),
    "top_k": (0, 1e9),
}
_NAMES = {
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
HEADERS = (b"anthropic-beta", b"anthropic-version")
"""Request headers that a provider of the same dialect gets."""


def read_request(body: bytes, headers: dict[bytes, bytes] | None = None, count: bool = False) -> Asked:
    """Raises Invalid (JSON or a field that is wrong, named in message and `param`). `count`: max_tokens is not needed."""
    headers = headers or {}
    plain = read_json(body)
    drop = take_drop(plain)
    if count:
        plain.setdefault("max_tokens", 1)
    try:
        request = msgspec.convert(plain, MessagesRequest)
    except msgspec.ValidationError as error:
        raise field_error(error) from None
    if not request.messages:
        raise bad("messages", "messages: at least one message is needed. Nothing was sent.")
    parameters = {name: plain[name] for name in _RANGES if plain.get(name) is not None}
    for name, value in parameters.items():
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise bad(name, f"{name}: {value} must lie between {low:g} and {high:g}. Nothing was sent.")
    if request.stop_sequences:
        parameters["stop"] = request.stop_sequences
    if request.tool_choice:
        parameters |= _tool_choice(request.tool_choice)
    extra = {name: value for name, value in plain.items() if name not in _KNOWN and value is not None}
    parameters |= _reasoning(extra)
    if b'"cache_control"' in body:
        extra["cache_control"] = True
    sent = {name.decode(): headers[name].decode("latin-1") for name in HEADERS if name in headers}
    call = Call(
        request.model,
        wire.read_messages(request.system, request.messages),
        parameters,
        wire.read_tools(request.tools) if request.tools else [],
        user=str((request.metadata or {}).get("user_id") or ""),
        extra=extra,
        wire=Wire(wire.DIALECT, plain, sent, names=_NAMES),
        drop_params=drop,
    )
    return Asked(call, bool(request.stream))


def _reasoning(extra: dict[str, Any]) -> dict[str, Any]:
    """What of Anthropic's newer fields has a neutral name, taken out of `extra`: effort, JSON schema, service tier."""
    found: dict[str, Any] = {}
    output = extra.get("output_config")
    if isinstance(output, dict) and output.keys() <= {"effort", "format"}:
        del extra["output_config"]
        if isinstance(effort := output.get("effort"), str):
            found["reasoning_effort"] = effort
        if isinstance(given := output.get("format"), dict):
            schema = {"name": "answer", "schema": given.get("schema"), "strict": True}
            found["response_format"] = {"type": "json_schema", "json_schema": schema}
    if extra.get("thinking") == {"type": "disabled"}:
        del extra["thinking"]
    return found


def _tool_choice(choice: dict[str, Any]) -> dict[str, Any]:
    kind = choice.get("type")
    named = {"auto": "auto", "any": "required", "none": "none"}
    if kind == "tool":
        neutral: Any = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in named:
        neutral = named[kind]
    else:
        raise bad("tool_choice.type", f"tool_choice.type: {kind!r} must be auto, any, tool or none. Nothing was sent.")
    off = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    return {"tool_choice": neutral, **off}


def write_answer(answer: Answer) -> bytes:
    """The body: the provider's own where it speaks the dialect and nothing was changed."""
    if answer.raw and answer.dialect == wire.DIALECT:
        return answer.raw
    body = _message(answer.response_id, answer.model, [wire.write_block(part) for part in answer.message.parts])
    body["stop_reason"] = wire.STOP.get(answer.finish_reason, "end_turn")
    body["usage"] = wire.write_usage(answer.usage)
    return _encode(body | (answer.extra or {}))


def _message(response_id: str, model: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": response_id or new_id("msg"), "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": None, "stop_sequence": None, "usage": wire.write_usage(None),
    }  # fmt: skip


class StreamWriter:
    """Chunks of one stream → events. Gives a provider's bytes back as they came; builds the others block by block."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: Asked):
        self._model = asked.call.model
        self._begun = False
        self._block = -1
        self._open = ""
        self._finish = "stop"
        self._raw = False
        self._end = b""
        """The provider's end mark: it waits until the answer is settled."""

    def chunk(self, chunk: Chunk) -> bytes:
        """Bytes to send; empty if the client is to get nothing."""
        if chunk.raw and (chunk.dialect == wire.DIALECT or chunk.event == "comment"):
            self._raw = self._raw or chunk.dialect == wire.DIALECT
            if chunk.event != "done" and not self._end:
                return chunk.raw
            self._end += chunk.raw
            return b""
        events: list[bytes] = []
        if not self._begun:
            self._begun = True
            message = _message(chunk.response_id, chunk.model or self._model, [])
            if chunk.usage is not None:
                message["usage"] = wire.write_usage(chunk.usage)
            events.append(_event("message_start", message=message, **(chunk.extra or {})))
        elif chunk.extra:
            events.append(_event("ping", **chunk.extra))
        if chunk.reasoning or chunk.signature:
            self._think(chunk, events)
        if chunk.text:
            self._enter("text", {"type": "text", "text": ""}, events)
            events.append(self._delta(type="text_delta", text=chunk.text))
        for call in chunk.tool_calls:
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            self._enter(f"tool {call.index}", block, events)
            if call.arguments:
                events.append(self._delta(type="input_json_delta", partial_json=call.arguments))
        if chunk.finish_reason:
            self._finish = chunk.finish_reason
        return b"".join(events)

    def _think(self, chunk: Chunk, events: list[bytes]) -> None:
        if chunk.signature.startswith(REDACTED):
            self._leave(events)
            self._enter("redacted", {"type": "redacted_thinking", "data": chunk.signature.removeprefix(REDACTED)}, events)
            return self._leave(events)
        self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""}, events)
        if chunk.reasoning:
            events.append(self._delta(type="thinking_delta", thinking=chunk.reasoning))
        if chunk.signature:  # it ends its block
            events.append(self._delta(type="signature_delta", signature=chunk.signature))
            self._leave(events)
        return None

    def _enter(self, kind: str, block: dict[str, Any], events: list[bytes]) -> None:
        if self._open != kind:
            self._leave(events)
            self._block += 1
            self._open = kind
            events.append(_event("content_block_start", index=self._block, content_block=block))

    def _leave(self, events: list[bytes]) -> None:
        if self._open:
            events.append(_event("content_block_stop", index=self._block))
            self._open = ""

    def _delta(self, **delta: Any) -> bytes:
        return _event("content_block_delta", index=self._block, delta=delta)

    def end(self, answer: Answer) -> bytes:
        """After the last chunk."""
        if self._raw:
            return self._end
        events: list[bytes] = []
        self._leave(events)
        delta = {"stop_reason": wire.STOP.get(self._finish, "end_turn"), "stop_sequence": None}
        events.append(_event("message_delta", delta=delta, usage=wire.write_usage(answer.usage)))
        events.append(_event("message_stop"))
        return b"".join(events)

    def error(self, error: Error) -> bytes:
        """An error in the middle; the stream ends after it."""
        return own_words(error, wire.DIALECT) or sse.frame(write_error(error), "error")


def _event(kind: str, **data: Any) -> bytes:
    return sse.frame(_encode({"type": kind, **data}), kind)


def shown_model(model: Model) -> dict[str, Any]:
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": clock.iso(model.created_ns)}


def write_models(models: list[Model]) -> bytes:
    """One page with all of them."""
    data = [shown_model(model) for model in models if model.operation == "chat"]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return _encode({"data": data, "has_more": False, **ends})


# --- errors

_TYPES: tuple[tuple[type[Error], str], ...] = (
    (Unauthenticated, "authentication_error"),
    (Forbidden, "permission_error"),
    (Missing, "not_found_error"),
    (TooLarge, "request_too_large"),
    (RateLimited, "rate_limit_error"),
    (UpstreamLimited, "rate_limit_error"),
    (UpstreamTimeout, "timeout_error"),
    (Unavailable, "overloaded_error"),
)


def write_error(error: Error) -> bytes:
    """{"type": "error", "error": {"type", "message"}}; the field that was wrong is the message's first word, and in `param`."""
    kind = next((name for cls, name in _TYPES if isinstance(error, cls)), "")
    kind = kind or ("invalid_request_error" if error.status < 500 else "api_error")
    body: dict[str, Any] = {"type": kind, "message": error.message, "code": error.code}
    if param := error.details.get("param"):
        body["param"] = as_text(param)
    return _encode({"type": "error", "error": body})
