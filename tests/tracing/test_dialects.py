"""Dialects: each usual instrumentation's attributes become our columns and messages; real exports arrive without loss."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from genwright.tracing import dialect_messages, dialects
from genwright.tracing.types import Event, Span
from genwright.vocab import Scope

SCOPE = Scope()
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces" / "langfuse-framework-traces-a"


def said(role: str, text: str) -> dict:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def span(events: list[Event] | None = None, **attributes) -> Span:
    made = Span(trace_id="1" * 32, span_id="2" * 16, attributes={k.replace("__", "."): v for k, v in attributes.items()})
    made.events = events or []
    dialects.fill(made)
    return made


CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}}

CASES = {
    "otel 1.41": (
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 4,
            "gen_ai.usage.output_tokens": 2,
            "gen_ai.system_instructions": '[{"type":"text","content":"Be short."}]',
            "gen_ai.input.messages": json.dumps([said("user", "Hi")]),
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [CALL], "finish_reason": "tool_call"}]),
        },
        [],
        [said("system", "Be short."), said("user", "Hi")],
        [{"role": "assistant", "parts": [CALL], "finish_reason": "tool_call"}],
    ),
    "per-message events": (
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": 4,
            "gen_ai.usage.completion_tokens": 2,
        },
        [
            Event("gen_ai.system.message", 1, {"content": "Be short."}),
            Event("gen_ai.user.message", 2, {"content": "Hi"}),
            Event(
                "gen_ai.choice",
                3,
                {"finish_reason": "stop", "message": '{"role":"assistant","content":"Hello"}', "index": 0},
            ),
        ],
        [said("system", "Be short."), said("user", "Hi")],
        [{**said("assistant", "Hello"), "finish_reason": "stop"}],
    ),
    "openllmetry": (
        {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": "4",
            "gen_ai.usage.completion_tokens": "2",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be short.",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": "Hi",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.finish_reason": "tool_calls",
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "weather",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"city":"Paris"}',
        },
        [],
        [said("system", "Be short."), said("user", "Hi")],
        [{"role": "assistant", "parts": [CALL], "finish_reason": "tool_calls"}],
    ),
    "openinference": (
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 4,
            "llm.token_count.completion": 2,
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Be short.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.contents.0.message_content.type": "text",
            "llm.input_messages.1.message.contents.0.message_content.text": "Hi",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "weather",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city":"Paris"}',
        },
        [],
        [said("system", "Be short."), said("user", "Hi")],
        [{"role": "assistant", "parts": [CALL]}],
    ),
    "vercel ai": (
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "openai",
            "ai.model.id": "gpt-4o",
            "ai.usage.promptTokens": 4,
            "ai.usage.completionTokens": 2,
            "ai.prompt.messages": json.dumps(
                [{"role": "system", "content": "Be short."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
            ),
            "ai.response.toolCalls": '[{"toolCallId":"c1","toolName":"weather","input":"{\\"city\\":\\"Paris\\"}"}]',
        },
        [],
        [said("system", "Be short."), said("user", "Hi")],
        [{"role": "assistant", "parts": [CALL]}],
    ),
}


@pytest.mark.parametrize("dialect", CASES)
def test_dialects_agree(dialect):
    attributes, events, given, made = CASES[dialect]
    each = span(events, **attributes)
    assert (each.operation, each.provider, each.model, each.tokens_in, each.tokens_out) == ("chat", "openai", "gpt-4o", 4, 2)
    assert dialect_messages.content(each) == (given, made)
    assert each.attributes == attributes  # the originals stay


def test_other_shapes():
    retriever = span(
        openinference__span__kind="RETRIEVER",
        input__value="what?",
        **{"retrieval.documents.0.document.content": "text", "retrieval.documents.0.document.score": 0.5},
    )
    assert retriever.operation == "retrieval"
    assert dialect_messages.content(retriever) == ("what?", [{"n": 1, "content": "text", "score": 0.5}])
    assert dialect_messages.content(span(input__value="{broken", output__value="[1, 2]")) == ("{broken", [1, 2])
    assert dialect_messages.content(span(a=1)) == (None, None)
    tool = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    assert dialect_messages.messages([tool]) == [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "sunny"}]}
    ]
    assert dialect_messages.messages([{"role": "model", "parts": [{"text": "x"}]}]) == [said("assistant", "x")]


def test_odd_numbers_and_costs():
    assert span(gen_ai__usage__input_tokens=True).tokens_in is None
    assert span(gen_ai__usage__input_tokens="many", llm__token_count__prompt=3).tokens_in == 3
    assert span(gen_ai__usage__input_tokens=-1).tokens_in is None
    assert span(llm__cost__total=0.0015).cost_nano_usd == 1_500_000
    assert span(gen_ai__usage__cost="0.5").cost_nano_usd == 500_000_000
    assert span(gen_ai__usage__cost=float("inf")).cost_nano_usd is None
    assert span(genwright__cost_nano_usd=7, llm__cost__total=1.0).cost_nano_usd == 7


async def test_foreign_model_calls_get_a_price_from_the_list(tracing, actor):
    from genwright.prices import Usage, price

    sent = [
        {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.cache_read.input_tokens": 40},
        {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.cost": 0.5},
        {"gen_ai.provider.name": "openai", "gen_ai.request.model": "no such model"},
        {"gen_ai.request.model": "gpt-4o"},
    ]
    spans = []
    for number, extra in enumerate(sent):
        values = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, **extra}
        kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
        pairs = [{"key": key, "value": {kinds[type(value)]: value}} for key, value in values.items()]
        times = {"startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001"}
        spans.append({"traceId": "1" * 32, "spanId": f"{number + 1:016x}", "attributes": pairs, **times})
    await tracing.ingest(actor, json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode(), "application/json")
    listed = price("openai", "gpt-4o", Usage(100, 10, 40), 1_790_000_000_000_000_000).nano_usd
    costs = [span.cost_nano_usd for span in (await tracing.trace(SCOPE, "1" * 32)).spans]
    assert costs == [listed, 500_000_000, None, None]
    assert listed > 0


def test_refs():
    digest, other = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    each = span(
        genwright__prompt=f"prompt:p@{digest}",
        genwright__embedding_model="local/minilm",
        gen_ai__request__model="m",
        gen_ai__retrieval__documents=[{"document": other}, {"document": "no digest"}, "x"],
    )
    assert dialects.refs(each) == {digest, f"document:{other}", "model:m", "model:local/minilm"}


# -- real exports


def exported(name: str) -> list[dict]:
    """Observations of a Langfuse export as OTLP spans: attributes as recorded; what Langfuse took out of them put back."""
    made = []
    for one in json.loads((FOLDER / f"{name}.trace.json").read_text())["observations"]:
        metadata = json.loads(one["metadata"]) if isinstance(one["metadata"], str) else one["metadata"] or {}
        attributes = dict(metadata.get("attributes") or {})
        for side in ("input", "output"):
            if one.get(side) is not None:
                value = one[side]
                attributes[f"langfuse.observation.{side}"] = value if isinstance(value, str) else json.dumps(value)
        pairs = [{"key": k, "value": {"stringValue": v if isinstance(v, str) else json.dumps(v)}} for k, v in attributes.items()]
        one_id = one["id"].replace("-", "")[-16:]
        parent = (one.get("parentObservationId") or "").replace("-", "")[-16:]
        trace_id = one["traceId"].replace("-", "")
        ids = {"traceId": trace_id, "spanId": one_id, "parentSpanId": parent, "name": one["name"]}
        times = {"startTimeUnixNano": nanoseconds(one["startTime"]), "endTimeUnixNano": nanoseconds(one["endTime"])}
        made.append({**ids, **times, "attributes": pairs})
    return made


def nanoseconds(text: str | None) -> str:
    return str(int(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000) if text else "0"


NAMES = sorted(path.name.removesuffix(".trace.json") for path in FOLDER.glob("*.trace.json"))


@pytest.mark.skipif(not NAMES, reason="the shared trace data is not beside the repository")
@pytest.mark.parametrize("name", NAMES)
async def test_real_exports_arrive_without_loss(tracing, actor, name):
    sent = exported(name)
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": sent}]}]}).encode()
    status, _, answer = await tracing.ingest(actor, body, "application/json")
    assert (status, answer) == (200, b"{}")
    row = (await tracing.list(SCOPE)).items[0]
    trace = await tracing.trace(SCOPE, row.trace_id)
    kept = {span.span_id: span for span in trace.spans}
    assert row.spans == len(sent) == len(kept)
    for one in sent:
        span = kept[one["spanId"]]
        assert span.attributes == {pair["key"]: pair["value"]["stringValue"] for pair in one["attributes"]}
        assert (span.name, span.parent_id) == (one["name"], one["parentSpanId"])
    assert any(span.input is not None for span in trace.spans)
    assert row.model or name.startswith("langgraph")


@pytest.mark.skipif(not NAMES, reason="the shared trace data is not beside the repository")
async def test_messages_of_real_exports_agree_with_what_langfuse_shows(tracing, actor):
    """Of every message list that Langfuse shows as chat, the texts are among ours."""
    shown, same = 0, 0
    for name in NAMES:
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": exported(name)}]}]}).encode()
        await tracing.ingest(actor, body, "application/json")
        expected = json.loads((FOLDER / f"{name}.chatml.json").read_text())
        for row in (await tracing.list(SCOPE)).items:
            for span in (await tracing.trace(SCOPE, row.trace_id)).spans:
                for side in ("input", "output"):
                    want = expected.get(span.span_id, {}).get(side, {})
                    if not want.get("success"):
                        continue
                    texts = [m["content"] for m in want["data"] if isinstance(m.get("content"), str) and m["content"]]
                    if texts:
                        shown += 1
                        ours = json.dumps(getattr(span, side), ensure_ascii=False)
                        same += all(json.dumps(text, ensure_ascii=False)[1:-1] in ours for text in texts)
    assert shown > 30
    assert same / shown > 0.9
