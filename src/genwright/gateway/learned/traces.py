"""Rows for a fit from traces: what was asked, which model answered, what that cost, and how it was scored."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.gateway.learned.types import Example, Given
from genwright.messages import Message
from genwright.tracing.types import Score, Trace, TraceFilter
from genwright.vocab import Scope

MAX_TRACES = 5_000
PAGE = 200


class FromTraces(msgspec.Struct, frozen=True):
    """Which traces. A trace counts where it has a score of this name between 0 and 1 and a chat with a model."""

    score: str
    app: str = ""
    since_ns: int = 0
    until_ns: int = 0


async def examples(tracing: Any, scope: Scope, want: FromTraces) -> list[Example]:
    """One row a prompt; answers of several models to the same prompt stand in one row. Newest first, MAX_TRACES at most."""
    if not want.score:
        raise Invalid("Name the score that says how good an answer was, e.g. correct. Nothing was fitted.", field="score")
    asked = TraceFilter(score=want.score, app=want.app, since_ns=want.since_ns, until_ns=want.until_ns)
    found: dict[str, dict[str, Given]] = {}
    cursor, seen = None, 0
    while seen < MAX_TRACES:
        page = await tracing.list(scope, asked, cursor, PAGE)
        for row in page.items:
            seen += 1
            read = _read(await tracing.trace(scope, row.trace_id), want.score)
            if read is not None:
                prompt, model, given = read
                found.setdefault(prompt, {}).setdefault(model, given)
        cursor = page.next
        if cursor is None:
            break
    return [Example(prompt, dict(answers)) for prompt, answers in found.items()]


def _read(trace: Trace, name: str) -> tuple[str, str, Given] | None:
    from genwright.gateway.learned.features import prompt_text

    values = [score.value for score in trace.scores if _counts(score, name)]
    chats = [span for span in trace.spans if span.operation == "chat" and span.provider and span.model and span.status != "error"]
    if not values or not chats:
        return None
    chat = chats[-1]
    try:
        text = prompt_text(msgspec.convert(chat.input, list[Message]))
    except msgspec.ValidationError:
        return None
    requested = chat.attributes.get("gen_ai.request.model") or chat.model
    cost = None if chat.cost_nano_usd is None else chat.cost_nano_usd / 1e9
    given = Given(sum(values) / len(values), cost, chat.duration_ns / 1e9)  # type: ignore[arg-type]
    return (text, f"{chat.provider}/{requested}", given) if text else None


def _counts(score: Score, name: str) -> bool:
    return score.name == name and score.value is not None and 0 <= score.value <= 1
