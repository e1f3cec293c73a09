"""Gemini's contents, tools and usage ↔ ours. Source: Gemini API reference, v1beta GenerateContent, and Vertex v1 (November 2026).

Used by the face (a client's request in, our answer out) and by the provider (our request out, its answer in). Google's JSON takes
camelCase and snake_case alike; both are read, camelCase is written.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Callable
from typing import Any

import msgspec

from genwright.gateway.wire.openai import as_text, bad
from genwright.messages import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage
from genwright.vocab import new_id

DIALECT = "gemini"
SIGNED = "gemini:"
"""Stands before a thoughtSignature in Reasoning.signature: only Gemini gets it back."""
OURS = "gwcall_"
"""Begins the id of a call that Gemini gave none; it is not sent back."""
FINISH = {
    "STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter", "LANGUAGE": "content_filter", "MODEL_ARMOR": "content_filter",
}  # fmt: skip
STOP = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_SNAKE = re.compile(r"_([a-z0-9])")


def read_signature(given: str) -> str:
    """A client's thoughtSignature as ours: Gemini's own, or another maker's that `foreign` had wrapped."""
    try:
        unwrapped = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_" if set(given) & set("-_") else None)
    except ValueError:
        unwrapped = b""
    return unwrapped[len(_WRAPPED) :].decode("utf-8", "replace") if unwrapped.startswith(_WRAPPED) else SIGNED + given


def foreign(signature: str) -> str:
    """Another maker's signature in the form of Google's, so that clients carry it: it comes back to its maker."""
    return base64.b64encode(_WRAPPED + signature.encode()).decode()


_WRAPPED = b"genwright:"


def camel(fields: dict[str, Any]) -> dict[str, Any]:
    """The same fields under their camelCase names; values are left alone."""
    return {_SNAKE.sub(lambda found: found[1].upper(), name): value for name, value in fields.items()}


# --- in


def read_messages(system: Any, contents: list[Any]) -> list[Message]:
    """Raises Invalid naming `contents[i].parts[j]`."""
    messages = []
    if system is not None:
        parts = _parts(system, "systemInstruction")
        read = [_read(part, f"systemInstruction.parts[{n}]", {}) for n, part in enumerate(parts)]
        messages.append(Message("system", read))
    names: dict[str, list[str]] = {}
    for number, item in enumerate(contents):
        where = f"contents[{number}]"
        read = [one for n, part in enumerate(_parts(item, where)) for one in _signed(part, f"{where}.parts[{n}]", names)]
        results: list[Part] = [part for part in read if isinstance(part, ToolResult)]
        others = _joined([part for part in read if not isinstance(part, ToolResult)])
        role = item.get("role") or "user"
        if role not in ("user", "model", "function", "tool"):
            raise bad(f"{where}.role", f"{where}.role is {role!r}; it must be user or model.")
        if results:
            messages.append(Message("tool", results))
        if others or not results:
            messages.append(Message("assistant" if role == "model" else "user", others))
    return messages


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, dict):
        parts = [parts]
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise bad(f"{where}.parts", f"{where}.parts must be a list of parts.")
    return parts


def _signed(part: Any, where: str, names: dict[str, list[str]]) -> list[Part]:
    """A part, with its signature as a reasoning part: in front of a call, behind a text."""
    read = _read(part, where, names)
    given = camel(part).get("thoughtSignature") if isinstance(part, dict) else None
    if not given or isinstance(read, Reasoning | ToolResult):
        return [read]
    signature = Reasoning("", read_signature(given))
    return [signature, read] if isinstance(read, ToolCall) else [read, signature]


def _read(part: dict[str, Any], where: str, names: dict[str, list[str]]) -> Part:
    """`names`: function → ids of its calls that have no response yet, where the caller gave no ids."""
    part = camel(part)
    try:
        for kind, read in _KINDS.items():
            if kind in part:
                return read(part, names)
    except (KeyError, TypeError, AttributeError):
        raise bad(where, f"{where} is no part as Gemini's reference describes it.") from None
    if part.get("thoughtSignature"):
        return Reasoning("", read_signature(part["thoughtSignature"]))
    raise bad(where, f"{where} must hold one of {', '.join(_KINDS)}; it holds {', '.join(part) or 'nothing'}.")


def _read_text(part: dict[str, Any], names: dict[str, list[str]]) -> Part:
    text, signature = part["text"], part.get("thoughtSignature") or ""
    if not isinstance(text, str):
        raise TypeError
    if part.get("thought"):
        return Reasoning(text, signature and read_signature(signature))
    return Text(text) if text or not signature else Reasoning("", read_signature(signature))


def _read_call(part: dict[str, Any], names: dict[str, list[str]]) -> Part:
    call = part["functionCall"]
    id_ = call.get("id") or f"{OURS}{sum(map(len, names.values()))}_{call['name']}"
    names.setdefault(call["name"], []).append(id_)
    return ToolCall(id_, call["name"], call.get("args") or {})


def _read_response(part: dict[str, Any], names: dict[str, list[str]]) -> Part:
    given = part["functionResponse"]
    open_ids = names.get(given["name"]) or [given["name"]]
    id_ = given.get("id") or open_ids[0]
    if id_ in open_ids and len(open_ids) > 1:
        open_ids.remove(id_)
    response = given.get("response")
    if isinstance(response, dict) and response.keys() == {"output"}:
        response = response["output"]
    return ToolResult(id_, response)


def _read_inline(part: dict[str, Any], names: dict[str, list[str]]) -> Part:
    data = camel(part["inlineData"])
    mime = data["mimeType"]
    return Media(_modality(mime), mime_type=mime, base64=data["data"], name=data.get("displayName") or "")


def _read_file(part: dict[str, Any], names: dict[str, list[str]]) -> Part:
    data = camel(part["fileData"])
    mime = data.get("mimeType") or ""
    return Media(_modality(mime), mime_type=mime, url=data["fileUri"])


def _modality(mime: str) -> Any:
    first = mime.partition("/")[0]
    return first if first in ("image", "audio", "video") else "file"


def _opaque(part: dict[str, Any], names: dict[str, list[str]]) -> Part:
    """Code that Gemini ran itself, and what came of it: shown as text to everybody else."""
    return Text(as_text(part.get("executableCode") or part.get("codeExecutionResult")))


_KINDS: dict[str, Callable[[dict[str, Any], dict[str, list[str]]], Part]] = {
    "text": _read_text,
    "functionCall": _read_call,
    "functionResponse": _read_response,
    "inlineData": _read_inline,
    "fileData": _read_file,
    "executableCode": _opaque,
    "codeExecutionResult": _opaque,
}


def read_answer(parts: list[dict[str, Any]]) -> list[Part]:
    """Parts of a candidate. A tool call's signature becomes a reasoning part in front of it."""
    read: list[Part] = []
    for part in parts:
        signature = part.get("thoughtSignature") or ""
        if "functionCall" in part:
            call = part["functionCall"]
            if signature:
                read.append(Reasoning("", SIGNED + signature))
            read.append(ToolCall(call.get("id") or new_id(OURS[:-1]), call["name"], call.get("args") or {}))
        elif part.keys() & _KINDS.keys():
            read.append(_read(part, "parts", {}))
            if signature and isinstance(read[-1], Text | Media):
                read.append(Reasoning("", SIGNED + signature))
        elif signature:
            read.append(Reasoning("", SIGNED + signature))
    return _joined(read)


def _joined(parts: list[Part]) -> list[Part]:
    """Empty texts left out, neighbours of one kind put together; a signature ends its reasoning."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, Text) and isinstance(last, Text):
            out[-1] = Text(last.content + part.content)
        elif isinstance(part, Reasoning) and isinstance(last, Reasoning) and not last.signature:
            out[-1] = Reasoning(last.content + part.content, part.signature)
        elif not (isinstance(part, Text) and not part.content):
            out.append(part)
    return out


def read_tools(tools: list[Any]) -> list[dict[str, Any]]:
    """Function declarations as {"name", "description", "parameters"}; Google's own tools keep their name as `type`."""
    read = []
    for number, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise bad(f"tools[{number}]", f"tools[{number}] must be an object.")
        for kind, value in camel(tool).items():
            if kind != "functionDeclarations":
                read.append({"name": kind, "type": kind})
                continue
            read += [_read_declaration(item, f"tools[{number}].functionDeclarations[{n}]") for n, item in enumerate(value)]
    return read


def _read_declaration(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise bad(f"{where}.name", f"{where}.name is missing.")
    item = camel(item)
    schema = item.get("parametersJsonSchema") or json_schema(item.get("parameters") or {})
    return {"name": item["name"], "description": item.get("description") or "", "parameters": schema}


def json_schema(schema: Any) -> Any:
    """Google's form of a schema (types in capitals, `nullable`) as JSON Schema."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for name, value in camel(schema).items():
        if name == "type" and isinstance(value, str):
            out[name] = value.lower()
        elif name == "properties" and isinstance(value, dict):
            out[name] = {key: json_schema(item) for key, item in value.items()}
        elif name in ("items", "anyOf"):
            out[name] = json_schema(value)
        elif name not in ("propertyOrdering", "nullable"):
            out[name] = value
    if schema.get("nullable") and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


def read_usage(usage: dict[str, Any] | None) -> Usage | None:
    """Gemini counts thoughts beside candidatesTokenCount, and what its own tools read beside promptTokenCount."""
    if not usage:
        return None
    thoughts = usage.get("thoughtsTokenCount") or 0
    asked = (usage.get("promptTokenCount") or 0) + (usage.get("toolUsePromptTokenCount") or 0)
    given = (usage.get("candidatesTokenCount") or 0) + thoughts
    return Usage(asked, given, usage.get("cachedContentTokenCount") or 0, 0, thoughts)


def read_logprobs(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """logprobsResult as OpenAI writes log probabilities."""
    result = result or {}
    tops = [top.get("candidates") or [] for top in result.get("topCandidates") or []]
    read = []
    for number, chosen in enumerate(result.get("chosenCandidates") or []):
        others = tops[number] if number < len(tops) else []
        read.append({**_logprob(chosen), "top_logprobs": [_logprob(other) for other in others]})
    return read


def _logprob(item: dict[str, Any]) -> dict[str, Any]:
    token = item.get("token") or ""
    return {"token": token, "logprob": item.get("logProbability") or 0.0, "bytes": list(token.encode())}


# --- out


def write_messages(messages: list[Message]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(system parts, contents): neighbours of one role are joined, tool results belong to the user."""
    system: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        parts = write_parts(message.parts, names)
        if message.role in ("system", "developer"):
            system += parts
            continue
        role = "model" if message.role == "assistant" else "user"
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
    return system, contents


def write_parts(parts: list[Part], names: dict[str, str], thoughts: bool = False) -> list[dict[str, Any]]:
    """`names`: id of a tool call → its function, filled and used. `thoughts`: reasoning is shown (an answer), not only signed."""
    written: list[dict[str, Any]] = []
    signature = ""
    for number, part in enumerate(parts):
        if isinstance(part, Reasoning):
            own = part.signature.startswith(SIGNED)
            if thoughts and (part.content or (part.signature and not own)):
                shown: dict[str, Any] = {"text": part.content, "thought": True}
                written.append(shown if own or not part.signature else {**shown, "thoughtSignature": foreign(part.signature)})
            if own:
                signature = part.signature.removeprefix(SIGNED)
                before_call = number + 1 < len(parts) and isinstance(parts[number + 1], ToolCall)
                if not part.content and not before_call and written and "text" in written[-1]:
                    written[-1]["thoughtSignature"], signature = signature, ""  # it came at the end of its text
        elif not (isinstance(part, Text) and not part.content):
            out = _write(part, names)
            if signature and isinstance(part, Text | ToolCall):
                out["thoughtSignature"], signature = signature, ""
            written.append(out)
    return written


def _write(part: Part, names: dict[str, str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.content}
    if isinstance(part, ToolCall):
        names[part.id] = part.name
        given = (
            part.arguments if isinstance(part.arguments, dict) else {"text": as_text(part.arguments)} if part.arguments else {}
        )
        return {"functionCall": {**_id(part.id), "name": part.name, "args": given}}
    if isinstance(part, ToolResult):
        response = part.response if isinstance(part.response, dict) else {"output": _plain(part.response)}
        return {"functionResponse": {**_id(part.id), "name": names.get(part.id, part.id), "response": response}}
    assert isinstance(part, Media)
    return _write_media(part)


def _id(id_: str) -> dict[str, str]:
    return {} if not id_ or id_.startswith(OURS) else {"id": id_}


def _plain(response: Any) -> Any:
    """A list of text blocks as one text; others as they are."""
    if isinstance(response, list) and response and all(isinstance(item, dict) and "text" in item for item in response):
        return "".join(item["text"] for item in response)
    if isinstance(response, list) and any(
        isinstance(item, dict) and item.get("type") in ("image", "document") for item in response
    ):
        raise bad("messages", "A tool's result with an image cannot be sent to a provider of Gemini's dialect. Nothing was sent.")
    return response


def _write_media(part: Media) -> dict[str, Any]:
    mime = part.mime_type or mimetypes.guess_type(part.url or part.name)[0] or _USUAL.get(part.modality, "")
    if part.base64:
        return {"inlineData": {"mimeType": mime, "data": part.base64}}
    if part.url.startswith(("https://", "http://", "gs://")):
        return {"fileData": {"mimeType": mime, "fileUri": part.url}}
    raise bad("messages", f"This {part.modality} part cannot be sent to a provider of Gemini's dialect. Nothing was sent.")


_SHOWN = ("image", "document")
_USUAL = {"image": "image/jpeg", "audio": "audio/wav", "video": "video/mp4", "file": "application/pdf"}


def write_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    declared = []
    for tool in tools:
        item: dict[str, Any] = {"name": tool["name"], "description": tool.get("description") or ""}
        if tool.get("parameters"):
            item["parametersJsonSchema"] = tool["parameters"]
        declared.append(item)
    return [{"functionDeclarations": declared}]


def write_usage(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    out = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    if usage.cached_tokens:
        out["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        out["thoughtsTokenCount"] = usage.reasoning_tokens
    return out


def write_logprobs(logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    def one(item: dict[str, Any]) -> dict[str, Any]:
        return {"token": item["token"], "logProbability": item["logprob"]}

    return {
        "chosenCandidates": [one(item) for item in logprobs],
        "topCandidates": [{"candidates": [one(other) for other in item.get("top_logprobs") or []]} for item in logprobs],
    }


def decode_events(data: bytes) -> dict[str, Any]:
    """One event of a stream, or one whole answer."""
    decoded = msgspec.json.decode(data)
    return decoded[0] if isinstance(decoded, list) else decoded
