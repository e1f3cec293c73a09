"""Gemini's generateContent as clients speak it: request → Call, Answer → body, Chunk → event, error → body. Pure.

What has no neutral name rides along in `Call.extra` and in `Call.wire`, and reaches a provider of the same dialect as it was
written; any other provider refuses it by its name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.errors import Error
from genwright.gateway import sse
from genwright.gateway.faces.openai import Asked, read_json
from genwright.gateway.types import Answer, Call, Chunk, Model, ToolDelta, Wire, arguments
from genwright.gateway.wire import gemini as wire
from genwright.gateway.wire.openai import as_text, bad
from genwright.messages import Message, Part, Reasoning, Text, ToolCall
from genwright.prices import Usage
from genwright.vocab import new_id

_encode = msgspec.json.Encoder().encode
_KNOWN = ("contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "labels", "model")
_NAMES = {
    "temperature": "temperature", "topP": "top_p", "topK": "top_k", "maxOutputTokens": "max_tokens", "seed": "seed",
    "stopSequences": "stop", "candidateCount": "n", "presencePenalty": "presence_penalty", "responseLogprobs": "logprobs",
    "frequencyPenalty": "frequency_penalty", "logprobs": "top_logprobs",
}  # fmt: skip
_CALLED = {
    **{neutral: f"generationConfig.{name}" for name, neutral in _NAMES.items()},
    "response_format": "generationConfig.responseMimeType",
    "reasoning_effort": "generationConfig.thinkingConfig",
    "tool_choice": "toolConfig",
}
"""Neutral names → ours, for errors."""
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2), "topP": (0, 1), "topK": (0, 1e9), "maxOutputTokens": (1, 1e9), "candidateCount": (1, 8),
    "presencePenalty": (-2, 2), "frequencyPenalty": (-2, 2), "logprobs": (0, 20),
}  # fmt: skip


def read_request(model: str, body: bytes, stream: bool) -> Asked:
    """Raises Invalid (JSON or a field that is wrong, named in message and `param`)."""
    plain = wire.camel(read_json(body))
    contents = plain.get("contents")
    if isinstance(contents, (dict, str)):
        contents = [contents]
    if not isinstance(contents, list) or not contents:
        raise bad("contents", "contents must be a list of at least one content. Nothing was sent.")
    plain["contents"] = contents = [{"parts": [{"text": one}]} if isinstance(one, str) else one for one in contents]
    tools = plain.get("tools") or []
    if not isinstance(tools, list):
        raise bad("tools", "tools must be a list. Nothing was sent.")
    extra = {name: value for name, value in plain.items() if name not in _KNOWN and value is not None}
    parameters = _parameters(plain, extra)
    if choice := _tool_choice(plain.get("toolConfig"), extra):
        parameters["tool_choice"] = choice
    labels = plain.get("labels")
    plain.pop("model", None)
    call = Call(
        model,
        wire.read_messages(plain.get("systemInstruction"), contents),
        parameters,
        wire.read_tools(tools),
        tags={str(name): as_text(value) for name, value in labels.items()} if isinstance(labels, dict) else {},
        extra=extra,
        wire=Wire(wire.DIALECT, plain, parts=("contents",), names=_CALLED),
    )
    return Asked(call, stream)


def _parameters(plain: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    given = plain.get("generationConfig")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise bad("generationConfig", "generationConfig must be an object. Nothing was sent.")
    config = plain["generationConfig"] = wire.camel(given)
    out: dict[str, Any] = {}
    for name, value in config.items():
        if value is None or (name.startswith("response") and name != "responseLogprobs"):
            continue
        if name in _RANGES:
            _check(name, value)
        if name in _NAMES:
            out[_NAMES[name]] = value
        elif name == "thinkingConfig":
            out |= _effort(value)
        else:
            extra[f"generationConfig.{name}"] = value
    if form := _form(config, extra):
        out["response_format"] = form
    return out


def _check(name: str, value: Any) -> None:
    low, high = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        field, shown = f"generationConfig.{name}", as_text(value)[:60]
        raise bad(field, f"{field} is {shown}; it must lie between {low:g} and {high:g}. Nothing was sent.")


def _effort(config: Any) -> dict[str, Any]:
    """A level as it is; a budget of tokens as the level that Google gives it. Without either it is the model's own matter."""
    if not isinstance(config, dict):
        raise bad("generationConfig.thinkingConfig", "generationConfig.thinkingConfig must be an object. Nothing was sent.")
    config = wire.camel(config)
    budget = config.get("thinkingBudget")
    if level := config.get("thinkingLevel"):
        return {"reasoning_effort": str(level).lower()}
    if not isinstance(budget, int) or budget < 0:
        return {}
    return {"reasoning_effort": "none" if budget == 0 else "low" if budget <= 1024 else "medium" if budget <= 8192 else "high"}


def _form(config: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any] | None:
    kind = config.get("responseMimeType") or "text/plain"
    schema = config.get("responseJsonSchema") or wire.json_schema(config.get("responseSchema"))
    for name in ("responseModalities",):
        if config.get(name) not in (None, [], ["TEXT"]):
            extra[f"generationConfig.{name}"] = config[name]
    if kind == "application/json":
        named = {"name": "response", "schema": schema}
        return {"type": "json_schema", "json_schema": named} if schema else {"type": "json_object"}
    if kind != "text/plain":
        extra["generationConfig.responseMimeType"] = kind
    return None


def _tool_choice(config: Any, extra: dict[str, Any]) -> Any:
    if config is None:
        return None
    if not isinstance(config, dict):
        raise bad("toolConfig", "toolConfig must be an object. Nothing was sent.")
    config = wire.camel(config)
    for name in config:
        if name != "functionCallingConfig":
            extra[f"toolConfig.{name}"] = config[name]
    choice = wire.camel(config.get("functionCallingConfig") or {})
    mode, allowed = str(choice.get("mode") or "AUTO").upper(), choice.get("allowedFunctionNames") or []
    named = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
    if mode not in named:
        raise bad("toolConfig.functionCallingConfig.mode", f"toolConfig.functionCallingConfig.mode: {mode!r} must be AUTO, ANY, "
                  "VALIDATED or NONE. Nothing was sent.")  # fmt: skip
    if len(allowed) == 1 and mode == "ANY":
        return {"type": "function", "function": {"name": allowed[0]}}
    if allowed:
        extra["toolConfig.functionCallingConfig.allowedFunctionNames"] = allowed
    return named[mode]


# --- answers


def write_answer(answer: Answer) -> bytes:
    """The body: the provider's own where it speaks the dialect and nothing was changed."""
    if answer.raw and answer.dialect == wire.DIALECT:
        return answer.raw
    candidates = [_candidate(n, message, answer) for n, message in enumerate([answer.message, *answer.others])]
    return _encode(_response(candidates, answer.usage, answer.model, answer.response_id) | (answer.extra or {}))


def _candidate(index: int, message: Message, answer: Answer) -> dict[str, Any]:
    out = {
        "content": {"parts": wire.write_parts(message.parts, {}, thoughts=True), "role": "model"},
        "finishReason": wire.STOP.get(message.finish_reason or answer.finish_reason, "OTHER"),
        "index": index,
    }
    if index < len(answer.logprobs) and answer.logprobs[index]:
        out["logprobsResult"] = wire.write_logprobs(answer.logprobs[index])
    return out


def _response(candidates: list[dict[str, Any]], usage: Usage | None, model: str, response_id: str) -> dict[str, Any]:
    out: dict[str, Any] = {"candidates": candidates}
    if usage is not None:
        out["usageMetadata"] = wire.write_usage(usage)
    return {**out, "modelVersion": model, "responseId": response_id}


class StreamWriter:
    """Chunks of one stream → server-sent events. Gives a provider's bytes back as they came; builds the others.

    A tool call is whole in Gemini's dialect: its pieces are kept until the answer's end.
    """

    content_type = b"text/event-stream"

    def __init__(self, asked: Asked):
        self._model = asked.call.model
        self._id = new_id("resp")
        self._raw = False
        self._held = b""
        self._calls: dict[int, ToolDelta] = {}
        self._finish: dict[int, str] = {}
        self._extra: dict[str, Any] | None = None

    def chunk(self, chunk: Chunk) -> bytes:
        """Bytes to send; empty if the client is to get nothing."""
        if chunk.raw and chunk.dialect == wire.DIALECT:
            self._raw = True
            if chunk.finish_reason or self._held:  # the end waits until the call is settled
                self._held += chunk.raw
                return b""
            return self._came(chunk.raw)
        self._id, self._model = chunk.response_id or self._id, chunk.model or self._model
        for delta in chunk.tool_calls:
            had = self._calls.get(delta.index, ToolDelta(delta.index))
            self._calls[delta.index] = ToolDelta(
                delta.index, had.id or delta.id, had.name or delta.name, had.arguments + delta.arguments
            )
        if chunk.finish_reason:
            self._finish[chunk.index] = chunk.finish_reason
        parts: list[Part] = []
        if chunk.reasoning or chunk.signature:
            parts.append(Reasoning(chunk.reasoning, chunk.signature))
        if chunk.text:
            parts.append(Text(chunk.text))
        if not parts and not chunk.extra:
            return b""
        candidate: dict[str, Any] = {"content": {"parts": self._parts(parts), "role": "model"}, "index": chunk.index}
        if chunk.logprobs:
            candidate["logprobsResult"] = wire.write_logprobs(chunk.logprobs)
        return self._event(_response([candidate], None, self._model, self._id) | (chunk.extra or {}))

    def _parts(self, parts: list[Part]) -> list[dict[str, Any]]:
        """A signature that comes alone stands on an empty text, as Gemini sends it."""
        written = wire.write_parts(parts, {}, thoughts=True)
        if not written and parts and isinstance(parts[0], Reasoning):
            return [{"text": "", "thoughtSignature": parts[0].signature.removeprefix(wire.SIGNED)}]
        return written

    def end(self, answer: Answer) -> bytes:
        """After the last chunk: the tool calls, the reason for the end, and what was used."""
        if self._raw:
            return (self._came(self._held) if self._held else b"") + self._last()
        calls: list[Part] = [ToolCall(c.id, c.name, arguments(c.arguments)) for _, c in sorted(self._calls.items())]
        candidates = []
        for index in sorted(self._finish) or [0]:
            parts = wire.write_parts(calls, {}) if index == 0 else []
            finish = wire.STOP.get(self._finish.get(index) or answer.finish_reason, "OTHER")
            content = {"parts": parts or [{"text": ""}], "role": "model"}
            candidates.append({"content": content, "finishReason": finish, "index": index})
        return self._event(_response(candidates, answer.usage, self._model, self._id)) + self._last()

    def error(self, error: Error) -> bytes:
        """An error in the middle; the stream ends after it."""
        return self._event(msgspec.json.decode(write_error(error))) + self._last()

    def _came(self, raw: bytes) -> bytes:
        return raw

    def _event(self, data: dict[str, Any]) -> bytes:
        return b"data: %b\r\n\r\n" % _encode(data)

    def _last(self) -> bytes:
        return b""


class ArrayWriter(StreamWriter):
    """The same as one JSON array that grows, which is what a stream without `alt=sse` is."""

    content_type = b"application/json; charset=UTF-8"

    def __init__(self, asked: Asked):
        super().__init__(asked)
        self._parser = sse.Parser()
        self._begun = False

    def _came(self, raw: bytes) -> bytes:
        return b"".join(self._item(event.data) for event in self._parser.feed(raw) if event.data)

    def _event(self, data: dict[str, Any]) -> bytes:
        return self._item(_encode(data))

    def _item(self, data: bytes) -> bytes:
        begin, self._begun = (b",\r\n" if self._begun else b"["), True
        return begin + data

    def _last(self) -> bytes:
        return b"]" if self._begun else b"[]"


# --- models, counting, embeddings


def write_models(models: list[Model]) -> bytes:
    """All of them on one page."""
    return _encode({"models": [shown_model(model) for model in models]})


def shown_model(model: Model) -> dict[str, Any]:
    chats = ["generateContent", "streamGenerateContent", "countTokens"]
    methods = chats if model.operation == "chat" else ["embedContent", "batchEmbedContents"]
    return {"name": f"models/{model.id}", "displayName": model.id, "supportedGenerationMethods": methods}


def read_count(model: str, body: bytes) -> Asked:
    """countTokens takes contents alone, or a whole generateContentRequest."""
    plain = wire.camel(read_json(body))
    inner = plain.get("generateContentRequest")
    return read_request(model, _encode(inner) if isinstance(inner, dict) else body, False)


class AskedVectors(msgspec.Struct):
    texts: list[str]
    options: dict[str, Any]
    whole: bool
    """One embedContent; else a batch."""


def read_embeddings(body: bytes, batch: bool) -> AskedVectors:
    """Raises Invalid naming the field; the options of a batch must be alike."""
    plain = wire.camel(read_json(body))
    requests = plain.get("requests") if batch else [plain]
    if not isinstance(requests, list) or not requests or not all(isinstance(item, dict) for item in requests):
        raise bad("requests", "requests must be a list of at least one embedContent request. Nothing was sent.")
    texts, options = [], []
    for number, item in enumerate(map(wire.camel, requests)):
        where = f"requests[{number}].content" if batch else "content"
        [message] = wire.read_messages(None, [item.get("content")]) if isinstance(item.get("content"), dict) else [None]
        if message is None or not message.text:
            raise bad(where, f"{where} must hold a text. Nothing was sent.")
        texts.append(message.text)
        named = {"outputDimensionality": "dimensions", "taskType": "task_type", "title": "title"}
        options.append({neutral: item[name] for name, neutral in named.items() if item.get(name) is not None})
    if any(one != options[0] for one in options):
        raise bad("requests", "All requests of a batch must ask for the same size and task. Nothing was sent.")
    return AskedVectors(texts, options[0], not batch)


def write_embeddings(asked: AskedVectors, vectors: Any) -> bytes:
    rows = [{"values": row} for row in vectors.tolist()]
    return _encode({"embedding": rows[0]} if asked.whole else {"embeddings": rows})


# --- errors

_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_TYPE = "type.googleapis.com/google.rpc."


def write_error(error: Error) -> bytes:
    """{"error": {"code", "message", "status", "details"}} with Google's own types of detail."""
    details: list[dict[str, Any]] = [{"@type": _TYPE + "ErrorInfo", "reason": error.code, "domain": "genwright"}]
    if param := error.details.get("param"):
        violation = {"field": as_text(param), "description": error.message}
        details.append({"@type": _TYPE + "BadRequest", "fieldViolations": [violation]})
    if isinstance(error.retry, (int, float)):
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{error.retry:g}s"})
    status = _STATUS.get(error.status, "INTERNAL")
    return _encode({"error": {"code": error.status, "message": error.message, "status": status, "details": details}})
