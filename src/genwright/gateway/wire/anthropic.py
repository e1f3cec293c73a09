"""Anthropic's messages, tools, stop reasons and usage ↔ ours. Source: Anthropic API reference, Messages (version 2023-06-01).

Blocks that have no neutral form (server tools, search results) ride along as a file part with their JSON, and go back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from genwright.gateway.types import REDACTED
from genwright.gateway.wire.openai import as_text, bad, url_of
from genwright.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage

DIALECT = "anthropic"
FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length",
    "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}  # fmt: skip
STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_OPAQUE = "anthropic:"
IS_ERROR = "is_error"
"""Marks a tool's result that says it failed: other dialects get it as JSON with this field."""


# --- in


def read_messages(system: Any, items: list[dict[str, Any]]) -> list[Message]:
    """Raises Invalid naming `messages[i]…`."""
    messages = []
    if system:
        messages.append(Message("system", _read_blocks(system, "system")))
    for index, item in enumerate(items):
        role = item.get("role")
        if role not in ("user", "assistant", "system"):
            raise bad(f"messages[{index}].role", f"messages[{index}].role is {role!r}; it must be user or assistant.")
        if "content" not in item:
            raise bad(f"messages[{index}].content", f"messages[{index}].content is missing.")
        parts = _read_blocks(item["content"], f"messages[{index}].content")
        results = [part for part in parts if isinstance(part, ToolResult)]
        if results:
            messages.append(Message("tool", list(results)))
            parts = [part for part in parts if not isinstance(part, ToolResult)]
        if parts or not results:
            messages.append(Message(role, parts))
    return messages


def _read_blocks(content: Any, where: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise bad(where, f"{where} must be text or a list of blocks.")
    return [_read_block(block, f"{where}[{number}]") for number, block in enumerate(content)]


def _read_block(block: Any, where: str) -> Part:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        raise bad(f"{where}.type", f"{where} must be a block with a type.")
    try:
        return _BLOCKS.get(kind, _read_opaque)(block)
    except (KeyError, TypeError, AttributeError):
        raise bad(where, f"{where} is no {kind} block as Anthropic's reference describes it.") from None


def _read_text(block: dict[str, Any]) -> Part:
    if not isinstance(block["text"], str):
        raise TypeError
    return Text(block["text"])


def _read_opaque(block: dict[str, Any]) -> Part:
    return Media("file", name=block["type"], url=_OPAQUE + msgspec.json.encode(block).decode())


def _more(block: dict[str, Any], *known: str) -> bool:
    """Whether a block says what has no neutral form."""
    return any(value is not None for name, value in block.items() if name not in ("type", "cache_control", *known))


def _read_image(block: dict[str, Any]) -> Part:
    source = block["source"]
    if _more(block, "source"):
        return _read_opaque(block)
    if source["type"] == "base64":
        return Media("image", mime_type=source["media_type"], base64=source["data"])
    return Media("image", url=source["url"]) if source["type"] == "url" else _read_opaque(block)


def _read_document(block: dict[str, Any]) -> Part:
    source = block["source"]
    if source["type"] == "base64" and not _more(block, "source", "title"):
        return Media("file", mime_type=source["media_type"], base64=source["data"], name=block.get("title") or "")
    return _read_opaque(block)


def _read_result(block: dict[str, Any]) -> Part:
    content = block.get("content", "")
    if isinstance(content, list) and all(isinstance(item, dict) and item.get("type") == "text" for item in content):
        content = "".join(item["text"] for item in content)
    return ToolResult(block["tool_use_id"], {IS_ERROR: True, "content": content} if block.get("is_error") else content)


_BLOCKS: dict[str, Callable[[dict[str, Any]], Part]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "tool_use": lambda block: ToolCall(block["id"], block["name"], block.get("input")),
    "tool_result": _read_result,
    "thinking": lambda block: Reasoning(block["thinking"], block.get("signature") or ""),
    "redacted_thinking": lambda block: Reasoning("", REDACTED + block["data"]),
}


_TOOL = ("name", "description", "input_schema", "type", "strict", "cache_control")


def read_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Client tools as {"name", "description", "parameters"}; a server tool keeps its `type`."""
    read = []
    for number, tool in enumerate(tools):
        if not isinstance(tool.get("name"), str):
            raise bad(f"tools[{number}].name", f"tools[{number}].name is missing.")
        neutral = {
            "name": tool["name"],
            "description": tool.get("description") or "",
            "parameters": tool.get("input_schema") or {},
        }
        if tool.get("type", "custom") not in ("custom", None):
            neutral["type"] = tool["type"]
        elif more := [name for name in tool if name not in _TOOL and tool[name] is not None]:
            neutral["type"] = f"a tool with {more[0]}"
        if tool.get("strict") is not None:
            neutral["strict"] = tool["strict"]
        read.append(neutral)
    return read


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """Anthropic counts cached tokens beside input_tokens, we within them."""
    if not usage:
        return None
    hits, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return Usage((usage.get("input_tokens") or 0) + hits + written, usage.get("output_tokens") or 0, hits, written)


def read_content(blocks: list[dict[str, Any]]) -> list[Part]:
    """Content of an answer."""
    return _read_blocks(blocks, "content")


# --- out


FOREIGN = re.compile(r"(?!redacted:)[a-z]+:|\Z")
"""Signatures of other makers have their name in front; reasoning without any signature is not Anthropic's either."""


def write_messages(messages: list[Message]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(system blocks, messages): neighbours of one role are joined, tool results belong to the user.

    Reasoning of other makers is left out: Anthropic takes back only what it has signed.
    """
    system: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    for message in messages:
        blocks = [write_block(part) for part in message.parts if _sent(part)]
        if message.role in ("system", "developer"):
            system += blocks
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if written and written[-1]["role"] == role:
            written[-1]["content"] += blocks
        elif blocks:
            written.append({"role": role, "content": blocks})
    return system, written


def _sent(part: Part) -> bool:
    if isinstance(part, Reasoning):
        return FOREIGN.match(part.signature) is None
    return not isinstance(part, Text) or bool(part.content)


def write_block(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.content}
    if isinstance(part, ToolCall):
        given = (
            part.arguments if isinstance(part.arguments, dict) else {"text": as_text(part.arguments)} if part.arguments else {}
        )
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": given}
    if isinstance(part, ToolResult):
        given, failed = part.response, {}
        if isinstance(given, dict) and given.keys() == {IS_ERROR, "content"}:
            given, failed = given["content"], {IS_ERROR: True}
        content = given if isinstance(given, (str, list)) else as_text(given)
        return {"type": "tool_result", "tool_use_id": part.id, "content": content, **failed}
    if isinstance(part, Reasoning):
        if part.signature.startswith(REDACTED):
            return {"type": "redacted_thinking", "data": part.signature.removeprefix(REDACTED)}
        return {"type": "thinking", "thinking": part.content, "signature": part.signature}
    return _write_media(part)


def _write_media(part: Media) -> dict[str, Any]:
    if part.url.startswith(_OPAQUE):
        return msgspec.json.decode(part.url.removeprefix(_OPAQUE))
    kind = {"image": "image", "file": "document"}.get(part.modality)
    if kind is None or part.url.startswith("file_id:"):
        raise bad("messages", f"This {part.modality} part cannot be sent to a provider of Anthropic's dialect. Nothing was sent.")
    title = {"title": part.name} if part.name and kind == "document" else {}
    if part.base64:
        return {"type": kind, "source": {"type": "base64", "media_type": part.mime_type, "data": part.base64}, **title}
    return {"type": kind, "source": {"type": "url", "url": url_of(part)}, **title}


def write_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    written = []
    for tool in tools:
        schema = tool.get("parameters") or {"type": "object", "properties": {}}
        strict = {"strict": tool["strict"]} if tool.get("strict") is not None else {}
        written.append({"name": tool["name"], "description": tool.get("description") or "", "input_schema": schema, **strict})
    return written


def write_usage(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
