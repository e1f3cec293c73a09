"""Anthropic's Messages API as a dialect of providers: request, answer, chunk. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from genwright.errors import Invalid
from genwright.gateway import sse
from genwright.gateway.providers.base import Embedded
from genwright.gateway.providers.failures import stream_error
from genwright.gateway.types import REDACTED, Answer, Call, Chunk, ToolDelta
from genwright.gateway.wire import anthropic as wire
from genwright.gateway.wire.openai import UNSUPPORTED, bad, unsupported
from genwright.messages import Message
from genwright.prices import Usage

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 4096
"""Anthropic requires max_tokens; other dialects do not."""
_encode = msgspec.json.Encoder().encode


class Anthropic:
    name = wire.DIALECT
    paths: ClassVar = {
        "chat": "/messages",
        "stream": "/messages",
        "count": "/messages/count_tokens",
        "models": "/models",
    }
    parser = sse.Parser

    def headers(self, key: str) -> dict[str, str]:
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}

    def request(self, call: Call, model: str, stream: bool) -> bytes:
        if call.wire is not None and call.wire.dialect == self.name:
            body = dict(call.wire.body)
            if "messages" not in body:
                system, body["messages"] = wire.write_messages(call.messages)
                body.pop("system", None)
                if system:
                    body["system"] = system
            if "tools" not in body and call.tools:
                body["tools"] = wire.write_tools(call.tools)
        else:
            body = translate(call)
        for name, value in call.overrides.items():
            _override(body, name, value)
        body["model"] = model
        body.pop("stream", None)
        if stream:
            body["stream"] = True
        return _encode(body)

    def count_request(self, call: Call, model: str) -> bytes:
        """Of count_tokens: the request without what concerns only its answer."""
        body = msgspec.json.decode(self.request(call, model, False))
        return _encode({name: value for name, value in body.items() if name in _COUNTED})

    def counted(self, body: bytes) -> int:
        return int(msgspec.json.decode(body)["input_tokens"])

    def answer(self, body: bytes) -> Answer:
        decoded = msgspec.json.decode(body)
        if decoded.get("type") == "error":
            raise stream_error("the provider", body)
        finish = wire.FINISH.get(decoded["stop_reason"], "stop")
        message = Message("assistant", wire.read_content(decoded["content"]), finish_reason=finish)
        usage = wire.read_usage(decoded.get("usage"))
        return Answer(message, finish, usage, decoded["model"], response_id=decoded["id"], raw=body, dialect=self.name)

    def reader(self) -> Reader:
        return Reader()

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes:
        raise Invalid("Anthropic has no embeddings. Nothing was sent. Use local/minilm or another provider.", param="model")

    def embedded(self, body: bytes) -> Embedded:
        raise NotImplementedError


_COUNTED = frozenset(("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "mcp_servers"))


# --- a call of another dialect


def translate(call: Call) -> dict[str, Any]:
    """The request body of a neutral call. Raises Invalid naming the first parameter that has no counterpart."""
    for name in call.extra:
        raise unsupported(name, _WHOSE)
    for number, tool in enumerate(call.tools):
        if "type" in tool:
            raise bad(
                f"tools[{number}].type", f"tools[{number}].type: {tool['type']} runs only at its own provider. Nothing was sent."
            )
    system, messages = wire.write_messages(call.messages)
    body: dict[str, Any] = {"max_tokens": DEFAULT_MAX_TOKENS, "messages": messages}
    if system:
        body["system"] = system
    if call.tools:
        body["tools"] = wire.write_tools(call.tools)
    if call.user:
        body["metadata"] = {"user_id": call.user}
    for name, value in call.parameters.items():
        put = _PARAMETERS.get(name)
        if put is None:
            raise unsupported(name, _WHOSE)
        put(body, name, value)
    return body


_WHOSE = "Anthropic's dialect, which this model is reached by"


def _override(body: dict[str, Any], name: str, value: Any) -> None:
    """Set what the caller's body says, or take it away."""
    if value is not None:
        put = _PARAMETERS.get(name)
        if put is None:
            raise unsupported(name, _WHOSE)
        put(body, name, value)
    elif name not in ("max_tokens", "max_completion_tokens"):  # which is always needed
        body.pop("stop_sequences" if name == "stop" else name, None)


def _same(body: dict[str, Any], name: str, value: Any) -> None:
    body[name] = value


def _temperature(body: dict[str, Any], name: str, value: Any) -> None:
    if value > 1:
        raise Invalid(
            f"{name} is {value}; models of Anthropic's dialect take 0 to 1. Nothing was sent.", code=UNSUPPORTED, param=name
        )
    body[name] = value


def _max_tokens(body: dict[str, Any], name: str, value: Any) -> None:
    body["max_tokens"] = value


def _stop(body: dict[str, Any], name: str, value: Any) -> None:
    body["stop_sequences"] = [value] if isinstance(value, str) else value


def _tool_choice(body: dict[str, Any], name: str, value: Any) -> None:
    named = {"auto": "auto", "none": "none", "required": "any"}
    if isinstance(value, str) and value in named:
        choice = {"type": named[value]}
    elif isinstance(value, dict) and value.get("type") == "function":
        choice = {"type": "tool", "name": value["function"]["name"]}
    else:
        raise bad(name, f"{name} must be auto, none, required or one function. Nothing was sent.")
    body["tool_choice"] = {**body.get("tool_choice", {}), **choice}


def _parallel(body: dict[str, Any], name: str, value: Any) -> None:
    if value is False:
        body["tool_choice"] = {"type": "auto", **body.get("tool_choice", {}), "disable_parallel_tool_use": True}


def _response_format(body: dict[str, Any], name: str, value: Any) -> None:
    kind = value.get("type")
    if kind == "json_schema":
        schema = value["json_schema"].get("schema")
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    elif kind != "text":
        raise Invalid(
            f"{name} {kind!r} has no counterpart in Anthropic's dialect: use json_schema. Nothing was sent.",
            code=UNSUPPORTED,
            param=name,
        )


def _effort(body: dict[str, Any], name: str, value: Any) -> None:
    body.setdefault("output_config", {})["effort"] = value


def _neutral(*values: Any) -> Callable[[dict[str, Any], str, Any], None]:
    """A parameter that may only be given where it changes nothing."""

    def check(body: dict[str, Any], name: str, value: Any) -> None:
        if value not in values:
            raise unsupported(name, _WHOSE)

    return check


_PARAMETERS: dict[str, Callable[[dict[str, Any], str, Any], None]] = {
    "temperature": _temperature,
    "top_p": _same,
    "top_k": _same,
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_tokens,
    "stop": _stop,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _parallel,
    "response_format": _response_format,
    "reasoning_effort": _effort,
    "n": _neutral(1),
    "presence_penalty": _neutral(0),
    "frequency_penalty": _neutral(0),
    "logprobs": _neutral(False),
    "top_logprobs": _neutral(0),
    "logit_bias": _neutral({}),
}


# --- streams


class Reader:
    """Events of one stream → chunks that keep their bytes. Tool calls are numbered as OpenAI does, from 0."""

    def __init__(self) -> None:
        self.done = False
        self._usage: dict[str, Any] = {}
        self._tools: dict[int, int] = {}
        self._reads: dict[str, Callable[[dict[str, Any], Chunk], None]] = {
            "message_start": self._start,
            "content_block_start": self._block,
            "content_block_delta": self._delta,
            "message_delta": self._end,
        }

    def read(self, event: sse.Event) -> Chunk | None:
        data = msgspec.json.decode(event.data)
        kind = data["type"]
        if kind == "error":
            raise stream_error("the provider", event.data)
        chunk = Chunk(raw=event.raw, dialect=wire.DIALECT)
        if kind == "message_stop":
            self.done, chunk.event = True, "done"
        read = self._reads.get(kind)
        if read is not None:
            read(data, chunk)
        return chunk

    def _start(self, data: dict[str, Any], chunk: Chunk) -> None:
        message = data["message"]
        chunk.response_id, chunk.model = message["id"], message["model"]
        self._usage = {**(message.get("usage") or {}), "output_tokens": 0}
        chunk.usage = wire.read_usage(self._usage)

    def _block(self, data: dict[str, Any], chunk: Chunk) -> None:
        block = data["content_block"]
        if block["type"] == "tool_use":
            number = self._tools[data["index"]] = len(self._tools)
            chunk.tool_calls = [ToolDelta(number, block["id"], block["name"])]
        elif block["type"] == "text":
            chunk.text = block.get("text") or ""
        elif block["type"] == "redacted_thinking":
            chunk.signature = REDACTED + block["data"]

    def _delta(self, data: dict[str, Any], chunk: Chunk) -> None:
        delta = data["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            chunk.text = delta["text"]
        elif kind == "input_json_delta" and data["index"] in self._tools:
            chunk.tool_calls = [ToolDelta(self._tools[data["index"]], arguments=delta["partial_json"])]
        elif kind == "thinking_delta":
            chunk.reasoning = delta["thinking"]
        elif kind == "signature_delta":
            chunk.signature = delta["signature"]

    def _end(self, data: dict[str, Any], chunk: Chunk) -> None:
        self._usage |= {name: value for name, value in (data.get("usage") or {}).items() if value is not None}
        chunk.usage = wire.read_usage(self._usage) or Usage()
        if stop := data["delta"].get("stop_reason"):
            chunk.finish_reason = wire.FINISH.get(stop, "stop")
