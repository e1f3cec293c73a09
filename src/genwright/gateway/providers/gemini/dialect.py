"""Gemini's generateContent as a dialect of providers (Gemini API and Vertex): request, answer, chunk. Pure.

Where the client speaks it too, its own body goes out as it was written (`Call.wire`) and the answer's bytes go back as they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from genwright.gateway import sse
from genwright.gateway.providers.base import Embedded
from genwright.gateway.providers.failures import stream_error
from genwright.gateway.types import Answer, Call, Chunk, ToolDelta
from genwright.gateway.wire import gemini as wire
from genwright.gateway.wire.openai import as_text, bad, unsupported
from genwright.messages import Message, Reasoning, Text, ToolCall
from genwright.prices import Usage

_encode = msgspec.json.Encoder().encode
_WHOSE = "Gemini's dialect, which this model is reached by"
UNSIGNED = "skip_thought_signature_validator"
"""Google's word for a call that another model made: Gemini 3 refuses one without a signature."""


class Gemini:
    name = wire.DIALECT
    parser = sse.Parser

    def __init__(self, vertex: bool = False):
        self._vertex = vertex
        self.paths: dict[str, str] = {
            "chat": "/models/{model}:generateContent",
            "stream": "/models/{model}:streamGenerateContent?alt=sse",
            "embeddings": "/models/{model}:predict" if vertex else "/models/{model}:batchEmbedContents",
            "count": "/models/{model}:countTokens",
            "models": "/models?pageSize=1000",
        }

    def headers(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key} if key else {}

    def request(self, call: Call, model: str, stream: bool) -> bytes:
        if call.wire is not None and call.wire.dialect == self.name:
            body = dict(call.wire.body)
            if "contents" not in body:
                _write_contents(body, call, model)
            if "tools" not in body and call.tools:
                body["tools"] = wire.write_tools(call.tools)
        else:
            body = self._translate(call, model, stream)
        for name, value in call.overrides.items():
            _set(body, name, value, model)
        return _encode(body)

    def _translate(self, call: Call, model: str, stream: bool) -> dict[str, Any]:
        """The body of a call of another dialect. Raises Invalid naming the first field that has no counterpart."""
        for name in call.extra:
            raise unsupported(name, _WHOSE)
        for number, tool in enumerate(call.tools):
            if "type" in tool:
                where = f"tools[{number}].type"
                raise bad(where, f"{where}: {tool['type']} runs only at its own provider. Nothing was sent.")
        if stream and (call.parameters.get("n") or 1) > 1:
            raise unsupported("n", "Gemini's streams, which give one answer")
        body: dict[str, Any] = {}
        _write_contents(body, call, model)
        if call.tools:
            body["tools"] = wire.write_tools(call.tools)
            if any(tool.get("strict") for tool in call.tools):
                body["toolConfig"] = {"functionCallingConfig": {"mode": "VALIDATED"}}
        for name, value in call.parameters.items():
            _set(body, name, value, model)
        return body

    def answer(self, body: bytes) -> Answer:
        decoded = wire.decode_events(body)
        messages = [_message(candidate) for candidate in decoded.get("candidates") or []]
        if not messages:
            if "promptFeedback" not in decoded and "usageMetadata" not in decoded:
                raise KeyError("candidates")
            messages = [Message("assistant", [], finish_reason="content_filter")]
        logprobs = [wire.read_logprobs(candidate.get("logprobsResult")) for candidate in decoded.get("candidates") or []]
        return Answer(
            messages[0],
            finish_reason=messages[0].finish_reason,
            usage=wire.read_usage(decoded.get("usageMetadata")),
            model=decoded.get("modelVersion") or "",
            response_id=decoded.get("responseId") or "",
            others=messages[1:],
            raw=body,
            dialect=self.name,
            logprobs=logprobs if any(logprobs) else [],
        )

    def reader(self) -> Reader:
        return Reader()

    # -- embeddings and counting

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes:
        if not all(isinstance(text, str) for text in texts):
            raise bad("input", "input: Gemini's embeddings take texts, not token numbers. Nothing was sent.")
        for name in options:
            if name not in ("dimensions", "task_type", "title"):
                raise unsupported(name, "Gemini's embeddings")
        size = {"outputDimensionality": options["dimensions"]} if options.get("dimensions") else {}
        if self._vertex:
            more = {name: options[name] for name in ("task_type", "title") if options.get(name)}
            return _encode({"instances": [{"content": text, **more} for text in texts], "parameters": size})
        if options.get("task_type"):
            size["taskType"] = options["task_type"]
        if options.get("title"):
            size["title"] = options["title"]
        name = f"models/{model}"
        return _encode({"requests": [{"model": name, "content": {"parts": [{"text": text}]}, **size} for text in texts]})

    def embedded(self, body: bytes) -> Embedded:
        import numpy as np

        decoded = msgspec.json.decode(body)
        if "predictions" in decoded:
            rows = [row["embeddings"] for row in decoded["predictions"]]
            counts = [row.get("statistics", {}).get("token_count") for row in rows]
            usage = Usage(sum(int(count) for count in counts)) if all(count is not None for count in counts) else None
            return Embedded(np.asarray([row["values"] for row in rows], np.float32), usage)
        usage = wire.read_usage(decoded.get("usageMetadata"))
        return Embedded(np.asarray([row["values"] for row in decoded["embeddings"]], np.float32), usage)

    def count_request(self, call: Call, model: str) -> bytes:
        body = msgspec.json.decode(self.request(call, model, False))
        if self._vertex:
            return _encode({name: body[name] for name in ("contents", "systemInstruction", "tools") if name in body})
        return _encode({"generateContentRequest": {"model": f"models/{model}", **body}})

    def counted(self, body: bytes) -> int:
        return int(msgspec.json.decode(body).get("totalTokens") or 0)


def _message(candidate: dict[str, Any]) -> Message:
    parts = wire.read_answer((candidate.get("content") or {}).get("parts") or [])
    finish = wire.FINISH.get(candidate.get("finishReason") or "STOP", "stop")
    if finish == "stop" and any(isinstance(part, ToolCall) for part in parts):
        finish = "tool_calls"
    return Message("assistant", parts, finish_reason=finish)


# --- a call of another dialect


def _write_contents(body: dict[str, Any], call: Call, model: str) -> None:
    system, contents = wire.write_messages(call.messages)
    body.pop("systemInstruction", None)
    if system:
        body["systemInstruction"] = {"parts": system}
    if _thinks_by_level(model):
        _sign(contents)
    body["contents"] = contents


def _sign(contents: list[dict[str, Any]]) -> None:
    """The first call of every step needs a signature; calls that another model made have none."""
    for content in contents:
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and not any("thoughtSignature" in part for part in content["parts"]):
            calls[0]["thoughtSignature"] = UNSIGNED


def _thinks_by_level(model: str) -> bool:
    """Gemini 3 and later think by level, 2.5 by a budget of tokens."""
    found = re.match(r"(?:.*/)?gemini-(\d+)", model)
    return found is not None and int(found[1]) >= 3


def _set(body: dict[str, Any], name: str, value: Any, model: str) -> None:
    """One neutral parameter; None takes it away."""
    put = _PARAMETERS.get(name)
    if put is None:
        if value is None:
            return
        raise unsupported(name, _WHOSE)
    config = body.get("generationConfig")
    config = body["generationConfig"] = dict(config) if isinstance(config, dict) else {}
    put(body, config, name, value, model)
    if not config:
        del body["generationConfig"]


_Put = Callable[[dict[str, Any], dict[str, Any], str, Any, str], None]


def _as(field: str) -> _Put:
    def put(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
        if value is None:
            config.pop(field, None)
        else:
            config[field] = value

    return put


def _stop(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
    config.pop("stopSequences", None)
    if value:
        config["stopSequences"] = [value] if isinstance(value, str) else value


def _logprobs(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
    if value:
        config["responseLogprobs"] = True


def _response_format(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
    kind = (value or {}).get("type")
    for field in ("responseMimeType", "responseJsonSchema", "responseSchema"):
        config.pop(field, None)
    if kind in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        config["responseJsonSchema"] = value["json_schema"].get("schema") or {}
    elif kind not in ("json_object", "text", None):
        raise unsupported(name, _WHOSE)


def _tool_choice(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
    named = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if isinstance(value, str) and value in named:
        choice: dict[str, Any] = {"mode": named[value]}
    elif isinstance(value, dict) and value.get("type") == "function":
        choice = {"mode": "ANY", "allowedFunctionNames": [value["function"]["name"]]}
    elif value is None:
        body.pop("toolConfig", None)
        return
    else:
        raise unsupported(name, _WHOSE)
    if choice["mode"] == "AUTO" and "toolConfig" in body:
        return  # strict tools were asked for: VALIDATED is AUTO that keeps to the schema
    body["toolConfig"] = {"functionCallingConfig": choice}


_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""As Google's own OpenAI-compatible address translates them."""


def _effort(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
    thinking = dict(config.pop("thinkingConfig", None) or {})
    if value is None:
        return
    if value not in _BUDGETS:
        raise unsupported(name, f"{_WHOSE} ({value!r}; it takes {', '.join(_BUDGETS)})")
    if _thinks_by_level(model):
        config["thinkingConfig"] = {**thinking, "thinkingLevel": "minimal" if value == "none" else value}
    else:
        config["thinkingConfig"] = {**thinking, "thinkingBudget": _BUDGETS[value]}


def _neutral(*values: Any) -> _Put:
    """A parameter that may only be given where it changes nothing."""

    def check(body: dict[str, Any], config: dict[str, Any], name: str, value: Any, model: str) -> None:
        if value is not None and value not in values:
            raise unsupported(name, _WHOSE)

    return check


_PARAMETERS: dict[str, _Put] = {
    "temperature": _as("temperature"),
    "top_p": _as("topP"),
    "top_k": _as("topK"),
    "max_tokens": _as("maxOutputTokens"),
    "max_completion_tokens": _as("maxOutputTokens"),
    "stop": _stop,
    "seed": _as("seed"),
    "n": _as("candidateCount"),
    "presence_penalty": _as("presencePenalty"),
    "frequency_penalty": _as("frequencyPenalty"),
    "response_format": _response_format,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _neutral(True),
    "reasoning_effort": _effort,
    "logprobs": _logprobs,
    "top_logprobs": _as("logprobs"),
    "logit_bias": _neutral({}),
}


# --- streams


class Reader:
    """Events of one stream → chunks that keep their bytes. `done` with a finish reason: Gemini sends no end mark."""

    def __init__(self) -> None:
        self.done = False
        self._calls = 0

    def read(self, event: sse.Event) -> Chunk | None:
        decoded = wire.decode_events(event.data)
        if "error" in decoded:
            raise stream_error("the provider", event.data)
        chunk = Chunk(
            raw=event.raw,
            dialect=wire.DIALECT,
            usage=wire.read_usage(decoded.get("usageMetadata")),
            response_id=decoded.get("responseId") or "",
            model=decoded.get("modelVersion") or "",
        )
        candidates = decoded.get("candidates") or []
        if candidates:
            self._candidate(candidates[0], chunk)
        elif (decoded.get("promptFeedback") or {}).get("blockReason"):
            chunk.finish_reason, self.done = "content_filter", True
        return chunk

    def _candidate(self, candidate: dict[str, Any], chunk: Chunk) -> None:
        chunk.index = candidate.get("index") or 0
        for part in wire.read_answer((candidate.get("content") or {}).get("parts") or []):
            if isinstance(part, Text):
                chunk.text += part.content
            elif isinstance(part, Reasoning):
                chunk.reasoning += part.content
                chunk.signature = chunk.signature or part.signature
            elif isinstance(part, ToolCall):
                chunk.tool_calls = [*chunk.tool_calls, ToolDelta(self._calls, part.id, part.name, as_text(part.arguments))]
                self._calls += 1
        chunk.logprobs = wire.read_logprobs(candidate.get("logprobsResult"))
        if stop := candidate.get("finishReason"):
            finish = wire.FINISH.get(stop, "stop")
            chunk.finish_reason = "tool_calls" if finish == "stop" and self._calls else finish
            self.done = True
