"""OpenAI's Responses as clients speak it: request → Call, Answer → response object, error → body. Pure.

Events of a stream are responses_stream.py's; what is kept between calls is gateway/responses/'s.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import clock
from genwright.gateway.faces.openai import field_error, image_detail, read_json, read_metadata, take_drop
from genwright.gateway.types import Answer, Call, Wire
from genwright.gateway.wire import responses as wire
from genwright.gateway.wire.openai import bad
from genwright.messages import Part, Reasoning, Text, ToolCall
from genwright.prices import Usage
from genwright.vocab import new_id

_encode = msgspec.json.Encoder().encode


class ResponsesRequest(msgspec.Struct):
    """The fields we look at, with their types; all others are passed on or refused by the provider."""

    model: str
    input: Any = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    truncation: str | None = None
    stream_options: dict[str, Any] | None = None
    user: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None


_KNOWN = frozenset(ResponsesRequest.__struct_fields__)
_SAME = ("temperature", "top_p", "parallel_tool_calls", "prompt_cache_key", "safety_identifier")
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2), "top_p": (0, 1), "max_output_tokens": (1, 1 << 31), "top_logprobs": (0, 20),
}  # fmt: skip
_LOGPROBS = "message.output_text.logprobs"
_HARMLESS = (_LOGPROBS, "reasoning.encrypted_content")
"""What `include` may ask of any provider; the rest is about hosted tools."""


_NAMES = {
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "top_logprobs",
}


class AskedResponse(msgspec.Struct):
    """A request read. `body` is the caller's, without what only we look at."""

    call: Call
    stream: bool
    body: dict[str, Any]
    store: bool | None = None
    previous: str = ""
    background: bool = False


def read_request(body: bytes, headers: dict[bytes, bytes] | None = None) -> AskedResponse:
    """Raises Invalid (JSON or a field that is wrong, named in `param`)."""
    del headers
    plain = read_json(body)
    drop = take_drop(plain)
    try:
        request = msgspec.convert(plain, ResponsesRequest)
    except msgspec.ValidationError as error:
        raise field_error(error) from None
    if request.input is None or request.input == []:
        raise bad("input", "input is missing: text or a list of items. Nothing was sent.")
    for name, (low, high) in _RANGES.items():
        value = plain.get(name)
        if value is not None and not low <= value <= high:
            raise bad(name, f"{name} is {value}; it must lie between {low:g} and {high:g}. Nothing was sent.")
    messages = wire.read_input(request.input, request.instructions)
    parameters, extra = _parameters(request, plain)
    session, user, tags = read_metadata(request.metadata)
    given = {name: value for name, value in plain.items() if name != "background"}
    call = Call(
        request.model,
        messages,
        parameters,
        wire.read_tools(request.tools) if request.tools else [],
        session=session,
        user=user or request.user or "",
        tags=tags,
        extra=extra | image_detail(messages),
        wire=Wire(wire.DIALECT, given, parts=wire.PARTS, names=_NAMES),
        drop_params=drop,
    )
    return AskedResponse(
        call,
        bool(request.stream),
        plain,
        request.store,
        request.previous_response_id or "",
        bool(request.background),
    )


def _parameters(request: ResponsesRequest, plain: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(under their neutral names, what has none)."""
    parameters = {name: plain[name] for name in _SAME if plain.get(name) is not None}
    extra = {name: value for name, value in plain.items() if name not in _KNOWN and value is not None}
    if request.max_output_tokens is not None:
        parameters["max_tokens"] = request.max_output_tokens
    if request.tool_choice is not None:
        parameters["tool_choice"] = wire.read_choice(request.tool_choice)
    if request.service_tier not in (None, "auto"):
        parameters["service_tier"] = request.service_tier
    if request.top_logprobs or _LOGPROBS in (request.include or ()):
        parameters |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    if not set(request.include or ()) <= set(_HARMLESS):
        extra["include"] = request.include
    if request.truncation not in (None, "disabled"):
        extra["truncation"] = request.truncation
    if (request.stream_options or {}).get("include_obfuscation"):
        extra["stream_options"] = request.stream_options
    _nested(request, parameters, extra)
    return parameters, extra


def _nested(request: ResponsesRequest, parameters: dict[str, Any], extra: dict[str, Any]) -> None:
    """What lies in `reasoning` and `text`."""
    reasoning = {name: value for name, value in (request.reasoning or {}).items() if value is not None}
    if "effort" in reasoning:
        parameters["reasoning_effort"] = reasoning.pop("effort")
    if reasoning.get("summary") == "auto":  # what a model shows of its reasoning is always given as a summary
        del reasoning["summary"]
    if reasoning:
        extra["reasoning"] = reasoning
    text = {name: value for name, value in (request.text or {}).items() if value is not None}
    if isinstance(form := text.pop("format", None), dict) and form != {"type": "text"}:
        parameters["response_format"] = wire.read_format(form)
    if "verbosity" in text:
        parameters["verbosity"] = text.pop("verbosity")
    if text:
        extra["text"] = text


# --- answers


def write_answer(answer: Answer, asked: AskedResponse) -> bytes:
    """The body: the provider's own where it speaks the dialect and nothing was changed."""
    if answer.raw and answer.dialect == wire.DIALECT:
        return answer.raw
    return _encode(write_response(answer, asked))


def write_response(answer: Answer, asked: AskedResponse, response_id: str = "") -> dict[str, Any]:
    """The response object."""
    logprobs = answer.logprobs[0] if answer.logprobs else []
    items = [item for part in answer.message.parts if (item := write_item(part, logprobs)) is not None]
    return finished(begin(asked, response_id, answer.model), items, answer.finish_reason, answer.usage) | (answer.extra or {})


def begin(asked: AskedResponse, response_id: str = "", model: str = "", status: str = "in_progress") -> dict[str, Any]:
    """A response object before its answer: what was asked, with OpenAI's defaults."""
    body = asked.body
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    return {
        "id": response_id or new_id("resp"),
        "object": "response",
        "created_at": clock.now_ns() // 1_000_000_000,
        "status": status,
        "background": asked.background,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": model or asked.call.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": asked.previous or None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "store": asked.store is not False,
        "temperature": body.get("temperature"),
        "text": {
            "format": text.get("format") or {"type": "text"},
            **({"verbosity": text["verbosity"]} if "verbosity" in text else {}),
        },
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": body.get("truncation") or "disabled",
        "usage": None,
        "metadata": body.get("metadata") or {},
        **({"user": body["user"]} if body.get("user") else {}),
    }


def finished(response: dict[str, Any], items: list[dict[str, Any]], finish: str, usage: Usage | None) -> dict[str, Any]:
    """The same after its answer."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": wire.write_usage(usage),
    }


def write_item(part: Part, logprobs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """An output item; None for what is none."""
    if isinstance(part, Text):
        return message_item(new_id("msg"), part.content, logprobs)
    if isinstance(part, ToolCall):
        from genwright.gateway.wire.openai import as_text

        return call_item(new_id("fc"), part.id, part.name, as_text(part.arguments))
    if isinstance(part, Reasoning):
        return reasoning_item(new_id("rs"), part.content, part.signature)
    return wire.write_item(part)


def message_item(id_: str, text: str, logprobs: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": [text_part(text, logprobs)]}


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text}


def call_item(id_: str, call_id: str, name: str, given: str, status: str = "completed") -> dict[str, Any]:
    return {"id": id_, "type": "function_call", "status": status, "arguments": given, "call_id": call_id, "name": name}


def reasoning_item(id_: str, text: str, signature: str) -> dict[str, Any]:
    item: dict[str, Any] = {"id": id_, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}
    return item | ({"encrypted_content": wire.write_signature(signature)} if signature else {})
