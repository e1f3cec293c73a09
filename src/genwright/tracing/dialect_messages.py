"""What was said, out of a foreign span's attributes and events: messages in the form of OpenTelemetry 1.41, or plain data.

Read when a trace is shown, not when it is stored: the attributes stay as they came, and a dialect learned later helps old
spans too. Every reader returns None where it finds nothing of its own; malformed content is given back as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from genwright.messages import Message
from genwright.tracing.types import Event, Span

_ROLES = {"system", "developer", "user", "assistant", "tool"}
_ALIASES = {"model": "assistant", "ai": "assistant", "human": "user", "function": "tool", "bot": "assistant"}


def content(span: Span) -> tuple[Any, Any]:
    """(input, output) of a span: what its maker set, else what its attributes and events say."""
    if span.input is not None or span.output is not None:
        return span.input, span.output
    given = made = None
    for reader in READERS:
        new_given, new_made = reader(span.attributes, span.events)
        given = new_given if given is None else given
        made = new_made if made is None else made
        if given is not None and made is not None:
            break
    return given, made


def decoded(value: Any) -> Any:
    """JSON text as data; anything else as it is."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return value
    return value


def messages(value: Any, role: str = "user") -> Any:
    """A list of messages in our form where the value is one (in any of the usual forms), else the value."""
    value = decoded(value)
    if isinstance(value, dict):
        inner = value.get("messages")
        value = decoded(inner) if isinstance(inner, (list, str)) and inner else [value] if _is_message(value) else value
    if isinstance(value, list) and value and all(isinstance(item, dict) and _is_message(item) for item in value):
        return [message(item, role) for item in value]
    return value


def _is_message(item: dict[str, Any]) -> bool:
    return "message" in item or ("role" in item and any(key in item for key in ("parts", "content", "tool_calls")))


def message(item: dict[str, Any], role: str = "user") -> dict[str, Any]:
    """One message: OpenTelemetry 1.41 ({role, parts}), Google ({role, parts: [{text}]}), OpenAI ({role, content, tool_calls})."""
    if isinstance(item.get("message"), dict):  # a choice
        item = {**item["message"], **{key: item[key] for key in ("finish_reason",) if item.get(key)}}
    said = str(item.get("role") or role)
    result: dict[str, Any] = {"role": _ALIASES.get(said, said) if said not in _ROLES else said}
    result["parts"] = _parts(item)
    for key in ("name", "finish_reason"):
        if isinstance(item.get(key), str) and item[key]:
            result[key] = item[key]
    return result


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(item.get("parts"), list):
        return [_part(part) for part in item["parts"]]
    body = decoded(item.get("content"))
    answer_to = item.get("tool_call_id") or item.get("id") if item.get("role") == "tool" else None
    if answer_to:
        return [{"type": "tool_call_response", "id": str(answer_to), "response": body}]
    parts = [_part(part) for part in body] if isinstance(body, list) else []
    if not parts and body not in (None, ""):
        parts = [{"type": "text", "content": item["content"] if isinstance(item["content"], str) else as_text(body)}]
    calls = decoded(item.get("tool_calls"))
    return parts + [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else parts


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"type": "text", "content": as_text(part)}
    kind = part.get("type")
    if kind in ("text", "tool_call", "tool_call_response", "reasoning", "media") and ("content" in part or kind != "text"):
        return part
    if isinstance(part.get("text"), str):
        return {"type": "text", "content": part["text"]}
    if kind in ("tool-call", "tool_use", "function_call") or "function_call" in part:
        return _call(part.get("function_call") or part)
    if kind in ("tool-result", "tool_result") or "function_response" in part:
        inner = part.get("function_response") or part
        body = next((inner[key] for key in ("output", "result", "content", "response") if key in inner), None)
        return {
            "type": "tool_call_response",
            "id": str(inner.get("toolCallId") or inner.get("tool_use_id") or ""),
            "response": body,
        }
    url = part.get("image_url") or part.get("image")
    if url:
        return {"type": "media", "modality": "image", "url": url.get("url", "") if isinstance(url, dict) else str(url)}
    return {"type": "text", "content": as_text(part)}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
    name = inner.get("name") or inner.get("toolName") or ""
    number = call.get("id") or call.get("toolCallId") or ""
    return {"type": "tool_call", "id": str(number), "name": str(name), "arguments": decoded(arguments)}


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


def readable(value: Any, limit: int) -> str:
    """The beginning of messages or plain data as text, for search."""
    if isinstance(value, str):
        return value[:limit]
    if isinstance(value, list) and value and isinstance(value[0], Message):  # our own: no copy of a long conversation
        said = [getattr(part, "content", None) for item in value[::-1] for part in item.parts]
        return "\n".join(each for each in said if isinstance(each, str))[:limit]
    try:
        plain = msgspec.to_builtins(value, enc_hook=str, str_keys=True)
        if isinstance(plain, list) and plain and all(isinstance(item, dict) and "parts" in item for item in plain):
            said = [part.get("content") for item in plain[::-1] for part in item["parts"] if isinstance(part, dict)]
            return "\n".join(each for each in said if isinstance(each, str))[:limit]
        return as_text(plain)[:limit]
    except (UnicodeError, TypeError, ValueError, RecursionError, OverflowError):
        return ""


# -- readers: (attributes, events) → (input, output)

Reader = Callable[[dict[str, Any], list[Event]], tuple[Any, Any]]


def _current(attributes: dict[str, Any], events: list[Event]) -> tuple[Any, Any]:
    """OpenTelemetry 1.37 and later: on the span, or on its inference event."""
    for holder in (attributes, *(event.attributes for event in events)):
        given = messages(holder.get("gen_ai.input.messages"))
        made = messages(holder.get("gen_ai.output.messages"), "assistant")
        if given is None and made is None:
            continue
        rules = decoded(holder.get("gen_ai.system_instructions"))
        if rules and (given is None or isinstance(given, list)):
            parts = [_part(part) for part in rules] if isinstance(rules, list) else [_part(rules)]
            given = [{"role": "system", "parts": parts}, *(given or [])]
        return given, made
    return None, None


_EVENT_ROLES = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool", "gen_ai.choice": "assistant",
}  # fmt: skip


def _message_events(attributes: dict[str, Any], events: list[Event]) -> tuple[Any, Any]:
    """OpenTelemetry up to 1.36: one event a message, on the span or as the JSON attribute `events`."""
    told = [(event.name, event.attributes) for event in events]
    listed = decoded(attributes.get("events"))
    if isinstance(listed, list):
        told += [(str(item.get("event.name", "")), item) for item in listed if isinstance(item, dict)]
    given: Any = []
    made: Any = []
    for name, body in told:
        if name in _EVENT_ROLES:
            inner = decoded(body.get("gen_ai.event.content", body.get("body")))
            item = {**body, **inner} if isinstance(inner, dict) else {**body, "content": inner} if inner else dict(body)
            item["message"] = decoded(item.get("message"))
            if isinstance(item["message"], str):
                item["content"] = item.pop("message")
            (made if name == "gen_ai.choice" else given).append(message(item, _EVENT_ROLES[name]))
        elif name == "gen_ai.content.prompt":
            given = messages(body.get("gen_ai.prompt")) or given
        elif name == "gen_ai.content.completion":
            made = messages(body.get("gen_ai.completion"), "assistant") or made
    return given or None, made or None


def _numbered(prefix: str, inner: str, role: str) -> Callable[[dict[str, Any]], Any]:
    """Reader of flattened lists: `<prefix>.0.<inner>role`, `<prefix>.0.<inner>tool_calls.0.<…>name`."""
    start = prefix + "."

    def read(attributes: dict[str, Any]) -> Any:
        tree = _tree(attributes, start)
        if not tree:
            return None
        items = []
        for _, outer in sorted(tree.items()):
            node = outer.get(inner, outer) if inner else outer
            if isinstance(node, dict):
                items.append(message(_flat_message(node), role))
        return items or None

    return read


def _tree(attributes: dict[str, Any], start: str) -> dict[int, Any]:
    """Dotted names below `start` as nested dicts; the first level is a number."""
    tree: dict[int, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(start):
            continue
        first, *rest = key[len(start) :].split(".", 12)
        if not (first.isascii() and first.isdigit() and len(first) < 7 and rest):
            continue
        node = tree.setdefault(int(first), {})
        for step in rest[:-1]:
            inner = node.setdefault(step, {})
            node = inner if isinstance(inner, dict) else node
        node[rest[-1]] = value
    return tree


def _flat_message(node: dict[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = {key: node[key] for key in ("role", "content", "name", "tool_call_id", "finish_reason") if key in node}
    contents = node.get("contents")
    if isinstance(contents, dict):
        item["content"] = [each.get("message_content", each) for each in _by_number(contents)]
        item["content"] = [_unfold_image(part) for part in item["content"]]
    calls = node.get("tool_calls")
    if isinstance(calls, dict):
        item["tool_calls"] = [each.get("tool_call", each) for each in _by_number(calls)]
    return item


def _by_number(node: dict[str, Any]) -> list[dict[str, Any]]:
    keys = sorted((key for key in node if key.isascii() and key.isdigit()), key=int)
    return [node[key] for key in keys if isinstance(node[key], dict)]


def _unfold_image(part: dict[str, Any]) -> dict[str, Any]:
    image = part.get("image")
    inner = image.get("image") if isinstance(image, dict) else None
    return {**part, "image": inner} if isinstance(inner, dict) else part


_PROMPTS = _numbered("gen_ai.prompt", "", "user")
_COMPLETIONS = _numbered("gen_ai.completion", "", "assistant")
_OI_IN = _numbered("llm.input_messages", "message", "user")
_OI_OUT = _numbered("llm.output_messages", "message", "assistant")


def _flattened(attributes: dict[str, Any], events: list[Event]) -> tuple[Any, Any]:
    """OpenLLMetry (gen_ai.prompt.N.…) and OpenInference (llm.input_messages.N.message.…)."""
    given = _OI_IN(attributes) or _PROMPTS(attributes)
    return given, _OI_OUT(attributes) or _COMPLETIONS(attributes)


def _documents(attributes: dict[str, Any], events: list[Event]) -> tuple[Any, Any]:
    """OpenInference retrievers: retrieval.documents.N.document.…"""
    tree = _tree(attributes, "retrieval.documents.")
    found = [node.get("document", node) for _, node in sorted(tree.items())]
    return None, [{"n": n, **each} for n, each in zip(itertools.count(1), found) if isinstance(each, dict)] or None


_PAIRS = (
    ("input.value", "output.value"),
    ("gen_ai.prompt", "gen_ai.completion"),
    ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    ("gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"),
    ("ai.prompt.messages", "ai.response.text"),
    ("ai.prompt", "ai.response.object"),
    ("ai.toolCall.args", "ai.toolCall.result"),
    ("traceloop.entity.input", "traceloop.entity.output"),
    ("langfuse.observation.input", "langfuse.observation.output"),
    ("gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"),
    ("gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.tool_response"),
    ("tool_arguments", "tool_response"),
    ("all_messages_events", "final_result"),
    ("pydantic_ai.all_messages", "final_result"),
    ("langfuse.trace.input", "langfuse.trace.output"),
)


def _plain(attributes: dict[str, Any], events: list[Event]) -> tuple[Any, Any]:
    """Anything that says input and output under one of the usual names."""
    given = next((messages(attributes[name]) for name, _ in _PAIRS if attributes.get(name) not in (None, "")), None)
    made = next((messages(attributes[name], "assistant") for _, name in _PAIRS if attributes.get(name) not in (None, "")), None)
    calls = decoded(attributes.get("ai.response.toolCalls"))
    if isinstance(calls, list) and calls and (made is None or isinstance(made, str)):
        said = [{"type": "text", "content": made}] if made else []
        made = [{"role": "assistant", "parts": said + [_call(call) for call in calls if isinstance(call, dict)]}]
    return given, made


READERS: tuple[Reader, ...] = (_current, _flattened, _message_events, _documents, _plain)
