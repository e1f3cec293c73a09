"""OpenAI's chat messages, tools and usage ↔ ours. Source: OpenAI API reference, chat completions (November 2026).

Used by the face (a client's request in, our answer out) and by the providers that speak it (our request out, their answer in).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.gateway.types import REDACTED, arguments
from genwright.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage

DIALECT = "openai"
USAGE = "usage"
"""Name given to a stream's event that holds nothing but the usage."""
DONE = "done"
"""And to its end mark."""
PARAMETERS = frozenset((
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n", "presence_penalty", "frequency_penalty",
    "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "logprobs", "top_logprobs", "logit_bias",
    "verbosity", "service_tier", "prompt_cache_key", "safety_identifier",
))  # fmt: skip
"""What a chat may ask beside messages and tools: the names under which `Call.parameters` holds it."""


UNSUPPORTED = "unsupported_field"
"""Code of an Invalid for a field the provider's dialect cannot say; with `drop_params` it is left out instead."""


def unsupported(param: str, service: str = "") -> Invalid:
    """A field that is right in the caller's dialect and has no counterpart in the provider's."""
    whose = service or "the dialect this model is reached by"
    return Invalid(f"{param} has no counterpart in {whose}. Nothing was sent.", code=UNSUPPORTED, param=param)


def bad(param: str, message: str) -> Invalid:
    """An Invalid that names the field, for the face's `param`."""
    return Invalid(message, code="invalid_field", param=param)


# --- in


def read_messages(items: list[dict[str, Any]]) -> list[Message]:
    """Raises Invalid naming `messages[i]…`."""
    return [_read_message(item, index) for index, item in enumerate(items)]


def _read_message(item: dict[str, Any], index: int) -> Message:
    role, content = item.get("role"), item.get("content")
    where = f"messages[{index}]"
    if role == "tool":
        return Message("tool", [ToolResult(_tool_id(item, where), _read_tool_content(content, where))])
    if role == "function":
        return Message("tool", [ToolResult(str(item.get("name", "")), content)])
    if role not in ("system", "developer", "user", "assistant"):
        raise bad(f"{where}.role", f"{where}.role is {role!r}; it must be system, developer, user, assistant or tool.")
    parts: list[Part] = []
    parts += _read_reasoning(item)
    if isinstance(content, str):
        parts.append(Text(content))
    elif isinstance(content, list):
        parts += [_read_part(part, f"{where}.content[{number}]") for number, part in enumerate(content)]
    elif content is not None:
        raise bad(f"{where}.content", f"{where}.content must be text or a list of parts.")
    elif role != "assistant":
        raise bad(f"{where}.content", f"{where}.content is missing.")
    calls = item.get("tool_calls") or []
    if not isinstance(calls, list):
        raise bad(f"{where}.tool_calls", f"{where}.tool_calls must be a list of tool calls.")
    for number, call in enumerate(calls):
        parts.append(_read_tool_call(call, f"{where}.tool_calls[{number}]"))
    return Message(role, parts, name=item.get("name") or "")


def _read_reasoning(item: dict[str, Any]) -> list[Part]:
    """Reasoning that goes back: with signatures as OpenRouter (reasoning_details) or LiteLLM (thinking_blocks) write them."""
    blocks = item.get("reasoning_details") or item.get("thinking_blocks")
    if isinstance(blocks, list) and all(isinstance(block, dict) for block in blocks):
        return [_read_thought(block) for block in blocks]
    reasoning = item.get("reasoning_content") or item.get("reasoning")
    return [Reasoning(reasoning)] if isinstance(reasoning, str) else []


def _read_thought(block: dict[str, Any]) -> Reasoning:
    if isinstance(block.get("data"), str):
        return Reasoning("", REDACTED + block["data"])
    text = block.get("text") or block.get("thinking") or block.get("summary") or ""
    return Reasoning(str(text), str(block.get("signature") or ""))


def signature_of(details: list[dict[str, Any]]) -> str:
    """The signature in a stream's reasoning_details, if one came."""
    return "".join(_read_thought(block).signature for block in details if isinstance(block, dict))


def write_signature(signature: str) -> dict[str, Any]:
    """An entry of reasoning_details for it."""
    if signature.startswith(REDACTED):
        return {"type": "reasoning.encrypted", "data": signature.removeprefix(REDACTED)}
    return {"type": "reasoning.text", "text": "", "signature": signature}


def write_reasoning(parts: list[Part]) -> dict[str, Any]:
    """reasoning_content for those who read, and reasoning_details where a signature has to come back."""
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    out: dict[str, Any] = {}
    if text := "".join(part.content for part in thoughts):
        out["reasoning_content"] = text
    if any(part.signature for part in thoughts):
        out["reasoning_details"] = [{**write_signature(part.signature), **({"text": part.content} if part.content else {})}
                                    for part in thoughts]  # fmt: skip
    return out


def _tool_id(item: dict[str, Any], where: str) -> str:
    id_ = item.get("tool_call_id")
    if not isinstance(id_, str):
        raise bad(f"{where}.tool_call_id", f"{where}.tool_call_id is missing: a tool message answers one tool call.")
    return id_


def _read_tool_content(content: Any, where: str) -> Any:
    if isinstance(content, list):
        return "".join(_read_text(part, f"{where}.content[{number}]") for number, part in enumerate(content))
    if not isinstance(content, str):
        raise bad(f"{where}.content", f"{where}.content must be text or a list of text parts.")
    return content


def _read_text(part: Any, where: str) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise bad(where, f"{where} must be a text part.")
    return text


def _read_tool_call(call: Any, where: str) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return ToolCall(str(call.get("id") or ""), function["name"], arguments(function.get("arguments") or ""))
    custom = call.get("custom") if isinstance(call, dict) else None
    if isinstance(custom, dict) and isinstance(custom.get("name"), str):
        return ToolCall(str(call.get("id") or ""), custom["name"], custom.get("input"))
    raise bad(where, f"{where} must be a function call with a name.")


def _read_part(part: Any, where: str) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise bad(f"{where}.type", f"{where}.type is {kind!r}; it must be one of {', '.join(_PARTS)}.")
    try:
        return read(part)
    except (KeyError, TypeError, AttributeError):
        raise bad(where, f"{where} is no {kind} part as OpenAI's reference describes it.") from None


def _text_part(part: dict[str, Any]) -> Part:
    if not isinstance(part["text"], str):
        raise TypeError
    return Text(part["text"])


def _refusal_part(part: dict[str, Any]) -> Part:
    return Text(part["refusal"])


def _image_part(part: dict[str, Any]) -> Part:
    image = part["image_url"]
    if isinstance(image, str):
        return media("image", image)
    detail = image.get("detail") or ""
    return msgspec.structs.replace(media("image", image["url"]), detail="" if detail == "auto" else detail)


def _audio_part(part: dict[str, Any]) -> Part:
    audio = part["input_audio"]
    return Media("audio", mime_type=f"audio/{audio['format']}", base64=audio["data"])


def _file_part(part: dict[str, Any]) -> Part:
    file = part["file"]
    if "file_id" in file:
        return Media("file", url=f"file_id:{file['file_id']}", name=file.get("filename", ""))
    return msgspec.structs.replace(media("file", file["file_data"]), name=file.get("filename", ""))


def media(modality: Any, url: str) -> Media:
    """From an address, or inline from a data: URL."""
    if url.startswith("data:"):
        head, _, data = url.removeprefix("data:").partition(",")
        return Media(modality, mime_type=head.partition(";")[0], base64=data)
    return Media(modality, url=url)


_PARTS: dict[str, Callable[[dict[str, Any]], Part]] = {
    "text": _text_part,
    "refusal": _refusal_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "file": _file_part,
}


def read_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Function and custom tools as {"name", "description", "parameters"}."""
    read = []
    for number, tool in enumerate(tools):
        kind = tool.get("type", "function")
        definition = tool.get(kind) if isinstance(kind, str) else None
        if not isinstance(definition, dict) or not isinstance(definition.get("name"), str):
            raise bad(f"tools[{number}]", f"tools[{number}] must be {{'type': 'function', 'function': {{'name': …}}}}.")
        read.append({"description": "", "parameters": {}, **definition, **({"type": kind} if kind != "function" else {})})
    return read


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """Some providers (xAI) count reasoning beside completion_tokens: then the total says so."""
    if not usage:
        return None
    details = usage.get("completion_tokens_details") or {}
    cached = usage.get("prompt_tokens_details") or {}
    asked, given = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    reasoning = details.get("reasoning_tokens") or 0
    if reasoning and usage.get("total_tokens") == asked + given + reasoning:
        given += reasoning
    # DeepSeek names its cache hits differently.
    hits = cached.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
    return Usage(asked, given, hits, cached.get("cache_write_tokens") or 0, reasoning)


# --- out


def write_messages(messages: list[Message]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        written += [{"role": "tool", "tool_call_id": part.id, "content": result_text(part.response)} for part in results]
        if len(results) < len(message.parts) or not results:
            written.append(_write_message(message))
    return written


def _write_message(message: Message) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message.role}
    if message.name:
        out["name"] = message.name
    texts = [part for part in message.parts if isinstance(part, Text)]
    media = [part for part in message.parts if isinstance(part, Media)]
    calls = message.tool_calls
    if media:
        shown = [part for part in message.parts if isinstance(part, Text | Media)]
        out["content"] = [{"type": "text", "text": p.content} if isinstance(p, Text) else _write_media(p) for p in shown]
    else:
        out["content"] = "".join(part.content for part in texts) if texts or not calls else None
    if calls:
        out["tool_calls"] = [write_tool_call(call) for call in calls]
    return out | write_reasoning(message.parts)


def result_text(response: Any) -> str:
    """A tool's result as text. Raises Invalid for images and files in it, which OpenAI takes only from users."""
    if isinstance(response, list) and any(isinstance(item, dict) and item.get("type", "text") != "text" for item in response):
        raise bad("messages", "A tool's result with more than text cannot be sent to this model. Nothing was sent.")
    return as_text(response)


ADDRESS = re.compile(r"https?://|data:|gs://|s3://", re.IGNORECASE)


def url_of(part: Media) -> str:
    """Its address, or its content as one. Raises Invalid for what only its own provider understands."""
    if part.base64:
        return f"data:{part.mime_type};base64,{part.base64}"
    if not ADDRESS.match(part.url):
        what = part.name if part.modality == "file" and part.name else part.modality
        raise bad(
            "messages", f"A part '{what}' is known to its own provider only and cannot be sent to this model. Nothing was sent."
        )
    return part.url


def _write_media(part: Media) -> dict[str, Any]:
    if part.modality == "file" and part.url.startswith("file_id:"):
        return {"type": "file", "file": {"file_id": part.url.removeprefix("file_id:")}}
    url = url_of(part)
    if part.modality == "image":
        return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
    if part.modality == "audio" and part.base64:
        return {"type": "input_audio", "input_audio": {"data": part.base64, "format": part.mime_type.partition("/")[2]}}
    if part.modality == "file" and part.base64:
        return {"type": "file", "file": {"filename": part.name or "file", "file_data": url}}
    raise bad("messages", f"A {part.modality} part cannot be sent to a provider of OpenAI's dialect. Nothing was sent.")


def write_tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": as_text(call.arguments)}}


def write_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "function", "function": tool} for tool in tools]


def write_usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            **({"cache_write_tokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}),
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
