"""The dialect of OpenAI's chat completions and embeddings, which most services speak: request, answer, chunk. Pure.

Where the client speaks it too, its own body goes out as it was written (`Call.wire`), with the model's name replaced, and the
answer's bytes go back as they came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from genwright.gateway import sse
from genwright.gateway.providers.base import Embedded
from genwright.gateway.providers.failures import stream_error
from genwright.gateway.types import Answer, Call, Chunk, ToolDelta
from genwright.gateway.wire import openai as wire
from genwright.messages import Message


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Tool(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[_Tool] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    id: str | None = None
    model: str | None = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


class OpenAICompatible:
    """The dialect."""

    name = wire.DIALECT
    paths: ClassVar = {
        "chat": "/chat/completions",
        "stream": "/chat/completions",
        "embeddings": "/embeddings",
        "models": "/models",
        "images": "/images/generations",
        "image_edits": "/images/edits",
        "speech": "/audio/speech",
        "transcriptions": "/audio/transcriptions",
        "translations": "/audio/translations",
        "rerank": "/rerank",
        "moderations": "/moderations",
        "files": "/files",
        "batches": "/batches",
        "videos": "/videos",
    }
    parser = sse.Parser

    def __init__(self, cap: str = "", stream_usage: bool = True) -> None:
        """`cap`: the only name the service knows for the longest output. `stream_usage`: False if it refuses stream_options."""
        self._cap = cap
        self._stream_usage = stream_usage

    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def request(self, call: Call, model: str, stream: bool) -> bytes:
        if call.wire is not None and call.wire.dialect == self.name:
            body = dict(call.wire.body)
            if not body.get("store"):  # OpenAI takes metadata only with what it stores; else it is for our trace alone
                body.pop("metadata", None)
            if "messages" not in body:
                body["messages"] = wire.write_messages(call.messages)
            if "tools" not in body and call.tools:
                body["tools"] = wire.write_tools(call.tools)
        else:
            body = _translate(call, model)
        for name, value in call.overrides.items():
            _override(body, name, value, model)
        body["model"] = model
        if self._cap and (caps := [body.pop(name) for name in _CAPS if name in body]):
            body[self._cap] = caps[-1]
        if stream:
            body["stream"] = True
            # We bill by the provider's count: asked for always, its chunk is withheld from a client that did not ask.
            if self._stream_usage:
                body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            else:
                body.pop("stream_options", None)
        else:
            body.pop("stream", None)
            body.pop("stream_options", None)
        return _encode(body)

    def answer(self, body: bytes) -> Answer:
        decoded = msgspec.json.decode(body)
        if "error" in decoded and "choices" not in decoded:  # OpenRouter answers some failures with 200
            raise stream_error("the provider", body)
        choices = sorted(decoded["choices"], key=lambda choice: choice.get("index") or 0)
        messages = [_message(choice) for choice in choices]
        return Answer(
            messages[0],
            finish_reason=messages[0].finish_reason,
            usage=wire.read_usage(decoded.get("usage")),
            model=decoded.get("model") or "",
            response_id=decoded.get("id") or "",
            others=messages[1:],
            raw=body,
            dialect=self.name,
            logprobs=_logprobs(choices),
        )

    def reader(self) -> Reader:
        return Reader()

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes:
        return _encode({**options, "model": model, "input": list(texts), "encoding_format": "float"})

    def embedded(self, body: bytes) -> Embedded:
        import numpy as np

        decoded = msgspec.json.decode(body)
        rows = sorted(decoded["data"], key=lambda row: row["index"])
        vectors = np.asarray([row["embedding"] for row in rows], np.float32)
        return Embedded(vectors, wire.read_usage(decoded.get("usage")), decoded.get("model") or "", raw=body)


def _translate(call: Call, model: str) -> dict[str, Any]:
    """The body of a call of another dialect. Raises Invalid naming what this one cannot say."""
    for name in call.extra.keys() - {"detail"}:
        raise wire.unsupported(name, "OpenAI's chat completions, which this model is reached by")
    for number, tool in enumerate(call.tools):
        if "type" in tool:
            where = f"tools[{number}].type"
            raise wire.bad(where, f"{where}: {tool['type']} runs only at its own provider. Nothing was sent.")
    body: dict[str, Any] = {"messages": wire.write_messages(call.messages)}
    for name, value in call.parameters.items():
        if name not in wire.PARAMETERS:  # top_k of Anthropic and Gemini: many services take it, OpenAI refuses it itself
            raise wire.unsupported(name, "OpenAI's chat completions, which this model is reached by")
        _override(body, name, value, model)
    if call.tools:
        body["tools"] = wire.write_tools(call.tools)
    if call.user:
        body["user"] = call.user
    return body


_NEWER = re.compile(r"(.*/)?(o\d|gpt-[5-9]|chatgpt)")
"""OpenAI's models that refuse max_tokens; other services know no other name for it."""
_CAPS = ("max_tokens", "max_completion_tokens")


def _override(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    """Set, or take away, what the caller's body says; the output cap under the name that this model knows."""
    if name in _CAPS:
        said = next((cap for cap in _CAPS if cap in body), None)
        name = said or (_CAPS[1] if _NEWER.match(model) else _CAPS[0])
    if value is None:
        body.pop(name, None)
    else:
        body[name] = value


def _logprobs(choices: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    found = [(choice.get("logprobs") or {}).get("content") or [] for choice in choices]
    return found if any(found) else []


def _message(choice: dict[str, Any]) -> Message:
    item = choice["message"]
    read = wire.read_messages(
        [{"tool_calls": None, **item, "role": "assistant", "content": item.get("content") or item.get("refusal")}]
    )
    return msgspec.structs.replace(read[0], finish_reason=choice.get("finish_reason") or "stop")


class Reader:
    """Events of one stream → chunks that keep their bytes. Tolerates a missing [DONE] once a finish reason was seen."""

    def __init__(self) -> None:
        self.done = False

    def read(self, event: sse.Event) -> Chunk | None:
        data = event.data
        if data == b"[DONE]":
            self.done = True
            return Chunk(raw=event.raw, dialect=wire.DIALECT, event=wire.DONE)
        decoded = _decode_event(data)
        if decoded.error:
            raise stream_error("the provider", data)
        chunk = Chunk(raw=event.raw, dialect=wire.DIALECT, response_id=decoded.id or "", model=decoded.model or "")
        if decoded.usage:
            chunk.usage = wire.read_usage(decoded.usage)
        if decoded.choices:
            self._choice(decoded.choices[0], chunk)
        elif decoded.usage:
            chunk.event = wire.USAGE
        return chunk

    def _choice(self, choice: _Choice, chunk: Chunk) -> None:
        chunk.index = choice.index
        if choice.finish_reason:
            chunk.finish_reason = choice.finish_reason
            self.done = True
        if choice.logprobs:
            chunk.logprobs = choice.logprobs.get("content") or []
        delta = choice.delta
        if delta is None:
            return
        if delta.content:
            chunk.text = delta.content if isinstance(delta.content, str) else _parts_text(delta.content)
        elif delta.refusal:
            chunk.text = delta.refusal
        reasoning = delta.reasoning_content or delta.reasoning
        if isinstance(reasoning, str):
            chunk.reasoning = reasoning
        if delta.reasoning_details:
            chunk.signature = wire.signature_of(delta.reasoning_details)
        if delta.tool_calls:
            chunk.tool_calls = [_tool_delta(number, tool) for number, tool in enumerate(delta.tool_calls)]


def _tool_delta(number: int, tool: _Tool) -> ToolDelta:
    function = tool.function or _Function()
    text = function.arguments
    text = "" if text is None else wire.as_text(text)  # some services send the arguments as an object
    return ToolDelta(tool.index if tool.index is not None else number, tool.id or "", function.name or "", text)


def _parts_text(content: Any) -> str:
    """Mistral's reasoning models send content as a list of parts."""
    return "".join(part.get("text", "") for part in content if isinstance(part, dict) and part.get("type") == "text")
