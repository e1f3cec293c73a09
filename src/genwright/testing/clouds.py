"""What the scripted provider says as Google (Gemini API, Vertex) and as Amazon (Bedrock): pure functions, like dialects.py.

Formats: Gemini API reference (generateContent, batchEmbedContents, countTokens), Vertex's predict, OAuth token answers; Bedrock's
Converse, ConverseStream and InvokeModel of Titan and Cohere embeddings, the AWS event stream, Signature Version 4.
It shares nothing with the gateway's own conversions and signatures: an oracle must not have the mistakes of what it checks.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from genwright.testing.dialects import Answer, Dialect, Events, ToolCall, _deltas, _tool_tokens, count, embed

_encode = msgspec.json.encode
TOKEN = "scripted-token"  # noqa: S105
"""Begins every token of POST /token."""


class Found(NamedTuple):
    """What a path asks: verb chat, stream, embeddings, count, models or token."""

    dialect: Dialect
    verb: str
    model: str = ""


def find(path: str) -> Found | None:
    """The route of a path of these clouds, or None. `path` is decoded."""
    for pattern, dialect, verbs in _ROUTES:
        match = pattern.fullmatch(path)
        if match is not None:
            named = match.groupdict()
            return Found(dialect, verbs[named.get("verb") or ""], named.get("model") or "")
    return None


# --- Gemini ------------------------------------------------------------------------------------------------------------


def _gemini(answer: Answer, parts: list[dict[str, Any]], output: int, finish: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = "MAX_TOKENS" if answer.finish == "length" else "STOP"
    usage = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": output,
        "totalTokenCount": answer.input_tokens + output,
    }
    if answer.cached_tokens:
        usage["cachedContentTokenCount"] = answer.cached_tokens
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": answer.model, "responseId": answer.id}


def _gemini_call(call: ToolCall) -> dict[str, Any]:
    return {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}


def _gemini_body(answer: Answer) -> bytes:
    parts: list[dict[str, Any]] = [{"text": answer.text}] if answer.text else []
    return _encode(_gemini(answer, parts + [_gemini_call(call) for call in answer.tool_calls], answer.output_tokens, True))


def _gemini_events(answer: Answer, request: dict[str, Any]) -> Events:
    del request

    def event(parts: list[dict[str, Any]], tokens: int, finish: bool = False) -> tuple[bytes, int]:
        return b"data: " + _encode(_gemini(answer, parts, tokens, finish)) + b"\r\n\r\n", tokens

    events, done = [], 0
    for part, done in _deltas(answer):
        events.append(event([{"text": part}], done))
    for call in answer.tool_calls:
        done += _tool_tokens(call)
        events.append(event([_gemini_call(call)], done))
    return [*events, event([{"text": ""}], answer.output_tokens, True)]


_GOOGLE = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
           500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}  # fmt: skip


def _gemini_error(status: int, message: str) -> bytes:
    return _encode({"error": {"code": status, "message": message, "status": _GOOGLE.get(status, "UNKNOWN")}})


def _gemini_plain(request: dict[str, Any]) -> dict[str, Any]:
    config = request.get("generationConfig") or {}
    return {
        "system": _texts((request.get("systemInstruction") or {}).get("parts") or []),
        "messages": [{"role": item.get("role"), "content": _gemini_texts(item["parts"])} for item in request["contents"]],
        "max_tokens": config.get("maxOutputTokens"),
    }


def _gemini_texts(parts: list[dict[str, Any]]) -> list[dict[str, str]]:
    results = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
    return _texts([part for part in parts if not part.get("thought")]) + [
        {"text": str(next(iter(r.values())))} for r in results if r
    ]


def _texts(parts: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"text": part["text"]} for part in parts if part.get("text")]


GEMINI = Dialect(_gemini_body, _gemini_events, _gemini_error, _gemini_plain)


def embedding_texts(found: Found, request: dict[str, Any]) -> tuple[list[str], int]:
    """The texts of an embeddings request of either cloud, and the vector's length."""
    if "requests" in request:
        items = request["requests"]
        texts = ["".join(part["text"] for part in item["content"]["parts"]) for item in items]
        return texts, items[0].get("outputDimensionality") or 64
    if "instances" in request:
        size = (request.get("parameters") or {}).get("outputDimensionality") or 64
        return [item["content"] for item in request["instances"]], size
    if "texts" in request:
        return request["texts"], 64
    return [request["inputText"]], request.get("dimensions") or 64


def embeddings(request: dict[str, Any], texts: list[str], size: int) -> tuple[bytes, int]:
    """The body of an embeddings answer in the form of the request, and its tokens."""
    vectors = [embed(text, size) for text in texts]
    tokens = sum(count(text) for text in texts)
    if "requests" in request:
        return _encode({"embeddings": [{"values": vector} for vector in vectors]}), tokens
    if "instances" in request:
        rows = [
            {"embeddings": {"values": vector, "statistics": {"token_count": count(text)}}}
            for vector, text in zip(vectors, texts, strict=True)
        ]
        return _encode({"predictions": rows}), tokens
    if "texts" in request:
        return _encode({"id": "emb", "embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}), tokens
    return _encode({"embedding": vectors[0], "inputTextTokenCount": tokens}), tokens


# --- Bedrock -----------------------------------------------------------------------------------------------------------

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def _bedrock_usage(answer: Answer, output: int) -> dict[str, int]:
    # Converse counts cached tokens beside inputTokens, not within them.
    return {
        "inputTokens": answer.input_tokens - answer.cached_tokens,
        "outputTokens": output,
        "totalTokens": answer.input_tokens + output,
        "cacheReadInputTokens": answer.cached_tokens,
        "cacheWriteInputTokens": 0,
    }


def _bedrock_body(answer: Answer) -> bytes:
    content: list[dict[str, Any]] = [{"text": answer.text}] if answer.text else []
    content += [{"toolUse": {"toolUseId": c.id, "name": c.name, "input": c.arguments}} for c in answer.tool_calls]
    return _encode(
        {
            "metrics": {"latencyMs": 1},
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _STOP[answer.finish],
            "usage": _bedrock_usage(answer, answer.output_tokens),
        }
    )


def frame(kind: str, payload: dict[str, Any], message_type: str = "event") -> bytes:
    """One message of the AWS event stream: lengths and checksums around string headers and a JSON payload."""
    named = ":exception-type" if message_type == "exception" else ":event-type"
    headers = b""
    for name, value in ((named, kind), (":content-type", "application/json"), (":message-type", message_type)):
        headers += struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = _encode(payload)
    prelude = struct.pack(">II", 12 + len(headers) + len(body) + 4, len(headers))
    whole = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return whole + struct.pack(">I", binascii.crc32(whole))


def _bedrock_events(answer: Answer, request: dict[str, Any]) -> Events:
    del request

    def delta(index: int, **data: Any) -> bytes:
        return frame("contentBlockDelta", {"contentBlockIndex": index, "delta": data})

    events: Events = [(frame("messageStart", {"role": "assistant"}), 0)]
    done = 0
    if answer.text:
        for part, done in _deltas(answer):
            events.append((delta(0, text=part), done))
        events.append((frame("contentBlockStop", {"contentBlockIndex": 0}), done))
    for index, call in enumerate(answer.tool_calls, 1 if answer.text else 0):
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        events.append((frame("contentBlockStart", {"contentBlockIndex": index, "start": start}), done))
        text = _encode(call.arguments).decode()
        half = len(text) // 2
        events.append((delta(index, toolUse={"input": text[:half]}), done))
        done += _tool_tokens(call)
        events.append((delta(index, toolUse={"input": text[half:]}), done))
        events.append((frame("contentBlockStop", {"contentBlockIndex": index}), done))
    events.append((frame("messageStop", {"stopReason": _STOP[answer.finish]}), answer.output_tokens))
    usage = {"metrics": {"latencyMs": 1}, "usage": _bedrock_usage(answer, answer.output_tokens)}
    return [*events, (frame("metadata", usage), answer.output_tokens)]


def _bedrock_error(status: int, message: str) -> bytes:
    del status
    return _encode({"message": message})


def _bedrock_plain(request: dict[str, Any]) -> dict[str, Any]:
    def texts(blocks: list[dict[str, Any]]) -> list[dict[str, str]]:
        results = [text for block in blocks if "toolResult" in block for text in block["toolResult"]["content"]]
        return _texts([*blocks, *results])

    return {
        "system": _texts(request.get("system") or []),
        "messages": [{"role": item["role"], "content": texts(item["content"])} for item in request["messages"]],
        "max_tokens": (request.get("inferenceConfig") or {}).get("maxTokens"),
    }


BEDROCK = Dialect(_bedrock_body, _bedrock_events, _bedrock_error, _bedrock_plain, "application/vnd.amazon.eventstream")


def signed(secret: str, call: Any, method: str, body: bytes) -> bool:
    """Whether a request's Signature Version 4 is right for this secret. `call`: path and query as they were on the wire."""
    given = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=[^/]+/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
        r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        call.headers.get("authorization", ""),
    )
    if given is None:
        return False
    day, region, service, names, signature = given.groups()
    lines = "".join(f"{name}:{' '.join(call.headers[name].split())}\n" for name in names.split(";"))
    pairs = sorted(pair if "=" in pair else pair + "=" for pair in call.query.split("&") if pair)
    path = quote(call.raw_path, safe="/-_.~")
    canonical = "\n".join([method, path, "&".join(pairs), lines, names, hashlib.sha256(body).hexdigest()])
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", call.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for step in (day, region, service, "aws4_request", text):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.compare_digest(key.hex(), signature)


# --- models and tokens -------------------------------------------------------------------------------------------------


def models(dialect: Dialect, names: Iterable[str]) -> bytes:
    """The list of models in the cloud's form."""
    if dialect is BEDROCK:
        return _encode({"modelSummaries": [{"modelId": name, "providerName": "genwright-testing"} for name in names]})
    return _encode({"models": [{"name": f"models/{name}", "displayName": name} for name in names]})


_GEMINI_VERBS = {"generateContent": "chat", "streamGenerateContent": "stream", "batchEmbedContents": "embeddings",
                 "predict": "embeddings", "countTokens": "count"}  # fmt: skip
_BEDROCK_VERBS = {"converse": "chat", "converse-stream": "stream", "invoke": "embeddings", "count-tokens": "count"}
_Route = tuple[re.Pattern[str], Dialect, dict[str, str]]
_GOOGLE_ROOT = r"(/v1beta|/v1/projects/[^/]+/locations/[^/]+/publishers/google)"
_ROUTES: list[_Route] = [
    (re.compile(_GOOGLE_ROOT + r"/models/(?P<model>[^:]+):(?P<verb>\w+)"), GEMINI, _GEMINI_VERBS),
    (re.compile(_GOOGLE_ROOT + "/models"), GEMINI, {"": "models"}),
    (re.compile("/token"), GEMINI, {"": "token"}),
    (re.compile(r"/model/(?P<model>.+)/(?P<verb>converse|converse-stream|invoke|count-tokens)"), BEDROCK, _BEDROCK_VERBS),
    (re.compile("/foundation-models"), BEDROCK, {"": "models"}),
]
