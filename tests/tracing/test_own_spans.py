"""Own spans: nesting, failures, capture, grouping, and that a dead database blocks nobody."""

from __future__ import annotations

import asyncio

import pytest

from genwright import clock, messages
from genwright.errors import Missing, Unavailable
from genwright.tracing import spans as spans_module
from genwright.tracing.types import TraceFilter
from genwright.vocab import Scope

SCOPE = Scope()
DIGEST = "sha256:" + "a" * 64


async def test_a_nested_trace_is_stored_whole(tracing, actor):
    with tracing.span(actor, "app docs-qa", operation="invoke_agent") as root:
        root.set("genwright.app", "docs-qa")
        root.set("genwright.release", f"release:docs-qa@{DIGEST}")
        root.set("session.id", "s1")
        root.input = "What is a lambda?"
        with tracing.span(actor, "chat", operation="chat") as chat:
            chat.set("gen_ai.request.model", "local/extractive")
            chat.set("gen_ai.usage.input_tokens", 12)
            chat.set("gen_ai.usage.output_tokens", 3)
            chat.set("genwright.cost_nano_usd", 7)
            chat.input = [messages.user("What is a lambda?")]
            chat.output = [messages.assistant("A small function [1].")]
            chat.event("first_token", ms=3)
        root.output = "A small function [1]."
    await tracing.flush()
    trace = await tracing.trace(SCOPE, root.trace_id)
    assert [span.name for span in trace.spans] == ["app docs-qa", "chat"]
    assert trace.spans[1].parent_id == root.span_id
    assert trace.spans[1].input == [{"role": "user", "parts": [{"type": "text", "content": "What is a lambda?"}]}]
    assert trace.spans[1].events[0].name == "first_token"
    assert trace.spans[1].events[0].attributes == {"ms": 3}
    row = trace.row
    assert (row.name, row.status, row.spans, row.errors) == ("app docs-qa", "ok", 2, 0)
    assert (row.tokens_in, row.tokens_out, row.cost_nano_usd) == (12, 3, 7)
    assert (row.app, row.model, row.session) == ("docs-qa", "local/extractive", "s1")
    assert row.release == f"release:docs-qa@{DIGEST}"
    assert row.search == "What is a lambda?\nA small function [1]."
    assert row.duration_ns >= trace.spans[1].duration_ns > 0


async def test_an_error_is_marked_and_passes_on(tracing, actor):
    with (
        pytest.raises(ValueError, match="no such table"),
        tracing.span(actor, "outer") as outer,
        tracing.span(actor, "inner"),
    ):
        raise ValueError("no such table")
    await tracing.flush()
    trace = await tracing.trace(SCOPE, outer.trace_id)
    assert trace.row.status == "error"
    assert trace.row.errors == 2
    assert trace.spans[1].error == "ValueError: no such table"
    assert trace.spans[1].attributes["error.type"] == "ValueError"


async def test_cancelled_work_leaves_a_complete_span(tracing, actor):
    opened = asyncio.Event()
    seen = []

    async def work():
        with tracing.span(actor, "slow") as span:
            seen.append(span)
            opened.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await tracing.flush()
    trace = await tracing.trace(SCOPE, seen[0].trace_id)
    assert trace.spans[0].error == "cancelled: the caller went away"


async def test_an_abandoned_stream_closes_its_span_and_frees_the_context(tracing, actor):
    async def stream():
        with tracing.span(actor, "stream"):
            yield 1
            yield 2

    generator = stream()
    assert await anext(generator) == 1
    await asyncio.create_task(generator.aclose())  # another context, as a server does when the client is gone
    await tracing.flush()
    page = await tracing.list(SCOPE)
    assert [row.status for row in page.items] == ["error"]


async def test_parents_come_from_tuples_and_traceparents(tracing, actor):
    trace_id, span_id = "ab" * 16, "cd" * 8
    with tracing.span(actor, "a", parent=(trace_id, span_id)) as a, tracing.span(actor, "b", parent=a.traceparent) as b:
        pass
    assert (a.trace_id, a.parent_id) == (trace_id, span_id)
    assert (b.trace_id, b.parent_id) == (trace_id, a.span_id)
    with tracing.span(actor, "c", parent="00-zz-zz-01") as c:
        assert spans_module.current() is c
    assert c.parent_id == ""
    assert spans_module.current() is None
    assert spans_module.parse_traceparent("00-" + "0" * 32 + "-" + "1" * 16 + "-01") is None


async def test_a_span_never_takes_a_parent_from_another_workspace(tracing, actor, actor_in):
    with tracing.span(actor, "mine") as mine, tracing.span(actor_in(Scope("other")), "theirs") as theirs:
        pass
    assert theirs.trace_id != mine.trace_id
    await tracing.flush()
    with pytest.raises(Missing):
        await tracing.trace(SCOPE, theirs.trace_id)
    assert [row.name for row in (await tracing.list(Scope("other"))).items] == ["theirs"]


async def test_capture_metadata_keeps_no_text_and_off_keeps_nothing(tracing, actor_in):
    with tracing.span(actor_in(capture="metadata"), "chat", operation="chat") as span:
        span.set("gen_ai.request.model", "m")
        span.set("gen_ai.input.messages", "SECRET")
        span.set("genwright.variables", {"q": "SECRET"})
        span.set("gen_ai.retrieval.documents", [{"id": "c1", "document": DIGEST, "score": 0.5, "text": "SECRET"}])
        span.input = span.output = "SECRET"
        span.event("said", text="SECRET")
    with tracing.span(actor_in(capture="off"), "chat") as off:
        off.input = "SECRET"
    await tracing.flush()
    trace = await tracing.trace(SCOPE, span.trace_id)
    assert "SECRET" not in repr(trace)
    assert trace.spans[0].capture == "metadata"
    assert trace.spans[0].attributes["gen_ai.retrieval.documents"] == [{"id": "c1", "document": DIGEST, "score": 0.5}]
    with pytest.raises(Missing):
        await tracing.trace(SCOPE, off.trace_id)


async def test_any_content_can_be_stored(tracing, actor):
    class Odd:
        def __str__(self):
            return "odd \ud800 thing"

    with tracing.span(actor, "bad \x00 name \ud800") as span:
        span.input = {"half": "\ud800", 3: [Odd(), {1, 2}, b"bytes", 2**80, float("nan")]}
        span.set("user.id", "u\x00\ud83d")
    await tracing.flush()
    assert tracing.health()["dropped"] == 0
    trace = await tracing.trace(SCOPE, span.trace_id)
    assert trace.spans[0].name == "bad  name ?"
    assert trace.spans[0].input["half"] == "?"


async def test_spans_appear_soon_without_flush(tracing, actor):
    with tracing.span(actor, "soon") as span:
        pass
    begun = clock.monotonic()
    while not await tracing.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM spans").scalar()):
        await asyncio.sleep(0.005)
        assert clock.monotonic() - begun < 5
    assert (await tracing.trace(SCOPE, span.trace_id)).row.spans == 1


async def test_a_dead_database_blocks_nobody_and_is_counted(tracing, actor, monkeypatch):
    monkeypatch.setattr(spans_module, "MAX_WAITING", 10)
    monkeypatch.setattr(spans_module, "RETRY_S", 0.05)
    tracing.database.failed = "disk I/O error"
    with tracing.span(actor, "kept"):
        pass
    with pytest.raises(Unavailable):
        await tracing.flush()
    for _ in range(30):
        with tracing.span(actor, "more"):
            pass
    health = tracing.health()
    assert health["dropped"] >= 20
    assert health["waiting"] <= 11
    assert "disk I/O error" in health["failed"]
    tracing.database.failed = None
    await tracing.flush()
    health = tracing.health()
    assert health["waiting"] == 0
    assert health["written"] + health["dropped"] == 31
    names = [row.name for row in (await tracing.list(SCOPE, TraceFilter(), None, 100)).items]
    assert "kept" in names
    assert len(names) == health["written"]


async def test_close_writes_what_is_queued(database, registry, actor):
    from genwright.tracing.service import Tracing

    tracing = Tracing(database, registry)
    with tracing.span(actor, "last"):
        pass
    tracing.close()
    assert [row.name for row in (await tracing.list(SCOPE)).items] == ["last"]


async def test_scores_land_on_traces_and_replace_their_own_kind(tracing, actor, actor_in):
    with tracing.span(actor, "answer") as span:
        pass
    await tracing.score(actor, span.trace_id, "groundedness", 0.25)  # without flush: waits for the queued span by itself
    await tracing.score(actor, span.trace_id, "groundedness", 0.5)
    await tracing.score(actor_in(id="key_2"), span.trace_id, "thumbs", True, source="user", comment="nice")
    await tracing.score(actor, span.trace_id, "topic", "off-topic", span_id=span.span_id, source="judge")
    scores = (await tracing.trace(SCOPE, span.trace_id)).scores
    assert {(s.name, s.value, s.text) for s in scores} == {
        ("groundedness", 0.5, ""),
        ("thumbs", 1.0, ""),
        ("topic", None, "off-topic"),
    }
    with pytest.raises(Missing):
        await tracing.score(actor, "f" * 32, "groundedness", 1)
    with pytest.raises(Missing):
        await tracing.score(actor_in(Scope("other")), span.trace_id, "groundedness", 1)
