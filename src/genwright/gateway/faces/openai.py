"""OpenAI's chat completions as clients speak it: request → Call, Answer → body, Chunk → event, error → body. Pure.

Fields are checked by type here and by meaning at the provider; what has no neutral name rides along in `Call.extra` and in
`Call.wire`, and reaches a provider of the same dialect as it was written.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import clock
from genwright.errors import Blocked, Error, Forbidden, Missing, RateLimited, Unauthenticated, UpstreamAuth, UpstreamLimited
from genwright.gateway import sse
from genwright.gateway.providers.failures import own_words
from genwright.gateway.types import Answer, Call, Chunk, Wire
from genwright.gateway.wire import openai as wire
from genwright.gateway.wire.openai import bad
from genwright.messages import Media, Message
from genwright.vocab import new_id

_encode = msgspec.json.Encoder().encode


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The fields we look at, with their types; all others are passed on or refused by the provider."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None


_KNOWN = frozenset(ChatRequest.__struct_fields__) | wire.PARAMETERS
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2), "top_p": (0, 1), "max_tokens": (1, 1 << 31), "max_completion_tokens": (1, 1 << 31), "n": (1, 128),
    "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2), "top_logprobs": (0, 20),
}  # fmt: skip


class Asked(msgspec.Struct):
    """A request read: the call, and what concerns only the answer's form."""

    call: Call
    stream: bool
    include_usage: bool = False


def read_request(body: bytes, headers: dict[bytes, bytes] | None = None) -> Asked:
    """Raises Invalid (JSON or a field that is wrong, named in `param`)."""
    del headers
    plain = read_json(body)
    drop = take_drop(plain)
    try:
        request = msgspec.convert(plain, ChatRequest)
    except msgspec.ValidationError as error:
        raise field_error(error) from None
    if not request.messages:
        raise bad("messages", "messages is empty: at least one message is needed. Nothing was sent.")
    parameters = {name: value for name, value in plain.items() if name in wire.PARAMETERS and value is not None}
    for name in parameters.keys() & _RANGES.keys():
        low, high = _RANGES[name]
        if not low <= parameters[name] <= high:
            raise bad(name, f"{name} is {parameters[name]}; it must lie between {low:g} and {high:g}. Nothing was sent.")
    session, user, tags = read_metadata(request.metadata)
    messages = wire.read_messages(request.messages)
    extra = {name: value for name, value in plain.items() if name not in _KNOWN and value is not None}
    call = Call(
        request.model,
        messages,
        parameters,
        wire.read_tools(request.tools) if request.tools else [],
        session=session,
        user=user or request.user or "",
        tags=tags,
        extra=extra | image_detail(messages),
        wire=Wire(wire.DIALECT, plain),
        drop_params=drop,
    )
    options = request.stream_options
    return Asked(call, bool(request.stream), bool(options and options.include_usage))


def read_json(body: bytes) -> dict[str, Any]:
    """The body as an object. Raises Invalid."""
    try:
        plain = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        from genwright.errors import Invalid

        raise Invalid(f"The body is not JSON: {error}. Nothing was sent.", code="invalid_json") from None
    if not isinstance(plain, dict):
        raise bad("", "The body must be a JSON object. Nothing was sent.")
    return plain


def image_detail(messages: list[Message]) -> dict[str, Any]:
    """`detail` of an image as a field by itself, because other dialects cannot say it."""
    found = [part.detail for message in messages for part in message.parts if isinstance(part, Media) and part.detail]
    return {"detail": found[0]} if found else {}


def take_drop(plain: dict[str, Any]) -> bool:
    """Take our own field out of a body: whether what the provider cannot say may be left out."""
    drop = plain.pop("drop_params", False)
    if not isinstance(drop, bool):
        raise bad("drop_params", "drop_params must be true or false. Nothing was sent.")
    return drop


def field_error(error: msgspec.ValidationError) -> Error:
    """msgspec's message with its path as the name of the field."""
    text, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if not field and "`" in text:
        field = text.split("`")[1]
    return bad(field, f"{field or 'The body'}: {text}. Nothing was sent.")


def read_metadata(metadata: dict[str, Any] | None) -> tuple[str, str, dict[str, str]]:
    """(session, user, tags) of a body's metadata; the rest of it are tags."""
    if not metadata:
        return "", "", {}
    tags = {str(key): value if isinstance(value, str) else wire.as_text(value) for key, value in metadata.items()}
    session = tags.pop("session_id", "") or tags.pop("session", "")
    return session, tags.pop("user_id", "") or tags.pop("user", ""), tags


# --- answers


def write_answer(answer: Answer) -> bytes:
    """The body: the provider's own where it speaks the dialect and nothing was changed."""
    if answer.raw and answer.dialect == wire.DIALECT:
        return answer.raw
    body: dict[str, Any] = {
        "id": answer.response_id or new_id("chatcmpl"),
        "object": "chat.completion",
        "created": clock.now_ns() // 1_000_000_000,
        "model": answer.model,
        "choices": [_choice(index, message, answer) for index, message in enumerate([answer.message, *answer.others])],
        "usage": wire.write_usage(answer.usage),
    }
    if answer.extra:
        body |= answer.extra
    return _encode(body)


def _choice(index: int, message: Message, answer: Answer) -> dict[str, Any]:
    calls = message.tool_calls
    out: dict[str, Any] = {"role": "assistant", "content": message.text if message.text or not calls else None, "refusal": None}
    out |= wire.write_reasoning(message.parts)
    if calls:
        out["tool_calls"] = [wire.write_tool_call(call) for call in calls]
    finish = message.finish_reason or answer.finish_reason or "stop"
    given = answer.logprobs[index] if index < len(answer.logprobs) else []
    logprobs = {"content": given, "refusal": None} if given else None
    return {"index": index, "message": out, "logprobs": logprobs, "finish_reason": finish}


class StreamWriter:
    """Chunks of one stream → events. Gives a provider's bytes back as they came; builds the others."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: Asked):
        self._usage = asked.include_usage
        self._id = new_id("chatcmpl")
        self._created = clock.now_ns() // 1_000_000_000
        self._model = asked.call.model
        self._begun: set[int] = set()
        self._usage_sent = self._made = False
        self._end = b""
        """The provider's end mark: it waits until the answer is settled, because clients leave when they see it."""

    def chunk(self, chunk: Chunk) -> bytes:
        """Bytes to send; empty if the client is to get nothing."""
        if chunk.event == "comment":
            return self._later(chunk) if self._end else chunk.raw
        if chunk.raw and chunk.dialect == wire.DIALECT:
            return self._as_it_came(chunk)
        self._id, self._model = chunk.response_id or self._id, chunk.model or self._model
        said = chunk.text or chunk.reasoning or chunk.signature or chunk.tool_calls or chunk.finish_reason or chunk.logprobs
        if not (said or chunk.extra):
            return b""
        delta: dict[str, Any] = {}
        if chunk.index not in self._begun:
            self._begun.add(chunk.index)
            delta = {"role": "assistant", "content": ""}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.signature:
            delta["reasoning_details"] = [wire.write_signature(chunk.signature)]
        if chunk.tool_calls:
            delta["tool_calls"] = [_tool_delta(call) for call in chunk.tool_calls]
        choice = {
            "index": chunk.index,
            "delta": delta,
            "logprobs": {"content": chunk.logprobs, "refusal": None} if chunk.logprobs else None,
            "finish_reason": chunk.finish_reason or None,
        }
        return self._event([choice], chunk)

    def _as_it_came(self, chunk: Chunk) -> bytes:
        if chunk.event == wire.USAGE:
            if not self._usage:
                return b""
            self._usage_sent = True
        elif chunk.event == wire.DONE:
            return self._later(chunk)
        self._id, self._model = chunk.response_id or self._id, chunk.model or self._model
        self._begun.add(chunk.index)
        return chunk.raw

    def _later(self, chunk: Chunk) -> bytes:
        self._end += chunk.raw
        return b""

    def _event(self, choices: list[dict[str, Any]], chunk: Chunk) -> bytes:
        self._made = True
        data: dict[str, Any] = {
            "id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model, "choices": choices,
        }  # fmt: skip
        if self._usage:
            data["usage"] = wire.write_usage(chunk.usage) if not choices else None
        if chunk.extra:
            data |= chunk.extra
        return sse.frame(_encode(data))

    def end(self, answer: Answer) -> bytes:
        """After the last chunk. A provider's own stream without an end mark is left as it was."""
        events = b""
        if self._usage and not self._usage_sent:
            events = self._event([], Chunk(usage=answer.usage))
        return events + (self._end or (b"data: [DONE]\n\n" if self._made else b""))

    def error(self, error: Error) -> bytes:
        """An error in the middle; the stream ends after it."""
        return own_words(error, wire.DIALECT) or sse.frame(write_error(error))


def _tool_delta(call: Any) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": call.arguments}
    out: dict[str, Any] = {"index": call.index}
    if call.name:
        out |= {"id": call.id, "type": "function"}
        function = {"name": call.name, "arguments": call.arguments}
    out["function"] = function
    return out


# --- errors


def write_error(error: Error, trace_id: str = "") -> bytes:
    """{"error": {"message", "type", "param", "code"}}."""
    del trace_id
    body = {"message": error.message, "type": _type(error), "param": error.details.get("param") or None, "code": _code(error)}
    return _encode({"error": body})


def _type(error: Error) -> str:
    if isinstance(error, UpstreamAuth):
        return "upstream_error"
    for kind, name in _TYPES:
        if isinstance(error, kind):
            return name
    return "invalid_request_error" if error.status < 500 else "server_error"


_TYPES: tuple[tuple[type[Error], str], ...] = (
    (Unauthenticated, "authentication_error"),
    (Forbidden, "permission_error"),
    (Missing, "not_found_error"),
    (Blocked, "content_policy_error"),
    (RateLimited, "rate_limit_error"),
    (UpstreamLimited, "rate_limit_error"),
)


def _code(error: Error) -> str:
    return "invalid_api_key" if isinstance(error, Unauthenticated) else str(error.details.get("upstream_code") or error.code)
