"""Bedrock Converse's messages, tools and usage ↔ ours. Source: Amazon Bedrock API reference, Converse (November 2026)."""

from __future__ import annotations

import mimetypes
import re
from typing import Any

import msgspec

from genwright.gateway.types import REDACTED
from genwright.gateway.wire.anthropic import IS_ERROR
from genwright.gateway.wire.openai import as_text, bad
from genwright.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage

DIALECT = "bedrock"
FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length",
    "model_context_window_exceeded": "length", "content_filtered": "content_filter", "guardrail_intervened": "content_filter",
}  # fmt: skip
_FORMATS = {
    "image": {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"},
    "video": {"video/mp4": "mp4", "video/webm": "webm", "video/quicktime": "mov", "video/x-matroska": "mkv",
              "video/mpeg": "mpeg", "video/x-flv": "flv", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp"},
    "audio": {"audio/mp3": "mp3", "audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/flac": "flac",
              "audio/ogg": "ogg", "audio/aac": "aac", "audio/opus": "opus", "audio/mp4": "m4a", "audio/webm": "webm"},
    "file": {"application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
             "application/msword": "doc", "application/vnd.ms-excel": "xls",
             "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
             "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx"},
}  # fmt: skip


# --- in


def read_content(blocks: list[dict[str, Any]]) -> list[Part]:
    """Content of an answer."""
    read: list[Part] = []
    for block in blocks:
        if "text" in block:
            read.append(Text(block["text"]))
        elif "toolUse" in block:
            use = block["toolUse"]
            read.append(ToolCall(use["toolUseId"], use["name"], use.get("input") or {}))
        elif "reasoningContent" in block:
            read.append(_read_reasoning(block["reasoningContent"]))
        elif "citationsContent" in block:
            read += [Text(item["text"]) for item in block["citationsContent"].get("content") or [] if "text" in item]
        elif "image" in block:
            image = block["image"]
            read.append(Media("image", f"image/{image['format']}", image["source"].get("bytes") or ""))
    return read


def _read_reasoning(content: dict[str, Any]) -> Reasoning:
    if "redactedContent" in content:
        return Reasoning("", REDACTED + content["redactedContent"])
    said = content["reasoningText"]
    return Reasoning(said.get("text") or "", said.get("signature") or "")


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """Converse counts cached tokens beside inputTokens, we within them."""
    if not usage:
        return None
    hits, written = usage.get("cacheReadInputTokens") or 0, usage.get("cacheWriteInputTokens") or 0
    return Usage((usage.get("inputTokens") or 0) + hits + written, usage.get("outputTokens") or 0, hits, written)


# --- out


def write_messages(messages: list[Message]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(system blocks, messages): neighbours of one role are joined, tool results belong to the user."""
    system: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    names = _Names()
    for message in messages:
        blocks = [block for part in message.parts if (block := _write(part, names)) is not None]
        if message.role in ("system", "developer"):
            system += blocks
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if written and written[-1]["role"] == role:
            written[-1]["content"] += blocks
        elif blocks:
            written.append({"role": role, "content": blocks})
    return system, written


class _Names:
    """Documents need names of a few characters only, each once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def of(self, part: Media) -> str:
        name = re.sub(r"[^A-Za-z0-9 ()\[\]-]+", "-", part.name.rpartition(".")[0] or part.name).strip("- ") or "document"
        name = re.sub(r"\s+", " ", name)[:190]
        number, unique = 1, name
        while unique in self._used:
            number += 1
            unique = f"{name} {number}"
        self._used.add(unique)
        return unique


def _write(part: Part, names: _Names) -> dict[str, Any] | None:
    """A block; None for what is not sent: empty texts, and reasoning that another maker signed or nobody did."""
    if isinstance(part, Text):
        return {"text": part.content} if part.content else None
    if isinstance(part, ToolCall):
        given = part.arguments or {}
        return {
            "toolUse": {
                "toolUseId": part.id,
                "name": part.name,
                "input": given if isinstance(given, dict) else {"text": as_text(given)},
            }
        }
    if isinstance(part, ToolResult):
        given, failed = part.response, {}
        if isinstance(given, dict) and given.keys() == {IS_ERROR, "content"}:
            given, failed = given["content"], {"status": "error"}
        return {"toolResult": {"toolUseId": part.id, "content": _result(given, names), **failed}}
    if isinstance(part, Reasoning):
        return _reasoning(part)
    return _media(part, names)


def _reasoning(part: Reasoning) -> dict[str, Any] | None:
    if part.signature.startswith(REDACTED):
        return {"reasoningContent": {"redactedContent": part.signature.removeprefix(REDACTED)}}
    if not part.signature or ":" in part.signature:
        return None
    return {"reasoningContent": {"reasoningText": {"text": part.content, "signature": part.signature}}}


def _result(response: Any, names: _Names) -> list[dict[str, Any]]:
    if isinstance(response, list) and response and all(isinstance(item, dict) and "type" in item for item in response):
        return [_result_block(item, names) for item in response]
    return [{"json": response}] if isinstance(response, dict) else [{"text": as_text(response)}]


def _result_block(item: dict[str, Any], names: _Names) -> dict[str, Any]:
    """A block of a tool's result as Anthropic's face keeps it."""
    source = item.get("source") or {}
    if item["type"] == "text":
        return {"text": item["text"]}
    if item["type"] in ("image", "document") and source.get("type") == "base64":
        modality: Any = "image" if item["type"] == "image" else "file"
        return _media(Media(modality, source["media_type"], source["data"], name=item.get("title") or ""), names)
    raise bad("messages", f"A tool's result of type {item['type']!r} cannot be sent to Bedrock. Nothing was sent.")


def _media(part: Media, names: _Names) -> dict[str, Any]:
    mime = part.mime_type or mimetypes.guess_type(part.url or part.name)[0] or ""
    form = _FORMATS[part.modality].get(mime.partition(";")[0])
    if part.base64:
        source: dict[str, Any] = {"bytes": part.base64}
    elif part.url.startswith("s3://"):
        source = {"s3Location": {"uri": part.url}}
    else:
        raise bad("messages", f"Bedrock takes an {part.modality} as its bytes or by an s3:// address. Nothing was sent.")
    if form is None:
        raise bad("messages", f"Bedrock takes no {part.modality} of type {mime or 'unknown'!r}. Nothing was sent.")
    if part.modality == "file":
        return {"document": {"format": form, "name": names.of(part), "source": source}}
    return {part.modality: {"format": form, "source": source}}


def write_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    written = []
    for tool in tools:
        schema = tool.get("parameters") or {"type": "object", "properties": {}}
        spec: dict[str, Any] = {"name": tool["name"], "inputSchema": {"json": schema}}
        if tool.get("description"):
            spec["description"] = tool["description"]
        if tool.get("strict"):
            spec["strict"] = True
        written.append({"toolSpec": spec})
    return written


def decode(data: bytes) -> Any:
    return msgspec.json.decode(data)
