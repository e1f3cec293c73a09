"""OTLP: both encodings, the official exporter, malformed input, repeats, revisions, back-pressure."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from genwright.errors import Unavailable
from genwright.tracing import intake as intake_module
from genwright.tracing import spans as spans_module
from genwright.tracing import store
from genwright.vocab import Scope

SCOPE = Scope()
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
PROTO, JSON = "application/x-protobuf", "application/json"
T, S = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def body_of(*spans: dict, resource: dict | None = None) -> bytes:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in (resource or {}).items()]
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]}
    ).encode()


def span(span_id: str = S, trace_id: str = T, **more) -> dict:
    times = {"startTimeUnixNano": "1000", "endTimeUnixNano": "2000"}
    return {"traceId": trace_id, "spanId": span_id, "name": "n", **times, **more}


def attributes(**values) -> list[dict]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    return [{"key": key.replace("__", "."), "value": {kinds[type(value)]: value}} for key, value in values.items()]


async def send(tracing, actor, body, kind=JSON, encoding=""):
    status, headers, answer = await tracing.ingest(actor, body, kind, encoding)
    return status, headers, answer


def official_spans():
    """Two spans made by the OpenTelemetry SDK, as its OTLP exporter encodes them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("my.library", "1.2")
    with tracer.start_as_current_span("request") as root:
        root.set_attribute("session.id", "s-7")
        with tracer.start_as_current_span("chat gpt-4o") as chat:
            chat.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o",
                    "gen_ai.usage.input_tokens": 31,
                    "gen_ai.usage.output_tokens": 96,
                    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"What is Ünïcode?"}]}]',
                    "gen_ai.output.messages": (
                        '[{"role":"assistant","parts":[{"type":"text","content":"A standard."}],"finish_reason":"stop"}]'
                    ),
                    "numbers": [1, 2, 3],
                }
            )
            chat.record_exception(ValueError("too warm"))
            chat.set_status(Status(StatusCode.ERROR))
    return encode_spans(exporter.get_finished_spans())


async def test_the_official_encoding_arrives_whole(tracing, actor):
    status, headers, answer = await send(tracing, actor, official_spans().SerializeToString(), PROTO)
    assert (status, headers["content-type"]) == (200, PROTO)
    assert not ExportTraceServiceResponse.FromString(answer).HasField("partial_success")
    row = (await tracing.list(SCOPE)).items[0]
    assert (row.name, row.app, row.model, row.session) == ("request", "shop", "gpt-4o", "s-7")
    assert (row.spans, row.errors, row.status, row.tokens_in, row.tokens_out) == (2, 1, "ok", 31, 96)
    assert "What is Ünïcode?" in row.search
    root, chat = (await tracing.trace(SCOPE, row.trace_id)).spans
    assert chat.parent_id == root.span_id
    assert chat.input[0]["parts"][0]["content"] == "What is Ünïcode?"
    assert chat.output[0]["finish_reason"] == "stop"
    assert chat.attributes["numbers"] == [1, 2, 3]
    assert chat.error == "ValueError: too warm"
    assert (chat.kind, chat.library, chat.provider) == ("internal", "my.library 1.2", "openai")
    assert chat.resource["service.name"] == "shop"


async def test_json_and_protobuf_store_the_same(tracing, actor, actor_in):
    from google.protobuf.json_format import MessageToDict

    message = official_spans()
    plain = MessageToDict(message)
    for resource in plain["resourceSpans"]:  # OTLP JSON writes ids in hex, protobuf's own JSON in base 64
        for scope in resource["scopeSpans"]:
            for each in scope["spans"]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in each:
                        each[key] = __import__("base64").b64decode(each[key]).hex()
    there = actor_in(Scope("json"))
    assert (await send(tracing, actor, message.SerializeToString(), PROTO))[0] == 200
    assert (await send(tracing, there, json.dumps(plain).encode(), JSON))[0] == 200
    trace_id = (await tracing.list(SCOPE)).items[0].trace_id
    assert await tracing.trace(SCOPE, trace_id) == await tracing.trace(Scope("json"), trace_id)


@pytest.mark.skipif(not DATA.exists(), reason="the shared trace data is not beside the repository")
async def test_the_protocols_own_example(tracing, actor):
    body = (DATA / "otlp-json-examples" / "trace.json").read_bytes()
    status, _, answer = await send(tracing, actor, body)
    assert (status, answer) == (200, b"{}")
    trace = await tracing.trace(SCOPE, T)
    assert trace.row.name == "I'm a server span"
    assert trace.spans[0].parent_id == "eee19b7ec3c1b173"
    assert trace.spans[0].attributes == {"my.span.attr": "some value"}
    assert (await send(tracing, actor, (DATA / "otlp-json-examples" / "metrics.json").read_bytes()))[0] == 200  # no spans in it


async def test_compression_and_its_limits(tracing, actor):
    body = body_of(span())
    assert (await send(tracing, actor, gzip.compress(body), JSON, "gzip"))[0] == 200
    assert (await tracing.list(SCOPE)).items
    bomb = gzip.compress(b" " * (tracing.intake.max_body_bytes * intake_module.UNPACK_FACTOR + 1))
    assert len(bomb) < 200_000
    assert (await send(tracing, actor, bomb, JSON, "gzip"))[0] == 413
    assert (await send(tracing, actor, gzip.compress(body)[:-9], JSON, "gzip"))[0] == 400
    assert (await send(tracing, actor, b"no gzip", JSON, "gzip"))[0] == 400
    assert (await send(tracing, actor, zlib.compress(body), JSON, "deflate"))[0] == 200
    assert (await send(tracing, actor, body, JSON, "br"))[0] == 415
    assert (await send(tracing, actor, body, "text/plain"))[0] == 415
    assert (await send(tracing, actor, b"x" * (tracing.intake.max_body_bytes + 1)))[0] == 413


async def test_partial_success_counts_exactly(tracing, actor):
    good = [span(f"{n:016x}") for n in range(1, 4)]
    bad = [
        span("00" * 8), span(trace_id="0" * 32), span("zz" * 8), span(S[:-1]), span(startTimeUnixNano="no"), span(name=5),
        span(startTimeUnixNano=str(2**63)), span(attributes=[{"value": {}}]), span(attributes="x"), span(events=[3]),
        span(attributes=[{"key": "k", "value": {"intValue": "x"}}]), span(parentSpanId="12"), "no object", None,
    ]  # fmt: skip
    status, _, answer = await send(tracing, actor, body_of(*good, *bad))
    partial = json.loads(answer)["partialSuccess"]
    assert (status, partial["rejectedSpans"]) == (200, str(len(bad)))
    assert f"{len(bad)} of {len(bad) + 3}" in partial["errorMessage"]
    assert (await tracing.trace(SCOPE, T)).row.spans == 3
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans
    made.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, start_time_unix_nano=5, end_time_unix_nano=6)
    made.add(trace_id=b"\x01" * 15, span_id=b"\x02" * 8)
    made.add(trace_id=b"\x01" * 16, span_id=b"\x03" * 8, start_time_unix_nano=2**64 - 1)
    _, _, answer = await send(tracing, actor, request.SerializeToString(), PROTO)
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 2


async def test_repeats_change_nothing(tracing, actor):
    body = official_spans().SerializeToString()
    for _ in range(5):
        assert (await send(tracing, actor, body, PROTO))[0] == 200
    row = (await tracing.list(SCOPE)).items[0]
    assert (row.spans, row.tokens_in) == (2, 31)

    def counts(connection):
        tables = ("spans", "span_payloads", "traces", "span_refs")
        return [connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() for table in tables]

    assert await tracing.database.read(counts) == [2, 1, 1, 1]


async def test_finished_replaces_pending_and_the_last_received_wins(tracing, actor):
    async def store(**more):
        assert (await send(tracing, actor, body_of(span(**more))))[0] == 200
        return (await tracing.trace(SCOPE, T)).spans[0]

    assert (await store(endTimeUnixNano="0")).status == "pending"
    assert (await store(attributes=attributes(v=1))).attributes == {"v": 1}
    assert (await store(endTimeUnixNano="0")).status == "ok"  # a late start does not undo the end
    assert (await store(attributes=attributes(v=2))).attributes == {"v": 2}
    row = (await tracing.trace(SCOPE, T)).row
    assert (row.spans, row.status, row.duration_ns) == (1, "ok", 1000)
    both = body_of(span("aa" * 8, endTimeUnixNano="5000"), span("aa" * 8, endTimeUnixNano="0"))
    await send(tracing, actor, both)
    trace = await tracing.trace(SCOPE, T)
    assert [each.status for each in trace.spans] == ["ok", "ok"]
    assert trace.row.spans == 2


async def test_roll_up_is_exact_when_spans_come_late_and_in_any_order(tracing, actor, actor_in):
    usage = {"gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": 5, "genwright__cost_nano_usd": 100}
    parts = [
        span(
            "a" * 16, name="agent", endTimeUnixNano="9000", attributes=attributes(**{**usage, "gen_ai__usage__input_tokens": 25})
        ),
        span("b" * 16, parentSpanId="a" * 16, name="chat", attributes=attributes(**usage)),
        span("c" * 16, parentSpanId="a" * 16, name="chat 2", status={"code": 2}, attributes=attributes(**usage)),
        span("d" * 16, parentSpanId="c" * 16, name="gateway", startTimeUnixNano="500", attributes=attributes(**usage)),
        span("e" * 16, parentSpanId="e" * 16, name="own parent", attributes=attributes(gen_ai__usage__input_tokens=1)),
    ]
    rows = []
    for number, order in enumerate(((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3))):
        there = actor_in(Scope(f"order{number}"))
        for index in order:
            await send(tracing, there, body_of(parts[index]))
        rows.append((await tracing.trace(there.scope, T)).row)
    whole = actor_in(Scope("whole"))
    await send(tracing, whole, body_of(*parts))
    rows.append((await tracing.trace(whole.scope, T)).row)
    assert all(row == rows[0] for row in rows)
    row = rows[0]
    assert (row.name, row.spans, row.errors, row.start_ns, row.duration_ns) == ("agent", 5, 1, 500, 8500)
    assert (row.tokens_in, row.tokens_out, row.cost_nano_usd) == (26, 10, 200)


async def test_capture_and_rights_hold_for_foreign_spans_too(tracing, actor, actor_in):
    said = span(
        attributes=attributes(gen_ai__prompt="SECRET", gen_ai__request__model="m"),
        events=[{"name": "e", "attributes": attributes(x="SECRET")}],
    )
    assert (await send(tracing, actor_in(capture="metadata"), body_of(said)))[0] == 200
    trace = await tracing.trace(SCOPE, T)
    assert "SECRET" not in repr(trace)
    assert trace.row.model == "m"
    status, _, answer = await send(tracing, actor_in(capture="off"), body_of(span("ab" * 8)))
    assert (status, json.loads(answer)["partialSuccess"]["rejectedSpans"]) == (200, "1")
    assert (await tracing.trace(SCOPE, T)).row.spans == 1
    assert (await send(tracing, actor_in(role="viewer"), body_of(span())))[0] == 403


async def test_too_much_at_once_is_refused_with_a_time_to_wait(tracing, actor, monkeypatch):
    body = body_of(span())
    monkeypatch.setattr(intake_module, "MAX_WAITING_BYTES", 2 * len(body))
    answers = await asyncio.gather(*(send(tracing, actor, body) for _ in range(5)))
    assert sorted(answer[0] for answer in answers) == [200, 200, 503, 503, 503]
    assert [answer[1]["retry-after"] for answer in answers if answer[0] == 503] == ["1"] * 3
    assert tracing.health()["intake_refused"] == 3
    assert tracing.health()["intake_bytes"] == 0


async def test_a_database_that_cannot_write_gives_503_and_keeps_nothing(tracing, actor):
    tracing.database.failed = "disk I/O error"
    status, headers, _ = await send(tracing, actor, body_of(span()))
    assert (status, headers["retry-after"]) == (503, "1")
    tracing.database.failed = None
    assert (await send(tracing, actor, body_of(span())))[0] == 200


def failing_for(monkeypatch, trace_id: str, error: Exception) -> None:
    """The real write, but the engine refuses rows of one trace."""
    write = store.write_spans

    def refusing(cursor, postgres, scope, batch):
        if any(item.trace_id == trace_id for item in batch):
            raise error
        return write(cursor, postgres, scope, batch)

    monkeypatch.setattr(store, "write_spans", refusing)


async def test_a_trace_that_the_engine_refuses_harms_no_other(tracing, actor, monkeypatch):
    failing_for(monkeypatch, T, ValueError("no such value"))
    bodies = body_of(span(), span("bb" * 8), *(span(trace_id=f"{n:032x}") for n in range(1, 4)))
    status, _, answer = await send(tracing, actor, bodies)
    partial = json.loads(answer)["partialSuccess"]
    assert (status, partial["rejectedSpans"]) == (200, "2")
    assert "no such value" in partial["errorMessage"]
    assert {row.trace_id for row in (await tracing.list(SCOPE)).items} == {f"{n:032x}" for n in range(1, 4)}


async def test_an_own_span_that_the_engine_refuses_harms_no_other(tracing, actor, monkeypatch):
    with tracing.span(actor, "bad") as bad:
        failing_for(monkeypatch, bad.trace_id, ValueError("no such value"))
    with tracing.span(actor, "good"):
        pass
    await tracing.flush()
    assert [row.name for row in (await tracing.list(SCOPE)).items] == ["good"]
    assert (tracing.health()["dropped"], tracing.health()["written"]) == (1, 1)


async def test_a_full_disk_gives_503_and_own_spans_wait(tracing, actor, monkeypatch):
    monkeypatch.setattr(spans_module, "RETRY_S", 0.05)
    full = store.outages(tracing.database)("database or disk is full")
    with monkeypatch.context() as disk:
        failing_for(disk, T, full)
        status, headers, _ = await send(tracing, actor, body_of(span(), span(trace_id="1" * 32)))
        assert (status, headers["retry-after"]) == (503, "1")
        with tracing.span(actor, "own", parent=(T, S)):
            pass
        with pytest.raises(Unavailable):
            await tracing.flush()
    await tracing.flush()
    assert [row.name for row in (await tracing.list(SCOPE)).items] == ["own"]
    assert tracing.health()["dropped"] == 0


async def call_asgi(tracing, actor, parts, headers, method="POST"):
    sent = []
    messages = [{"type": "http.request", "body": part, "more_body": n < len(parts) - 1} for n, part in enumerate(parts)]

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def collect(message):
        sent.append(message)

    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    await tracing.asgi(
        {"type": "http", "method": method, "path": "/v1/traces", "headers": pairs, "actor": actor}, receive, collect
    )
    return sent


async def test_asgi_reads_bodies_in_parts_and_answers_in_the_callers_encoding(tracing, actor):
    body = body_of(span())
    start, end = await call_asgi(tracing, actor, [body[:10], body[10:]], {"content-type": "application/json; charset=utf-8"})
    assert (start["status"], end["body"]) == (200, b"{}")
    start, end = await call_asgi(tracing, actor, [b"{"], {"content-type": JSON})
    assert (start["status"], json.loads(end["body"])["code"]) == (400, 3)
    start, end = await call_asgi(tracing, actor, [b"\xff"], {"content-type": PROTO})
    assert (start["status"], end["body"][:2]) == (400, b"\x08\x03")
    start, _ = await call_asgi(tracing, actor, [b""], {"content-type": PROTO, "content-length": "999999999999"})
    assert start["status"] == 413
    start, _ = await call_asgi(tracing, None, [body], {"content-type": JSON})
    assert start["status"] == 401
    start, _ = await call_asgi(tracing, actor, [b""], {"content-type": JSON}, method="GET")
    assert start["status"] == 405
    assert await call_asgi(tracing, actor, [], {"content-type": JSON}) == []  # gone: nobody to answer


async def test_nesting_without_end_is_refused(tracing, actor):
    assert (await send(tracing, actor, b"[" * 200_000))[0] == 400
    value: dict = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    status, _, answer = await send(tracing, actor, body_of(span(attributes=[{"key": "k", "value": value}])))
    assert (status, json.loads(answer)["partialSuccess"]["rejectedSpans"]) == (200, "1")
    request = ExportTraceServiceRequest()
    pair = request.resource_spans.add().scope_spans.add().spans.add().attributes.add(key="k")
    inner = pair.value
    for _ in range(45):
        inner = inner.array_value.values.add()
    inner.string_value = "x"
    assert (await send(tracing, actor, request.SerializeToString(), PROTO))[0] in (200, 400)


FIELDS = [
    "resourceSpans", "scopeSpans", "resource", "scope", "spans", "attributes", "key", "value", "stringValue", "intValue", "name",
    "doubleValue", "arrayValue", "kvlistValue", "values", "traceId", "spanId", "parentSpanId", "kind", "status", "code", "events",
    "links", "startTimeUnixNano",
]  # fmt: skip
JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from([T, S, "1000"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSONISH, st.binary(max_size=60), st.text(max_size=30))
def test_nothing_a_client_writes_is_a_server_error(tracing, actor, shape, noise, text):
    async def run():
        deep = span(attributes=[{"key": text, "value": shape}], status=shape, events=shape, name=text, parentSpanId=shape)
        bodies = [
            json.dumps(shape).encode(),
            json.dumps({"resourceSpans": shape}).encode(),
            json.dumps(
                {"resourceSpans": [{"resource": shape, "scopeSpans": [{"scope": shape, "spans": [shape, deep]}]}]}
            ).encode(),
            body_of(
                span(
                    name=text,
                    attributes=[
                        {"key": text, "value": {"stringValue": text}},
                        {"key": "user.id", "value": {"stringValue": text}},
                    ],
                )
            ),
            noise,
        ]
        for body in bodies:
            for kind in (JSON, PROTO):
                status = (await send(tracing, actor, body, kind))[0]
                assert status in (200, 400), (status, body)
        assert (await send(tracing, actor, noise, PROTO, text))[0] in (200, 400, 415)
        await tracing.list(SCOPE)
        for row in (await tracing.list(SCOPE)).items:
            msgspec.json.encode(await tracing.trace(SCOPE, row.trace_id))

    asyncio.run(run())
