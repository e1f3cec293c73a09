"""What an answer says, read from each dialect by itself: text, reasoning, calls, why it ended, what was used.

An oracle: it shares nothing with the gateway's own conversions.
"""

from __future__ import annotations

import base64
import json
from typing import Any

ENDS = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "calls", "tool_calls": "calls",
    "refusal": "filter", "content_filter": "filter", "stop": "stop", "length": "length",
}  # fmt: skip


def _signature(text: str) -> str:
    """Without the marks that tell whose it is; Gemini's face takes base64 only, so there it is wrapped."""
    if text.startswith(base64.b64encode(b"genwright:")[:12].decode()):
        text = base64.b64decode(text).decode().removeprefix("genwright:")
    for mark in ("gw:", "gemini:", "redacted:", "openai:"):
        text = text.removeprefix(mark)
    return text


def openai(body: dict[str, Any]) -> dict[str, Any]:
    choice, usage = body["choices"][0], body.get("usage") or {}
    message = choice["message"]
    details = message.get("reasoning_details") or []
    asked, total = usage.get("prompt_tokens", 0), usage.get("total_tokens", 0)
    return {
        "text": message.get("content") or "",
        "reasoning": message.get("reasoning_content") or "",
        "signatures": [_signature(d.get("signature") or d.get("data") or "") for d in details],
        "calls": [(c["function"]["name"], _decoded(c["function"]["arguments"])) for c in message.get("tool_calls") or []],
        "ids": [call["id"] for call in message.get("tool_calls") or []],
        "end": ENDS[choice["finish_reason"]],
        "used": (asked, total - asked, (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
    }


def anthropic(body: dict[str, Any]) -> dict[str, Any]:
    blocks, usage = body["content"], body["usage"]
    read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    thoughts = [block for block in blocks if block["type"] in ("thinking", "redacted_thinking")]
    signatures = [_signature(block.get("signature") or block.get("data") or "") for block in thoughts]
    return {
        "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
        "reasoning": "".join(block.get("thinking") or "" for block in thoughts),
        "signatures": [signature for signature in signatures if signature],
        "calls": [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        "ids": [block["id"] for block in blocks if block["type"] == "tool_use"],
        "end": ENDS[body["stop_reason"]],
        "used": (usage["input_tokens"] + read + written, usage["output_tokens"], read),
    }


def responses(body: dict[str, Any]) -> dict[str, Any]:
    items, usage = body["output"], body["usage"]
    calls = [(i["name"], _decoded(i["arguments"])) for i in items if i["type"] == "function_call"]
    thoughts = [item for item in items if item["type"] == "reasoning"]
    reason = (body.get("incomplete_details") or {}).get("reason")
    return {
        "text": "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]),
        "reasoning": "".join(part["text"] for item in thoughts for part in item["summary"]),
        "signatures": [_signature(item["encrypted_content"]) for item in thoughts if item.get("encrypted_content")],
        "calls": calls,
        "ids": [item["call_id"] for item in items if item["type"] == "function_call"],
        "end": {"max_output_tokens": "length", "content_filter": "filter"}.get(reason) or ("calls" if calls else "stop"),
        "used": (usage["input_tokens"], usage["output_tokens"], usage["input_tokens_details"]["cached_tokens"]),
    }


def _decoded(text: str) -> Any:
    return json.loads(text or "{}")


def gemini(body: dict[str, Any]) -> dict[str, Any]:
    """A call may have no id here, and reasoning is used beside the answer's tokens."""
    candidate, usage = body["candidates"][0], body["usageMetadata"]
    parts = candidate["content"].get("parts") or []
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    signatures = [_signature(part["thoughtSignature"]) for part in parts if part.get("thoughtSignature")]
    reason = {"STOP": "stop", 1: "stop", "MAX_TOKENS": "length", "SAFETY": "filter"}[candidate["finishReason"]]
    given = (usage.get("candidatesTokenCount") or 0) + (usage.get("thoughtsTokenCount") or 0)
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "reasoning": "".join(part["text"] for part in parts if part.get("thought")),
        "signatures": signatures,
        "calls": [(call["name"], call.get("args") or {}) for call in calls],
        "ids": [call["id"] for call in calls if call.get("id")],
        "end": "calls" if calls else reason,
        "used": (usage["promptTokenCount"], given, usage.get("cachedContentTokenCount") or 0),
    }


def bedrock(body: dict[str, Any]) -> dict[str, Any]:
    blocks, usage = body["output"]["message"]["content"], body["usage"]
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    thoughts = [block["reasoningContent"]["reasoningText"] for block in blocks if "reasoningContent" in block]
    read, written = usage.get("cacheReadInputTokens") or 0, usage.get("cacheWriteInputTokens") or 0
    return {
        "text": "".join(block["text"] for block in blocks if "text" in block),
        "reasoning": "".join(thought["text"] for thought in thoughts),
        "signatures": [thought["signature"] for thought in thoughts if thought.get("signature")],
        "calls": [(use["name"], use["input"]) for use in uses],
        "ids": [use["toolUseId"] for use in uses],
        "end": ENDS[body["stopReason"]],
        "used": (usage["inputTokens"] + read + written, usage["outputTokens"], read),
    }


READ = {"openai": openai, "anthropic": anthropic, "responses": responses, "gemini": gemini, "bedrock": bedrock}


# --- streams: put together as each dialect's reference says


def gemini_whole(data: bytes) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    body: dict[str, Any] = {}
    for event in _events(data):
        for candidate in event.get("candidates") or []:
            parts += (candidate.get("content") or {}).get("parts") or []
            body["finishReason"] = candidate.get("finishReason") or body.get("finishReason")
        body["usageMetadata"] = event.get("usageMetadata") or body.get("usageMetadata")
    candidate = {"content": {"parts": parts}, "finishReason": body["finishReason"]}
    return {"candidates": [candidate], "usageMetadata": body["usageMetadata"]}


def _messages(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """(event type, payload) of an AWS event stream: lengths and headers as Smithy's reference gives them."""
    found = []
    while data:
        total, headers = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        named, at = {}, 12
        while at < 12 + headers:
            name = data[at + 1 : at + 1 + data[at]].decode()
            at += 1 + data[at] + 1  # every header here is a text, type 7
            size = int.from_bytes(data[at : at + 2], "big")
            named[name] = data[at + 2 : at + 2 + size].decode()
            at += 2 + size
        found.append((named[":event-type"], json.loads(data[12 + headers : total - 4])))
        data = data[total:]
    return found


def bedrock_whole(data: bytes) -> dict[str, Any]:
    blocks: dict[int, dict[str, Any]] = {}
    body: dict[str, Any] = {}
    for kind, event in _messages(data):
        if kind == "contentBlockStart":
            blocks[event["contentBlockIndex"]] = {"toolUse": {**event["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            delta, index = event["delta"], event["contentBlockIndex"]
            if "toolUse" in delta:
                blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
            elif "reasoningContent" in delta:
                said = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": "", "signature": ""}}})
                for name, text in delta["reasoningContent"].items():
                    said["reasoningContent"]["reasoningText"][name] += text
            else:
                block = blocks.setdefault(index, {"text": ""})
                block["text"] += delta["text"]
        elif kind == "messageStop":
            body["stopReason"] = event["stopReason"]
        elif kind == "metadata":
            body["usage"] = event["usage"]
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return {**body, "output": {"message": {"content": [blocks[index] for index in sorted(blocks)]}}}


def _events(data: bytes) -> list[dict[str, Any]]:
    found = []
    for block in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if lines and lines != [b"[DONE]"]:
            found.append(json.loads(b"\n".join(lines)))
    return found


def openai_whole(data: bytes) -> dict[str, Any]:
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "reasoning_details": [], "tool_calls": []}
    calls: dict[int, dict[str, Any]] = {}
    body: dict[str, Any] = {"choices": [{"message": message, "finish_reason": None}], "usage": None}
    for event in _events(data):
        body["usage"] = event.get("usage") or body["usage"]
        for choice in event["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            message["reasoning_details"] += delta.get("reasoning_details") or []
            for piece in delta.get("tool_calls") or []:
                call = calls.setdefault(piece["index"], {"id": "", "function": {"name": "", "arguments": ""}})
                call["id"] = call["id"] or piece.get("id") or ""
                call["function"]["name"] = call["function"]["name"] or piece["function"].get("name") or ""
                call["function"]["arguments"] += piece["function"].get("arguments") or ""
            body["choices"][0]["finish_reason"] = choice.get("finish_reason") or body["choices"][0]["finish_reason"]
    message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return body


def anthropic_whole(data: bytes) -> dict[str, Any]:
    body: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in _events(data):
        kind = event["type"]
        if kind == "message_start":
            body = {**event["message"], "content": []}
        elif kind == "content_block_start":
            body["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            block, delta = body["content"][event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                inputs[event["index"]] = inputs.get(event["index"], "") + delta["partial_json"]
            else:
                (name,) = delta.keys() - {"type"}
                if name != "citation":
                    block[name] = block.get(name, "") + delta[name]
        elif kind == "message_delta":
            body |= event["delta"]
            body["usage"] = {**body["usage"], **{k: v for k, v in event["usage"].items() if v is not None}}
    for index, text in inputs.items():
        body["content"][index]["input"] = json.loads(text or "{}")
    return body


def responses_whole(data: bytes) -> dict[str, Any]:
    """The last event has it all."""
    return _events(data)[-1]["response"]


def responses_deltas(data: bytes) -> dict[str, Any]:
    """The same from the pieces: text, reasoning and calls' arguments."""
    found = {"output_text": "", "reasoning_summary_text": "", "function_call_arguments": ""}
    for event in _events(data):
        kind = event["type"].removeprefix("response.").removesuffix(".delta")
        if kind in found and "delta" in event:
            found[kind] += event["delta"]
    return found


def whole_deltas(body: dict[str, Any]) -> dict[str, Any]:
    """What the pieces must come to, from the last event."""
    items = body["output"]
    return {
        "output_text": "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]),
        "reasoning_summary_text": "".join(p["text"] for i in items if i["type"] == "reasoning" for p in i["summary"]),
        "function_call_arguments": "".join(item["arguments"] for item in items if item["type"] == "function_call"),
    }


WHOLE = {
    "openai": openai_whole,
    "anthropic": anthropic_whole,
    "responses": responses_whole,
    "gemini": gemini_whole,
    "bedrock": bedrock_whole,
}
