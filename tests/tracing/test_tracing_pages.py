"""Pages of traces: the list and its filters, one trace with its parts, why, impact."""

import json
import re

import msgspec

from genwright.messages import Message, Reasoning, ToolCall, say
from genwright.tracing import show
from genwright.tracing.types import Span, Trace, TraceRow
from page_site import PLANTED


def ids(html):
    return re.findall(r'row-link" href="/w/default/tracing/([0-9a-f]{32})"', html)


async def test_an_empty_list_says_what_to_do(site):
    html = await site.get("/tracing")
    assert "No traces yet" in html
    assert "genwright ask" in html
    assert "No trace fits" in await site.get("/tracing", app="none")


async def test_the_list_filters_and_its_address_keeps_them(site):
    good = await site.answered("What is a list?")
    bad = await site.answered(PLANTED, fail=f"cut {PLANTED}")
    await site.house.tracing.score(site.actor, good, "feedback", 0.0, comment="no")
    assert ids(await site.get("/tracing")) == [bad, good]
    assert ids(await site.get("/tracing", status="error")) == [bad]
    assert ids(await site.get("/tracing", q="a LIST")) == [good]
    assert ids(await site.get("/tracing", score="feedback < 0.5", since="1h")) == [good]
    assert ids(await site.get("/tracing", model="other")) == []
    html = await site.get("/tracing", session="s-1", app="docs-qa")
    assert ids(html) == [bad, good]
    assert 'value="s-1"' in html
    assert "feedback</span> 0" in html


async def test_mistaken_filters_are_said(site):
    assert "is no score filter" in await site.get("/tracing", 422, score="x < 1.2.3")
    assert "no amount" in await site.get("/tracing", 422, min_cost="cheap")
    assert "no span of time" in await site.get("/tracing", 422, since="yesterday")


async def test_pages_of_the_list_lose_and_repeat_nothing(site):
    made = [await site.answered(f"question {n}") for n in range(60)]
    seen, path = [], "/tracing?q=question"
    while path:
        html = await site.get(path)
        seen += ids(html)
        following = re.search(r'rel="next" href="/w/default([^"]+)"', html)
        path = following[1].replace("&amp;", "&") if following else ""
        assert not path or "q=question" in path
    assert seen == made[::-1]


async def test_a_trace_shows_what_happened(site):
    trace = await site.answered("What is a list?", f"A sequence {PLANTED}")
    html = await site.get(f"/tracing/{trace}")
    for part in ("What is a list?", "A sequence", "guard input", "chat m", "Document 1", "15", "4 steps"):
        assert part in html, part
    assert 'href="/w/default/documents/text/sha256:' in html
    assert 'data-open="replay"' not in html, "no release answered, so there is nothing to replay"
    await site.get(f"/tracing/{'0' * 32}", 404)


async def test_a_step_opens_alone(site):
    trace = await site.answered()
    found = await site.house.tracing.trace(site.scope, trace)
    by_name = {span.name: span.span_id for span in found.spans}
    part = await site.get(f"/tracing/{trace}/spans/{by_name['guard input']}")
    assert "<html" not in part
    assert "an e-mail address" in part
    part = await site.get(f"/tracing/{trace}/spans/{by_name['retrieval']}")
    assert "2 passages" in part
    whole = await site.get(f"/tracing/{trace}", span=by_name["chat m"])
    assert "gen_ai.usage.input_tokens" in whole
    await site.get(f"/tracing/{trace}/spans/{'0' * 16}", 404)
    passage = await site.get(f"/tracing/{trace}/passages/1")
    assert "The list type" in passage
    await site.get(f"/tracing/{trace}/passages/9", 404)


async def test_the_raw_trace_is_the_trace(site):
    trace = await site.answered(PLANTED)
    raw = json.loads(await site.get(f"/tracing/{trace}/raw"))
    assert raw == json.loads(msgspec.json.encode(await site.house.tracing.trace(site.scope, trace)))


async def test_feedback_is_kept_and_shown(site):
    trace = await site.answered()
    response = await site.post(f"/tracing/{trace}/score", name="feedback", value="0", comment=f"wrong {PLANTED}")
    assert "wrong" in response.text
    assert "toast" in response.headers["hx-trigger"]
    scores = (await site.house.tracing.trace(site.scope, trace)).scores
    assert [(score.name, score.value, score.source, score.by) for score in scores] == [("feedback", 0.0, "person", site.actor.id)]
    assert scores[0].comment == f"wrong {PLANTED}"
    response = await site.post(f"/tracing/{trace}/score", 422, name="x" * 300, value="1")
    assert "at most 200 characters" in response.text
    viewer = await site.as_role("viewer")
    assert f"/tracing/{trace}/score" not in await viewer.get(f"/tracing/{trace}")
    await viewer.post(f"/tracing/{trace}/score", 403, name="feedback", value="1")
    assert len((await site.house.tracing.trace(site.scope, trace)).scores) == 1


async def test_why_names_every_cause_and_what_is_missing(site):
    release = await site.released()
    await site.house.releases.promote(site.actor, "docs-qa", 1, note="measured")
    prompt = await site.house.prompts.get(site.scope, "docs-qa")
    trace = await site.answered(release=release.ref, prompt=prompt.ref, index=f"index:gone@{'sha256:' + 'a' * 64}")
    html = await site.get(f"/tracing/{trace}/why")
    assert f"/w/default/releases/docs-qa?v=sha256%3A{release.digest[7:]}" in html
    assert f"/w/default/prompts/docs-qa?v=sha256%3A{prompt.digest[7:]}" in html
    assert "measured" in html
    assert "1 of 2 cited" in html
    assert "is not in this project&#39;s registry" in html
    assert "an e-mail address" in html
    assert 'data-open="replay"' in await site.get(f"/tracing/{trace}")
    impact = await site.get("/tracing/impact", ref=prompt.ref)
    assert ids(impact) == [trace]
    assert "release" in impact


async def test_impact_without_and_with_a_wrong_reference(site):
    assert "Name a thing" in await site.get("/tracing/impact")
    await site.get("/tracing/impact", 422, ref="nonsense:thing@")


def test_messages_are_read_from_both_forms():
    own = show.messages([say("user", "hi"), Message("assistant", [Reasoning("hm"), ToolCall("c1", "find", {"q": 1})])])
    assert [(message.role, message.text) for message in own] == [
        ("user", "hi"),
        ("assistant", '(reasoning) hm\n\n→ find({\n  "q": 1\n})'),
    ]
    foreign = show.messages([{"role": "human", "content": "a"}, {"role": "ai", "content": [{"type": "text", "text": "b"}]}])
    assert [(message.role, message.text) for message in foreign] == [("user", "a"), ("assistant", "b")]
    called = show.messages({"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]})
    assert called[0].text == "→ f({})"
    assert show.messages({"question": "x"}) is None
    assert show.messages("text") is None


def test_steps_stand_below_their_parents_whatever_their_order():
    def span(name, parent, start):
        return Span(trace_id="t" * 32, span_id=name, parent_id=parent, name=name, start_ns=start, duration_ns=1)

    spans = [
        span("late", "root", 3),
        span("root", "", 0),
        span("leaf", "early", 2),
        span("early", "root", 1),
        span("lost", "gone", 9),
    ]
    ring = [span("x", "y", 5), span("y", "x", 6)]
    steps = show.steps(Trace(row=TraceRow(trace_id="t"), spans=sorted(spans, key=lambda each: each.start_ns), scores=[]))
    assert [(step.name, step.depth) for step in steps] == [("root", 0), ("early", 1), ("leaf", 2), ("late", 1), ("lost", 0)]
    assert [step.name for step in show.steps(Trace(row=TraceRow(trace_id="t"), spans=ring, scores=[]))] == ["x", "y"]


STRANGE = [None, True, -1, 1e400, "x", "../../x", PLANTED, [], {}, [{"role": "user"}], {"role": 3}, "\ud7ff\u0000"]


async def test_foreign_spans_may_hold_anything(site):
    """Every field that a page reads, with values of every wrong type."""
    tracing, traces = site.house.tracing, []
    for value in STRANGE:
        names = ("n", "document", "name", "title", "heading", "start", "end", "score", "text")
        part = {"type": value, "content": value, "text": value, "name": value, "arguments": value, "response": value}
        with tracing.span(site.actor, "foreign", operation="retrieval") as root:
            root.set("gen_ai.retrieval.documents", [dict.fromkeys(names, value), value])
            root.set(
                "genwright.findings", [dict.fromkeys(("guard", "kind", "action", "reason", "start", "passage"), value), value]
            )
            for name in ("genwright.rail", "genwright.action", "genwright.step", "error.type", "gen_ai.request.temperature"):
                root.set(name, value)
            for operation in ("guard", "chat", "render_prompt"):
                with tracing.span(site.actor, operation, operation=operation) as inner:
                    inner.set("genwright.rail", "passages")
                    inner.set("genwright.prompt", value)
                    inner.output = value
                    inner.event("gen_ai.first_token", value=value)
            root.input = [{"role": "user", "content": [part, value], "tool_calls": [{"function": value}, value]}]
            root.output = value
        traces.append(root.trace_id)
    await tracing.flush()
    assert len(ids(await site.get("/tracing"))) == len(traces)
    for trace in traces:
        await site.get(f"/tracing/{trace}")
        await site.get(f"/tracing/{trace}/why")
        for span in (await tracing.trace(site.scope, trace)).spans:
            await site.get(f"/tracing/{trace}/spans/{span.span_id}")


async def test_a_huge_trace_is_shown_in_part(site):
    with site.house.tracing.span(site.actor, "root", operation="invoke_agent") as root:
        for number in range(1_500):
            with site.house.tracing.span(site.actor, f"step {number}"):
                pass
    await site.house.tracing.flush()
    html = await site.get(f"/tracing/{root.trace_id}")
    assert "600 of 1,501 steps shown" in html
    assert html.count("row-link") == 600
