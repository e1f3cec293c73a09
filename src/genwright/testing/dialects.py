"""What the scripted provider says on the wire: pure functions from an answer to the bytes of OpenAI or Anthropic.

Formats: OpenAI API reference (chat completions, embeddings, models) and Anthropic Messages API with its stream events.
It deliberately shares nothing with the gateway's own conversions: an oracle must not have the mistakes of what it checks.

The provider's tokenizer is exact and simple: one token is one run of non-space characters.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

CREATED = 1_780_000_000
"""The fixed `created` time of every answer, so that answers are equal byte by byte."""

_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for."""

    name: str
    arguments: dict[str, Any]
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the model. `input_tokens` include `cached_tokens`; `finish`: stop, length or tool_calls."""

    id: str
    model: str
    text: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"


Events = list[tuple[bytes, int]]
"""Server-sent events in order, each with the output tokens generated up to and including it."""


class Dialect(NamedTuple):
    """body(answer), events(answer, request), error(status, message); plain(request) → {"system", "messages", "max_tokens"}."""

    body: Callable[[Answer], bytes]
    events: Callable[[Answer, dict[str, Any]], Events]
    error: Callable[[int, str], bytes]
    plain: Callable[[dict[str, Any]], dict[str, Any]] = lambda request: request
    stream_type: str = "text/event-stream"


def pieces(text: str) -> list[str]:
    """The tokens of a text; joined they give the text back (trailing space belongs to the last one)."""
    return re.findall(r"\s*\S+(?:\s+$)?", text)


def count(value: object) -> int:
    """Tokens of a text, or of every text inside a request's messages (keys, roles and types cost nothing)."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, dict):
        return sum(count(v) for k, v in value.items() if k not in ("role", "type", "id", "tool_use_id", "tool_call_id"))
    if isinstance(value, list):
        return sum(count(v) for v in value)
    return 0


def _deltas(answer: Answer) -> Iterable[tuple[str, int]]:
    """Text pieces with the tokens generated so far; a scripted token count is spread evenly over them."""
    parts = pieces(answer.text)
    total = answer.output_tokens - sum(_tool_tokens(call) for call in answer.tool_calls)
    for i, part in enumerate(parts, 1):
        yield part, total * i // len(parts)


def _arguments(call: ToolCall) -> str:
    return _encode(call.arguments).decode()


def _tool_tokens(call: ToolCall) -> int:
    return len(_arguments(call).split()) + 1


def output_tokens(text: str, tool_calls: Iterable[ToolCall]) -> int:
    """What an answer costs unless a script says otherwise: its words, and one more per tool call than its arguments' words."""
    return count(text) + sum(_tool_tokens(call) for call in tool_calls)


# --- OpenAI ------------------------------------------------------------------------------------------------------------


def _openai_usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }


def _openai_tool(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}


def _openai_body(answer: Answer) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or (None if answer.tool_calls else "")}
    if answer.tool_calls:
        message["tool_calls"] = [_openai_tool(call) for call in answer.tool_calls]
    return _encode(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": answer.model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}],
            "usage": _openai_usage(answer),
        }
    )


def _openai_events(answer: Answer, request: dict[str, Any]) -> Events:
    with_usage = bool((request.get("stream_options") or {}).get("include_usage"))

    def chunk(delta: dict[str, Any] | None, finish: str | None = None, usage: dict[str, Any] | None = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        data = {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": answer.model,
            "choices": choices,
        }
        if with_usage:
            data["usage"] = usage
        return b"data: " + _encode(data) + b"\n\n"

    events: Events = [(chunk({"role": "assistant", "content": ""}), 0)]
    done = 0
    for part, done in _deltas(answer):
        events.append((chunk({"content": part}), done))
    for index, call in enumerate(answer.tool_calls):
        tool = _openai_tool(call)
        arguments = tool["function"]["arguments"]
        half = len(arguments) // 2  # in two parts, as providers do, so that clients have to join them
        first = {**tool, "index": index, "function": {"name": call.name, "arguments": arguments[:half]}}
        events.append((chunk({"tool_calls": [first]}), done))
        done += _tool_tokens(call)
        events.append((chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]}), done))
    events.append((chunk({}, answer.finish), answer.output_tokens))
    if with_usage:
        events.append((chunk(None, usage=_openai_usage(answer)), answer.output_tokens))
    return [*events, (b"data: [DONE]\n\n", answer.output_tokens)]


_OPENAI_TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error", 429: "requests"}


def _openai_error(status: int, message: str) -> bytes:
    return _encode(
        {"error": {"message": message, "type": _OPENAI_TYPES.get(status, "server_error"), "param": None, "code": None}}
    )


OPENAI = Dialect(_openai_body, _openai_events, _openai_error)


# --- Anthropic ---------------------------------------------------------------------------------------------------------

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _anthropic_usage(answer: Answer, output: int) -> dict[str, Any]:
    # Anthropic counts cached tokens beside input_tokens, not within them.
    return {
        "input_tokens": answer.input_tokens - answer.cached_tokens,
        "cache_read_input_tokens": answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": output,
    }


def _anthropic_message(answer: Answer, content: list[dict[str, Any]], stop: str | None, output: int) -> dict[str, Any]:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _anthropic_usage(answer, output),
    }


def _anthropic_body(answer: Answer) -> bytes:
    content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
    content += [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in answer.tool_calls]
    return _encode(_anthropic_message(answer, content, _STOP[answer.finish], answer.output_tokens))


def _anthropic_events(answer: Answer, request: dict[str, Any]) -> Events:
    del request

    def event(kind: str, **data: Any) -> bytes:
        return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **data}) + b"\n\n"

    def delta(index: int, kind: str, **data: Any) -> bytes:
        return event("content_block_delta", index=index, delta={"type": kind, **data})

    events: Events = [(event("message_start", message=_anthropic_message(answer, [], None, 0)), 0)]
    done = 0
    if answer.text:
        events.append((event("content_block_start", index=0, content_block={"type": "text", "text": ""}), 0))
        events.append((event("ping"), 0))
        for part, done in _deltas(answer):
            events.append((delta(0, "text_delta", text=part), done))
        events.append((event("content_block_stop", index=0), done))
    for index, call in enumerate(answer.tool_calls, 1 if answer.text else 0):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        events.append((event("content_block_start", index=index, content_block=block), done))
        arguments = _arguments(call)
        half = len(arguments) // 2
        events.append((delta(index, "input_json_delta", partial_json=arguments[:half]), done))
        done += _tool_tokens(call)
        events.append((delta(index, "input_json_delta", partial_json=arguments[half:]), done))
        events.append((event("content_block_stop", index=index), done))
    stop = {"stop_reason": _STOP[answer.finish], "stop_sequence": None}
    usage = _anthropic_usage(answer, answer.output_tokens)
    events.append((event("message_delta", delta=stop, usage=usage), answer.output_tokens))
    return [*events, (event("message_stop"), answer.output_tokens)]


def _anthropic_error(status: int, message: str) -> bytes:
    return _encode({"type": "error", "error": {"type": _ANTHROPIC_TYPES.get(status, "api_error"), "message": message}})


ANTHROPIC = Dialect(_anthropic_body, _anthropic_events, _anthropic_error)


# --- embeddings and models ---------------------------------------------------------------------------------------------


def embedding_inputs(request: dict[str, Any]) -> list[str]:
    """The texts of an embeddings request; token arrays become texts of their numbers."""
    value = request["input"]
    if isinstance(value, str):
        return [value]
    if value and isinstance(value[0], int):
        return [" ".join(map(str, value))]
    return [v if isinstance(v, str) else " ".join(map(str, v)) for v in value]


def embed(text: str, dimensions: int = 64) -> list[float]:
    """A deterministic unit vector: words hashed with a sign into buckets, so texts that share words lie close."""
    vector = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        bucket = int.from_bytes(digest[:4], "big") % dimensions
        vector[bucket] += 1.0 if digest[4] & 1 else -1.0
    length = math.sqrt(sum(x * x for x in vector))
    if not length:  # words that cancel each other out
        vector[0] = length = 1.0
    return [x / length for x in vector]


def embeddings(request: dict[str, Any], texts: list[str]) -> tuple[bytes, int]:
    """The body of an embeddings answer and its input tokens."""
    dimensions = request.get("dimensions") or 64
    vectors: list[Any] = [embed(text, dimensions) for text in texts]
    if request.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors]
    tokens = sum(count(text) for text in texts)
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": request.get("model"), "usage": usage}), tokens


def models(names: Iterable[str]) -> bytes:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "genwright-testing"} for name in names]
    return _encode({"object": "list", "data": data})
