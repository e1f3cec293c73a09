"""OpenAI's Responses items, tools and usage ↔ ours. Source: OpenAI API reference, Responses (November 2026).

Items that have no neutral form (calls of hosted tools) ride along as a file part with their JSON, and go back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from genwright.gateway.types import arguments
from genwright.gateway.wire.openai import as_text, bad, media, result_text, url_of
from genwright.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage

DIALECT = "responses"
PARTS = ("input", "instructions")
"""Fields of a request that hold messages."""
OPENAI = "openai:"
"""In front of a signature that OpenAI made, as others carry their maker's name."""
_OURS = "gw:"
"""In front of encrypted_content that is another maker's signature."""
_OPAQUE = "responses:"


# --- in


def read_input(given: Any, instructions: Any = None) -> list[Message]:
    """Messages of `input` after those of `instructions`. Raises Invalid naming `input[i]…`."""
    messages = [Message("system", [Text(instructions)])] if instructions else []
    if isinstance(given, str):
        return [*messages, Message("user", [Text(given)])]
    if not isinstance(given, list):
        raise bad("input", "input must be text or a list of items. Nothing was sent.")
    for index, item in enumerate(given):
        _add(messages, item, f"input[{index}]")
    return messages


def _add(messages: list[Message], item: Any, where: str) -> None:
    """Reasoning, text and calls of one turn become one message."""
    if not isinstance(item, dict):
        raise bad(where, f"{where} must be an item. Nothing was sent.")
    kind = item.get("type") or "message"
    if kind == "message":
        role = item.get("role")
        if role not in ("system", "developer", "user", "assistant"):
            raise bad(
                f"{where}.role", f"{where}.role is {role!r}; it must be system, developer, user or assistant. Nothing was sent."
            )
        _join(messages, role, _read_content(item.get("content"), f"{where}.content"))
    elif kind == "function_call_output":
        messages.append(Message("tool", [_read_output(item, where)]))
    elif kind == "item_reference":
        raise bad(where, f"{where} refers to an item that is not kept here. Send the item itself. Nothing was sent.")
    else:
        _join(messages, "assistant", [_read_item(item, kind, where)])


def _join(messages: list[Message], role: Any, parts: list[Part]) -> None:
    last = messages[-1] if messages else None
    if last is not None and role == "assistant" == last.role:
        said = any(isinstance(part, Text | ToolCall) for part in last.parts)
        if not said or all(isinstance(part, ToolCall) for part in parts):
            messages[-1] = Message("assistant", [*last.parts, *parts])
            return
    messages.append(Message(role, parts))


def _read_item(item: dict[str, Any], kind: str, where: str) -> Part:
    try:
        if kind == "function_call":
            return ToolCall(item["call_id"], item["name"], arguments(item.get("arguments") or ""))
        if kind == "reasoning":
            text = "".join(part["text"] for part in [*(item.get("summary") or []), *(item.get("content") or [])])
            return Reasoning(text, _read_signature(item.get("encrypted_content") or ""))
    except (KeyError, TypeError, AttributeError):
        raise bad(where, f"{where} is no {kind} as OpenAI's reference describes it. Nothing was sent.") from None
    return Media("file", name=kind, url=_OPAQUE + as_text(item))


def _read_signature(encrypted: str) -> str:
    if not encrypted:
        return ""
    return encrypted.removeprefix(_OURS) if encrypted.startswith(_OURS) else OPENAI + encrypted


def _read_output(item: dict[str, Any], where: str) -> ToolResult:
    id_, output = item.get("call_id"), item.get("output")
    if not isinstance(id_, str):
        raise bad(f"{where}.call_id", f"{where}.call_id is missing. Nothing was sent.")
    if isinstance(output, list) and all(isinstance(part, dict) and part.get("type") == "input_text" for part in output):
        output = "".join(str(part.get("text") or "") for part in output)
    if not isinstance(output, str):
        raise bad(f"{where}.output", f"{where}.output must be text or text parts here. Nothing was sent.")
    return ToolResult(id_, output)


def _read_content(content: Any, where: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise bad(where, f"{where} must be text or a list of parts. Nothing was sent.")
    return [_read_part(part, f"{where}[{number}]") for number, part in enumerate(content)]


def _read_part(part: Any, where: str) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise bad(f"{where}.type", f"{where}.type is {kind!r}; it must be one of {', '.join(_PARTS)}. Nothing was sent.")
    try:
        return read(part)
    except (KeyError, TypeError, AttributeError):
        raise bad(where, f"{where} is no {kind} as OpenAI's reference describes it. Nothing was sent.") from None


def _text_part(part: dict[str, Any]) -> Part:
    if not isinstance(part["text"], str):
        raise TypeError
    return Text(part["text"])


def _image_part(part: dict[str, Any]) -> Part:
    if part.get("file_id"):
        return Media("image", url=f"file_id:{part['file_id']}")
    detail = part.get("detail") or ""
    return msgspec.structs.replace(media("image", part["image_url"]), detail="" if detail == "auto" else detail)


def _file_part(part: dict[str, Any]) -> Part:
    if part.get("file_id"):
        return Media("file", url=f"file_id:{part['file_id']}", name=part.get("filename") or "")
    if part.get("file_url"):
        return Media("file", url=part["file_url"], name=part.get("filename") or "")
    return msgspec.structs.replace(media("file", part["file_data"]), name=part.get("filename") or "")


def _audio_part(part: dict[str, Any]) -> Part:
    audio = part["input_audio"]
    return Media("audio", mime_type=f"audio/{audio['format']}", base64=audio["data"])


_PARTS: dict[str, Callable[[dict[str, Any]], Part]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "refusal": lambda part: Text(part["refusal"]),
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}


def read_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Functions as {"name", "description", "parameters", "strict"}; any other tool keeps its `type`."""
    read = []
    for number, tool in enumerate(tools):
        kind = tool.get("type")
        if kind == "function":
            if not isinstance(tool.get("name"), str):
                raise bad(f"tools[{number}].name", f"tools[{number}].name is missing. Nothing was sent.")
            known = {name: value for name, value in tool.items() if name != "type" and value is not None}
            read.append({"description": "", "parameters": {}, **known})
        else:
            read.append({"name": str(tool.get("name") or kind), "description": "", "parameters": {}, "type": str(kind)})
    return read


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    if not usage:
        return None
    read = usage.get("input_tokens_details") or {}
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    cached, written = read.get("cached_tokens") or 0, read.get("cache_write_tokens") or 0
    return Usage(usage.get("input_tokens") or 0, usage.get("output_tokens") or 0, cached, written, reasoning)


def read_output(items: list[dict[str, Any]]) -> list[Part]:
    """Parts of an answer's output."""
    messages: list[Message] = []
    for index, item in enumerate(items):
        _add(messages, {**item, "role": "assistant"} if item.get("type") == "message" else item, f"output[{index}]")
    return [part for message in messages for part in message.parts]


# --- out


def write_input(messages: list[Message]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, Text | Media) and not (isinstance(part, Media) and part.url.startswith(_OPAQUE)):
                parts.append(part)
                continue
            _write_message(message.role, parts, items)
            parts = []
            item = write_item(part)
            if item is not None:
                items.append(item)
        _write_message(message.role, parts, items)
    return items


def _write_message(role: str, parts: list[Part], items: list[dict[str, Any]]) -> None:
    if not parts:
        return
    if all(isinstance(part, Text) for part in parts):
        content: Any = "".join(part.content for part in parts if isinstance(part, Text))
    else:
        content = [{"type": "input_text", "text": part.content} if isinstance(part, Text) else _write_media(part)
                   for part in parts if isinstance(part, Text | Media)]  # fmt: skip
    items.append({"role": role, "content": content})


def write_item(part: Part) -> dict[str, Any] | None:
    """A part that is an item by itself; None for reasoning that another maker has signed."""
    if isinstance(part, ToolCall):
        return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": as_text(part.arguments)}
    if isinstance(part, ToolResult):
        return {"type": "function_call_output", "call_id": part.id, "output": result_text(part.response)}
    if isinstance(part, Reasoning):
        if not part.signature.startswith(OPENAI):
            return None
        summary = [{"type": "summary_text", "text": part.content}] if part.content else []
        return {"type": "reasoning", "summary": summary, "encrypted_content": part.signature.removeprefix(OPENAI)}
    assert isinstance(part, Media)
    return msgspec.json.decode(part.url.removeprefix(_OPAQUE))


def write_signature(signature: str) -> str:
    """As encrypted_content."""
    return signature.removeprefix(OPENAI) if signature.startswith(OPENAI) else _OURS + signature


def _write_media(part: Media) -> dict[str, Any]:
    kind = f"input_{part.modality}"
    detail = {"detail": part.detail or "auto"} if part.modality == "image" else {}
    if part.url.startswith("file_id:") and part.modality in ("image", "file"):
        return {"type": kind, "file_id": part.url.removeprefix("file_id:"), **detail}
    url = url_of(part)
    if part.modality == "image":
        return {"type": kind, "image_url": url, **detail}
    if part.modality == "file":
        return (
            {"type": kind, "filename": part.name or "file", "file_data": url} if part.base64 else {"type": kind, "file_url": url}
        )
    raise bad("messages", f"A {part.modality} part cannot be sent to OpenAI's Responses. Nothing was sent.")


def write_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # A function that does not say is strict here, and not strict in other dialects.
    return [{"type": "function", "strict": False, **tool} for tool in tools]


def write_usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def write_format(given: dict[str, Any]) -> dict[str, Any]:
    """response_format of chat completions as text.format."""
    return {"type": "json_schema", **given["json_schema"]} if given.get("type") == "json_schema" else given


def read_format(given: dict[str, Any]) -> dict[str, Any]:
    """text.format as response_format."""
    if given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}


def write_choice(choice: Any) -> Any:
    """tool_choice of chat completions as here."""
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        return {"type": "function", "name": choice["function"].get("name")}
    return choice


def read_choice(choice: Any) -> Any:
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return choice
