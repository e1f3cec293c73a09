"""OpenAI's Responses as a dialect of providers: request, answer, event. Pure.

A caller of the same dialect has its body sent and its answer given as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from genwright.errors import Error, Invalid, Upstream, UpstreamLimited
from genwright.gateway import sse
from genwright.gateway.providers.base import Embedded
from genwright.gateway.providers.failures import stream_error
from genwright.gateway.types import Answer, Call, Chunk, ToolDelta
from genwright.gateway.wire import responses as wire
from genwright.gateway.wire.openai import bad, unsupported
from genwright.messages import Message

_encode = msgspec.json.Encoder().encode
_WHOSE = "OpenAI's Responses, which this model is reached by"
REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why an answer is incomplete → finish reason."""


class Responses:
    name = wire.DIALECT
    paths: ClassVar = {"chat": "/responses", "stream": "/responses", "count": "/responses/input_tokens", "models": "/models"}
    parser = sse.Parser

    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def request(self, call: Call, model: str, stream: bool) -> bytes:
        if call.wire is not None and call.wire.dialect == self.name:
            body = dict(call.wire.body)
            if "input" not in body:
                body["input"] = wire.write_input(call.messages)
            if "tools" not in body and call.tools:
                body["tools"] = wire.write_tools(call.tools)
        else:
            body = translate(call)
        for name, value in call.overrides.items():
            _put(body, name, value)
        body["model"] = model
        body.pop("stream", None)
        if stream:
            body["stream"] = True
        else:
            body.pop("stream_options", None)
        return _encode(body)

    def answer(self, body: bytes) -> Answer:
        decoded = msgspec.json.decode(body)
        if decoded.get("error") and "output" not in decoded:
            raise stream_error("the provider", body)
        if decoded.get("status") in ("failed", "cancelled"):
            raise _failure(decoded)
        parts = wire.read_output(decoded["output"])
        finish = finish_of(decoded, any(item.get("type") == "function_call" for item in decoded["output"]))
        return Answer(
            Message("assistant", parts, finish_reason=finish),
            finish_reason=finish,
            usage=wire.read_usage(decoded.get("usage")),
            model=decoded.get("model") or "",
            response_id=decoded["id"],
            raw=body,
            dialect=self.name,
            logprobs=_logprobs(decoded["output"]),
        )

    def reader(self) -> Reader:
        return Reader()

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes:
        raise Invalid("This model is reached by OpenAI's Responses, which make no embeddings. Nothing was sent.", param="model")

    def embedded(self, body: bytes) -> Embedded:
        raise NotImplementedError


def finish_of(response: dict[str, Any], called: bool) -> str:
    if response.get("status") == "incomplete":
        return REASONS.get((response.get("incomplete_details") or {}).get("reason") or "", "length")
    return "tool_calls" if called else "stop"


def _failure(response: dict[str, Any]) -> Error:
    error = response.get("error") or {}
    kind = UpstreamLimited if "rate_limit" in str(error.get("code")) else Upstream
    words = error.get("message") or response.get("status")
    return kind(f"The provider failed: {words}.", upstream_code=str(error.get("code") or ""))


def _logprobs(items: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    found = [
        token
        for item in items
        if item.get("type") == "message"
        for part in item["content"]
        for token in part.get("logprobs") or []
    ]
    return [found] if found else []


# --- a call of another dialect


def translate(call: Call) -> dict[str, Any]:
    """The body of a neutral call. Raises Invalid naming what has no counterpart."""
    for name in call.extra.keys() - {"detail"}:
        raise unsupported(name, _WHOSE)
    for number, tool in enumerate(call.tools):
        if "type" in tool:
            raise bad(
                f"tools[{number}].type", f"tools[{number}].type: {tool['type']} runs only at its own provider. Nothing was sent."
            )
    body: dict[str, Any] = {"input": wire.write_input(call.messages), "store": False}
    if call.tools:
        body["tools"] = wire.write_tools(call.tools)
    if call.user:
        body["user"] = call.user
    for name, value in call.parameters.items():
        _put(body, name, value)
    return body


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    put = _PARAMETERS.get(name)
    if put is None:
        raise unsupported(name, _WHOSE)
    if value is None:
        body.pop("max_output_tokens" if name in ("max_tokens", "max_completion_tokens") else name, None)
    else:
        put(body, name, value)


def _same(body: dict[str, Any], name: str, value: Any) -> None:
    body[name] = value


def _cap(body: dict[str, Any], name: str, value: Any) -> None:
    body["max_output_tokens"] = value


def _format(body: dict[str, Any], name: str, value: Any) -> None:
    body["text"] = {**(body.get("text") or {}), "format": wire.write_format(value)}


def _verbosity(body: dict[str, Any], name: str, value: Any) -> None:
    body["text"] = {**(body.get("text") or {}), "verbosity": value}


def _effort(body: dict[str, Any], name: str, value: Any) -> None:
    body["reasoning"] = {**(body.get("reasoning") or {}), "effort": value}


def _choice(body: dict[str, Any], name: str, value: Any) -> None:
    body["tool_choice"] = wire.write_choice(value)


def _with_logprobs(body: dict[str, Any], name: str, value: Any) -> None:
    if value:
        body["include"] = [*(body.get("include") or []), "message.output_text.logprobs"]


def _neutral(*values: Any) -> Callable[[dict[str, Any], str, Any], None]:
    def check(body: dict[str, Any], name: str, value: Any) -> None:
        if value not in values:
            raise unsupported(name, _WHOSE)

    return check


_PARAMETERS: dict[str, Callable[[dict[str, Any], str, Any], None]] = {
    **dict.fromkeys(
        ("temperature", "top_p", "parallel_tool_calls", "top_logprobs", "service_tier", "prompt_cache_key", "safety_identifier"),
        _same,
    ),
    "max_tokens": _cap,
    "max_completion_tokens": _cap,
    "response_format": _format,
    "verbosity": _verbosity,
    "reasoning_effort": _effort,
    "tool_choice": _choice,
    "logprobs": _with_logprobs,
    "n": _neutral(1),
    "presence_penalty": _neutral(0),
    "frequency_penalty": _neutral(0),
    "logit_bias": _neutral({}),
}


# --- streams


class Reader:
    """Events of one stream → chunks that keep their bytes. Items of other kinds say nothing else."""

    name = wire.DIALECT

    def __init__(self) -> None:
        self.done = False
        self._tools: dict[int, int] = {}
        self._reads: dict[str, Callable[[dict[str, Any], Chunk], None]] = {
            "response.created": self._created,
            "response.output_item.added": self._item,
            "response.output_item.done": self._item_done,
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._text,
            "response.reasoning_summary_text.delta": self._reasoning,
            "response.reasoning_text.delta": self._reasoning,
            "response.function_call_arguments.delta": self._arguments,
            "response.completed": self._end,
            "response.incomplete": self._end,
        }
        self.problem: Error | None = None
        self._words = b""

    def read(self, event: sse.Event) -> Chunk | None:
        data = msgspec.json.decode(event.data)
        if data["type"] == "error":  # response.failed comes after it
            self.problem = stream_error("the provider", event.data if data.get("error") else _encode({"error": data}))
            self._words += event.raw
            return None
        if data["type"] == "response.failed":
            error: Any = self.problem or _failure(data["response"])
            error.raw, error.dialect = self._words + event.raw, self.name
            raise error
        chunk = Chunk(raw=event.raw, dialect=wire.DIALECT)
        read = self._reads.get(data["type"])
        if read is not None:
            read(data, chunk)
        return chunk

    def _created(self, data: dict[str, Any], chunk: Chunk) -> None:
        chunk.response_id, chunk.model = data["response"]["id"], data["response"].get("model") or ""

    def _item(self, data: dict[str, Any], chunk: Chunk) -> None:
        item = data["item"]
        if item["type"] == "function_call":
            number = self._tools[data["output_index"]] = len(self._tools)
            chunk.tool_calls = [ToolDelta(number, item["call_id"], item["name"])]

    def _item_done(self, data: dict[str, Any], chunk: Chunk) -> None:
        item = data["item"]
        if item["type"] == "reasoning" and item.get("encrypted_content"):
            chunk.signature = wire.OPENAI + item["encrypted_content"]
        elif item["type"] == "function_call" and data["output_index"] not in self._tools:  # a service that sends no beginnings
            number = self._tools[data["output_index"]] = len(self._tools)
            chunk.tool_calls = [ToolDelta(number, item["call_id"], item["name"], item["arguments"])]

    def _text(self, data: dict[str, Any], chunk: Chunk) -> None:
        chunk.text, chunk.logprobs = data["delta"], data.get("logprobs") or []

    def _reasoning(self, data: dict[str, Any], chunk: Chunk) -> None:
        chunk.reasoning = data["delta"]

    def _arguments(self, data: dict[str, Any], chunk: Chunk) -> None:
        if data["output_index"] in self._tools:
            chunk.tool_calls = [ToolDelta(self._tools[data["output_index"]], arguments=data["delta"])]

    def _end(self, data: dict[str, Any], chunk: Chunk) -> None:
        response = data["response"]
        self.done, chunk.event = True, "done"
        chunk.usage = wire.read_usage(response.get("usage"))
        chunk.finish_reason = finish_of(response, bool(self._tools))
