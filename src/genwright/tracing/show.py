"""A trace as a page shows it: messages to read, spans in reading order with depth, passages. Pure; knows no HTML.

What is shown comes from models, documents and callers: every value here is text for an escaping template.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import vocab
from genwright.tracing.types import Span, Trace

MAX_SPANS = 600
"""Spans drawn in one waterfall; a longer trace says how many are left out."""
MAX_TEXT = 200_000
"""Characters of one message or value on a page; the rest is in the raw JSON."""
KINDS = {
    "chat": "chat", "text_completion": "chat", "generate_content": "chat", "embeddings": "embedding", "retrieval": "retrieval",
    "execute_tool": "tool", "invoke_agent": "agent", "create_agent": "agent", "render_prompt": "prompt", "guard": "guard",
    "evaluate": "score",
}  # fmt: skip
"""Operation → kind, which picks icon and colour."""
_ROLES = {"developer": "system", "model": "assistant", "ai": "assistant", "human": "user", "function": "tool"}


class Shown(msgspec.Struct, frozen=True):
    """One message to read: role is system, user, assistant or tool."""

    role: str
    text: str
    note: str = ""


class Step(msgspec.Struct, kw_only=True):
    """One row of the waterfall."""

    id: str
    name: str
    kind: str
    depth: int
    start_ms: float
    duration_ms: float
    status: str
    note: str
    url: str = ""
    fragment: str = ""


def messages(value: Any) -> list[Shown] | None:
    """The value as messages, or None where it is something else. Takes the house's form and OpenAI's."""
    value = msgspec.to_builtins(value)
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, dict) and isinstance(item.get("role"), str) for item in items):
        return None
    return [_message(item) for item in items]


def readable(value: Any) -> str:
    """Any value as text: strings as they are, data as indented JSON."""
    value = msgspec.to_builtins(value)
    text = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value)).decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT:,} more characters in the raw JSON"


def _message(item: dict[str, Any]) -> Shown:
    role = _ROLES.get(item["role"], item["role"])
    parts = item.get("parts", item.get("content", ""))
    parts = parts if isinstance(parts, list) else [parts]
    texts = [text for part in parts if (text := _part(part))]
    texts += [_part({**call["function"], "type": "tool_call"}) for call in _calls(item)]
    role = role if role in ("system", "user", "assistant", "tool") else "tool"
    finish = item.get("finish_reason")
    return Shown(role, readable("\n\n".join(texts)), str(finish if finish and finish != "stop" else item.get("name") or ""))


def _calls(item: dict[str, Any]) -> list[dict[str, Any]]:
    calls = item.get("tool_calls")
    if not isinstance(calls, list):
        return []
    return [call for call in calls if isinstance(call, dict) and isinstance(call.get("function"), dict)]


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return "" if part is None else str(part)
    kind = part.get("type", "")
    if kind in ("text", "input_text", "output_text"):
        return str(part.get("content", part.get("text", "")))
    if kind == "tool_call":
        arguments = part.get("arguments")
        return f"→ {part.get('name', 'tool')}({arguments if isinstance(arguments, str) else readable(arguments)})"
    if kind == "tool_call_response":
        return readable(part.get("response", part.get("result", "")))
    if kind == "reasoning":
        return f"(reasoning) {part.get('content', '')}"
    if kind in ("media", "blob", "uri", "file", "image_url"):
        return f"[{part.get('modality') or 'file'} {part.get('mime_type') or ''}{' ' + part['name'] if part.get('name') else ''}]"
    return readable(part)


def steps(trace: Trace) -> list[Step]:
    """Spans in reading order: each parent before its children, siblings by start. At most MAX_SPANS."""
    known = {span.span_id for span in trace.spans}
    children: dict[str, list[Span]] = {}
    for span in trace.spans:
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else ""
        children.setdefault(parent, []).append(span)
    begin = min((span.start_ns for span in trace.spans), default=0)
    rows: list[Step] = []
    seen: set[str] = set()
    stack = [(span, 0) for span in reversed(children.get("", trace.spans[:1]))]
    while stack and len(rows) < MAX_SPANS:
        span, depth = stack.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        rows.append(_step(span, depth, begin))
        stack += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]
    return rows


def _step(span: Span, depth: int, begin: int) -> Step:
    return Step(
        id=span.span_id, name=span.name or span.operation or "span", kind=KINDS.get(span.operation, ""), depth=depth,
        start_ms=(span.start_ns - begin) / 1e6, duration_ms=span.duration_ns / 1e6, status=span.status, note=_note(span),
    )  # fmt: skip


def _note(span: Span) -> str:
    """The one figure that says most about a step."""
    if span.tokens_in or span.tokens_out:
        return f"{(span.tokens_in or 0) + (span.tokens_out or 0):,} tokens"
    if span.operation == "guard":
        return str(span.attributes.get("genwright.action", ""))
    found = passages(span)
    return f"{len(found)} passages" if found else ""


def passages(span: Span) -> list[dict[str, Any]]:
    """Retrieved passages of a span, each with at least `n` and `text`; the house's fields where they are there."""
    found = span.attributes.get("gen_ai.retrieval.documents")
    if not isinstance(found, list) and span.operation == "retrieval":
        found = span.output
    if not isinstance(found, list):
        return []
    return [_passage(item, at) for at, item in enumerate(found, 1) if isinstance(item, dict)]


def _passage(item: dict[str, Any], at: int) -> dict[str, Any]:
    """Foreign spans hold anything: what is not of its type counts as not given."""
    score, document = item.get("score"), item.get("document")
    text = item.get("text", item.get("content", ""))
    return {
        **{name: value if isinstance(value := item.get(name), str) else "" for name in ("name", "title", "heading")},
        **{name: value if type(value := item.get(name)) is int and value >= 0 else 0 for name in ("start", "end")},
        "n": item["n"] if type(item.get("n")) is int else at,
        "document": document if isinstance(document, str) and vocab.DIGEST.match(document) else "",
        "score": score if isinstance(score, (int, float)) and not isinstance(score, bool) else None,
        "text": text if isinstance(text, str) else readable(text),
    }


def answered_from(trace: Trace) -> list[dict[str, Any]]:
    """The passages the answer was made from: those the guard let pass where there was one, else those retrieved last."""
    for span in reversed(trace.spans):
        if span.operation == "guard" and span.attributes.get("genwright.rail") == "passages" and isinstance(span.output, list):
            return passages(msgspec.structs.replace(span, operation="retrieval"))
    for span in reversed(trace.spans):
        if span.operation == "retrieval" and (found := passages(span)):
            return found
    return []


def findings(span: Span) -> list[dict[str, Any]]:
    """What guards found in this span."""
    found = span.attributes.get("genwright.findings")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def root(trace: Trace) -> Span | None:
    """The span that stands for the whole trace: the first without a parent here."""
    known = {span.span_id for span in trace.spans}
    return next((span for span in trace.spans if span.parent_id not in known), trace.spans[0] if trace.spans else None)


def conversation(trace: Trace) -> list[Shown]:
    """What was asked and answered: the root's messages, else those of the last model call."""
    top = root(trace)
    chats = [span for span in trace.spans if span.operation in ("chat", "text_completion")]
    step = top.attributes.get(vocab.ROUTE_STEP) if top else None
    if step:  # of a route's calls the one that answered, not a judge's or a mirrored one
        chats.sort(key=lambda span: span.attributes.get(vocab.ROUTE_STEP) == step)
    for span in ([top] if top else []) + chats[::-1]:
        asked, answered = span.input, span.output
        if asked is None and answered is None:
            continue
        return [*said(asked, "user"), *said(answered, "assistant")]
    return []


def said(value: Any, role: str) -> list[Shown]:
    if value is None or value == "" or value == []:
        return []
    found = messages(value)
    return found if found is not None else [Shown(role if isinstance(value, str) else "tool", readable(value))]


def replayable(trace: Trace) -> bool:
    """Whether the trace holds an app's call that says which release answered."""
    return any(span.operation == "invoke_agent" and span.attributes.get(vocab.RELEASE) for span in trace.spans)
