"""Bedrock's Converse and ConverseStream as a dialect of providers, and embeddings of Titan and Cohere by InvokeModel. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec

from genwright.errors import Error, Upstream, UpstreamLimited, UpstreamRefused
from genwright.gateway import sse
from genwright.gateway.providers.base import Embedded
from genwright.gateway.providers.bedrock import eventstream
from genwright.gateway.types import REDACTED, Answer, Call, Chunk, ToolDelta
from genwright.gateway.wire import bedrock as wire
from genwright.gateway.wire.openai import bad, unsupported
from genwright.messages import Message
from genwright.prices import Usage

_encode = msgspec.json.Encoder().encode
_WHOSE = "Bedrock's Converse, which this model is reached by"
CACHE_POINT = {"cachePoint": {"type": "default"}}


class Bedrock:
    name = wire.DIALECT
    parser = eventstream.Parser
    paths: ClassVar = {
        "chat": "/model/{model}/converse",
        "stream": "/model/{model}/converse-stream",
        "embeddings": "/model/{model}/invoke",
        "count": "/model/{model}/count-tokens",
        "models": "/foundation-models",
    }

    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def request(self, call: Call, model: str, stream: bool) -> bytes:
        for name in call.extra:
            if name != "thinking" or "anthropic." not in model:
                raise unsupported(name, _WHOSE)
        for number, tool in enumerate(call.tools):
            if "type" in tool:
                where = f"tools[{number}].type"
                raise bad(where, f"{where}: {tool['type']} runs only at its own provider. Nothing was sent.")
        system, messages = wire.write_messages(call.messages)
        body: dict[str, Any] = {"messages": messages}
        if system:
            body["system"] = system
        if call.tools:
            body["toolConfig"] = {"tools": wire.write_tools(call.tools)}
        _cache_points(body, call)
        if "thinking" in call.extra:
            _more(body)["thinking"] = call.extra["thinking"]
        for name, value in {**call.parameters, **call.overrides}.items():
            if value is None:
                continue
            put = _PARAMETERS.get(name)
            if put is None:
                raise unsupported(name, _WHOSE)
            put(body, name, value, model)
        return _encode(body)

    def answer(self, body: bytes) -> Answer:
        decoded = wire.decode(body)
        finish = wire.FINISH.get(decoded["stopReason"], "stop")
        message = Message("assistant", wire.read_content(decoded["output"]["message"]["content"]), finish_reason=finish)
        return Answer(message, finish, wire.read_usage(decoded.get("usage")))

    def reader(self) -> Reader:
        return Reader()

    # -- counting

    def count_request(self, call: Call, model: str) -> bytes:
        body = msgspec.json.decode(self.request(call, model, False))
        kept = {name: body[name] for name in ("messages", "system", "toolConfig") if name in body}
        return _encode({"input": {"converse": kept}})

    def counted(self, body: bytes) -> int:
        return int(wire.decode(body)["inputTokens"])

    # -- embeddings

    def embeds_at_once(self, model: str) -> int:
        """Titan takes one text a request, Cohere up to 96."""
        return 96 if "cohere." in model else 1

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes:
        if not all(isinstance(text, str) for text in texts):
            raise bad("input", "input: embeddings of Bedrock take texts, not token numbers. Nothing was sent.")
        cohere = "cohere." in model
        for name in options:
            if name not in ("dimensions", "input_type" if cohere else "normalize"):
                raise unsupported(name, "this model's embeddings")
        size = options.get("dimensions")
        if not cohere:
            more = {"dimensions": size} if size else {}
            return _encode({"inputText": texts[0], **more, **{k: v for k, v in options.items() if k == "normalize"}})
        more = {"output_dimension": size} if size else {}
        kind = options.get("input_type") or "search_document"
        return _encode({"texts": list(texts), "input_type": kind, "embedding_types": ["float"], **more})

    def embedded(self, body: bytes) -> Embedded:
        import numpy as np

        decoded = wire.decode(body)
        if "embedding" in decoded:
            return Embedded(np.asarray([decoded["embedding"]], np.float32), Usage(int(decoded["inputTextTokenCount"])))
        rows = decoded["embeddings"]
        return Embedded(np.asarray(rows["float"] if isinstance(rows, dict) else rows, np.float32), None)


# --- requests


def _more(body: dict[str, Any]) -> dict[str, Any]:
    return body.setdefault("additionalModelRequestFields", {})


def _config(field: str) -> Callable[[dict[str, Any], str, Any, str], None]:
    def put(body: dict[str, Any], name: str, value: Any, model: str) -> None:
        body.setdefault("inferenceConfig", {})[field] = value

    return put


def _stop(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    body.setdefault("inferenceConfig", {})["stopSequences"] = [value] if isinstance(value, str) else value


def _top_k(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    if "anthropic." in model:
        _more(body)["top_k"] = value
    elif "amazon.nova" in model:
        _more(body).setdefault("inferenceConfig", {})["topK"] = value
    else:
        raise unsupported(name, _WHOSE)


def _effort(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    if "anthropic." in model:
        body.setdefault("outputConfig", {})["effort"] = value
    elif "openai." in model:
        _more(body)["reasoning_effort"] = value
    else:
        raise unsupported(name, _WHOSE)


def _response_format(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    kind = value.get("type")
    if kind == "json_schema":
        given = value["json_schema"]
        described = {key: given[key] for key in ("name", "description") if given.get(key)}
        schema = {"schema": _encode(given.get("schema") or {}).decode(), **described}
        body.setdefault("outputConfig", {})["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    elif kind != "text":
        raise unsupported(name, f"{_WHOSE} (use json_schema)")


def _tool_choice(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    config = body.get("toolConfig")
    if value == "none":
        if any("toolUse" in block for message in body["messages"] for block in message["content"]):
            raise unsupported(name, f"{_WHOSE} (tools that were called must stay declared)")
        body.pop("toolConfig", None)
    elif config is None:
        raise bad(name, f"{name} was given without tools. Nothing was sent.")
    elif value in ("auto", "required"):
        config["toolChoice"] = {"auto" if value == "auto" else "any": {}}
    elif isinstance(value, dict) and value.get("type") == "function":
        config["toolChoice"] = {"tool": {"name": value["function"]["name"]}}
    else:
        raise unsupported(name, _WHOSE)


def _neutral(*values: Any) -> Callable[[dict[str, Any], str, Any, str], None]:
    """A parameter that may only be given where it changes nothing."""

    def check(body: dict[str, Any], name: str, value: Any, model: str) -> None:
        if value not in values:
            raise unsupported(name, _WHOSE)

    return check


_PARAMETERS: dict[str, Callable[[dict[str, Any], str, Any, str], None]] = {
    "temperature": _config("temperature"),
    "top_p": _config("topP"),
    "top_k": _top_k,
    "max_tokens": _config("maxTokens"),
    "max_completion_tokens": _config("maxTokens"),
    "stop": _stop,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _neutral(True),
    "response_format": _response_format,
    "reasoning_effort": _effort,
    "n": _neutral(1),
    "presence_penalty": _neutral(0),
    "frequency_penalty": _neutral(0),
    "logprobs": _neutral(False),
    "top_logprobs": _neutral(0),
    "logit_bias": _neutral({}),
}


def _cache_points(body: dict[str, Any], call: Call) -> None:
    """Where a client of Anthropic's dialect marked a prefix for the cache, Converse gets a cache point behind the same block."""
    if call.wire is None or call.wire.dialect != "anthropic":
        return
    plain = call.wire.body
    marked = [block for block in _blocks(plain.get("system")) if "cache_control" in block]
    if marked and body.get("system"):
        body["system"].append(CACHE_POINT)
    if any("cache_control" in tool for tool in plain.get("tools") or []) and "toolConfig" in body:
        body["toolConfig"]["tools"].append(CACHE_POINT)
    joined: list[tuple[str, list[dict[str, Any]]]] = []
    for message in plain.get("messages") or []:
        if joined and joined[-1][0] == message["role"]:
            joined[-1][1].extend(_blocks(message["content"]))
        else:
            joined.append((message["role"], list(_blocks(message["content"]))))
    if len(joined) != len(body["messages"]):
        return
    for (_, blocks), written in zip(joined, body["messages"], strict=True):
        if len(blocks) == len(written["content"]):
            pairs = zip(blocks, written["content"], strict=True)
            written["content"] = [item for block, out in pairs for item in _followed(out, block)]
        elif any("cache_control" in block for block in blocks):
            written["content"].append(CACHE_POINT)


def _followed(out: dict[str, Any], block: dict[str, Any]) -> list[dict[str, Any]]:
    return [out, CACHE_POINT] if "cache_control" in block else [out]


def _blocks(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []


# --- streams


class Reader:
    """Messages of one stream → chunks. Tool calls are numbered as OpenAI does, from 0."""

    def __init__(self) -> None:
        self.done = False
        self._tools: dict[int, int] = {}
        self._reads: dict[str, Callable[[dict[str, Any]], Chunk | None]] = {
            "contentBlockStart": self._start,
            "contentBlockDelta": self._delta,
            "messageStop": self._stop,
            "metadata": lambda data: Chunk(usage=wire.read_usage(data.get("usage"))),
        }

    def read(self, event: sse.Event) -> Chunk | None:
        data = wire.decode(event.data)
        if event.name.startswith("!"):
            raise stream_error(event.name[1:], data)
        read = self._reads.get(event.name)
        return read(data) if read is not None else None

    def _start(self, data: dict[str, Any]) -> Chunk | None:
        use = data["start"].get("toolUse")
        if use is None:
            return None
        number = self._tools[data["contentBlockIndex"]] = len(self._tools)
        return Chunk(tool_calls=[ToolDelta(number, use["toolUseId"], use["name"])])

    def _delta(self, data: dict[str, Any]) -> Chunk | None:
        delta = data["delta"]
        if "text" in delta:
            return Chunk(delta["text"])
        if "toolUse" in delta:
            return Chunk(tool_calls=[ToolDelta(self._tools[data["contentBlockIndex"]], arguments=delta["toolUse"]["input"])])
        thought = delta.get("reasoningContent")
        if thought is None:
            return None
        if "redactedContent" in thought:
            return Chunk(signature=REDACTED + thought["redactedContent"])
        return Chunk(reasoning=thought.get("text") or "", signature=thought.get("signature") or "")

    def _stop(self, data: dict[str, Any]) -> Chunk:
        self.done = True
        return Chunk(finish_reason=wire.FINISH.get(data["stopReason"], "stop"))


_KINDS: dict[str, type[Upstream]] = {"throttlingException": UpstreamLimited, "validationException": UpstreamRefused}


def stream_error(kind: str, data: dict[str, Any]) -> Error:
    """An exception that came in the middle of a stream."""
    message = data.get("message") or data.get("originalMessage") or kind
    return _KINDS.get(kind, Upstream)(
        f"The provider broke off with {kind}: {str(message)[:500]}. What came is kept.", upstream_code=kind
    )
