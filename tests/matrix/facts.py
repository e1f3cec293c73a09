"""What an answer says, read from each dialect by itself: text, reasoning, calls, why it ended, what was used.

An oracle: it shares nothing with the gateway's own conversions.
"""

from __future__ import annotations

import json
from typing import Any

ENDS = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "calls", "tool_calls": "calls",
    "refusal": "filter", "content_filter": "filter", "stop": "stop", "length": "length",
}  # fmt: skip


def _signature(text: str) -> str:
    for mark in ("gw:", "redacted:", "openai:"):
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
        "calls": [
            (c["id"], c["function"]["name"], _decoded(c["function"]["arguments"])) for c in message.get("tool_calls") or []
        ],
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
        "calls": [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        "end": ENDS[body["stop_reason"]],
        "used": (usage["input_tokens"] + read + written, usage["output_tokens"], read),
    }


def responses(body: dict[str, Any]) -> dict[str, Any]:
    items, usage = body["output"], body["usage"]
    calls = [(i["call_id"], i["name"], _decoded(i["arguments"])) for i in items if i["type"] == "function_call"]
    thoughts = [item for item in items if item["type"] == "reasoning"]
    reason = (body.get("incomplete_details") or {}).get("reason")
    return {
        "text": "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]),
        "reasoning": "".join(part["text"] for item in thoughts for part in item["summary"]),
        "signatures": [_signature(item["encrypted_content"]) for item in thoughts if item.get("encrypted_content")],
        "calls": calls,
        "end": {"max_output_tokens": "length", "content_filter": "filter"}.get(reason) or ("calls" if calls else "stop"),
        "used": (usage["input_tokens"], usage["output_tokens"], usage["input_tokens_details"]["cached_tokens"]),
    }


def _decoded(text: str) -> Any:
    return json.loads(text or "{}")


READ = {"openai": openai, "anthropic": anthropic, "responses": responses}


# --- streams: put together as each dialect's reference says


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


WHOLE = {"openai": openai_whole, "anthropic": anthropic_whole, "responses": responses_whole}
