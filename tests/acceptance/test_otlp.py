"""Foreign spans by OTLP/HTTP: the official exporter, both encodings, gzip, and a SIGKILL right after the 200."""

from __future__ import annotations

import gzip
import json
import time

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from journey import DATA, until

JSON = {"content-type": "application/json"}


class Watched(SpanExporter):
    """The official exporter, with what it answered."""

    def __init__(self, exporter):
        self.exporter, self.results = exporter, []

    def export(self, spans):
        self.results.append(self.exporter.export(spans))
        return self.results[-1]

    def shutdown(self):
        self.exporter.shutdown()


def send_two_spans(server, **options):
    """(trace id, results) of a model call below a request, sent by the official exporter."""
    exporter = Watched(
        OTLPSpanExporter(f"{server.address}/v1/traces", headers={"authorization": f"Bearer {server.key}"}, **options)
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("answer a customer") as request, tracer.start_as_current_span("chat gpt-4o-mini") as call:
        call.set_attribute("gen_ai.operation.name", "chat")
        call.set_attribute("gen_ai.provider.name", "openai")
        call.set_attribute("gen_ai.request.model", "gpt-4o-mini")
        call.set_attribute("gen_ai.usage.input_tokens", 120)
        call.set_attribute("gen_ai.usage.output_tokens", 30)
        trace_id = f"{request.get_span_context().trace_id:032x}"
    return trace_id, exporter.results


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip], ids=["plain", "gzip"])
def test_spans_of_the_official_exporter_become_a_trace(empty, compression):
    trace_id, results = send_two_spans(empty, compression=compression)
    assert set(results) == {SpanExportResult.SUCCESS}
    trace = empty.trace(trace_id, lambda found: len(found["spans"]) == 2)
    call = next(span for span in trace["spans"] if span["operation"] == "chat")
    assert (call["model"], call["tokens_in"], call["tokens_out"]) == ("gpt-4o-mini", 120, 30)
    root = next(span for span in trace["spans"] if not span["parent_id"])
    assert call["parent_id"] == root["span_id"]
    listed = empty.get("/api/tracing/traces", model="gpt-4o-mini")["items"]
    assert trace_id in {row["trace_id"] for row in listed}
    assert "chat gpt-4o-mini" in json.dumps(empty.cli("traces", "show", trace_id))


def test_a_200_survives_a_sigkill_right_after(empty):
    for _ in range(2):
        now = time.time_ns()
        trace_id = f"{now:032x}"
        spans = [
            {"traceId": trace_id, "spanId": f"{now + n:016x}", "name": f"step {n}", "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 5)}  # noqa: E501
            for n in range(50)
        ]  # fmt: skip
        with empty.http() as client:
            answer = client.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
            empty.process.kill()
        assert answer.status_code == 200
        empty.kill()
        empty.start()
        assert len(empty.trace(trace_id)["spans"]) == 50


def test_recorded_json_of_the_specification_is_taken_plain_and_gzipped(empty):
    source = DATA / "traces" / "otlp-json-examples" / "trace.json"
    if not source.exists():
        pytest.skip("needs ../shared/data/traces/otlp-json-examples")
    body = source.read_bytes()
    trace_id = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].lower()
    with empty.http() as client:
        assert client.post("/v1/traces", content=body, headers=JSON).status_code == 200
        zipped = client.post("/v1/traces", content=gzip.compress(body), headers={**JSON, "content-encoding": "gzip"})
        assert zipped.status_code == 200
    assert len(empty.trace(trace_id)["spans"]) == 1, "the same span twice is one span"


def test_what_cannot_be_read_is_refused_and_nothing_breaks(empty):
    with empty.http() as client:
        for content, headers, status in (
            (b"{", JSON, 400),
            (b"\xff\xff\xff", {"content-type": "application/x-protobuf"}, 400),
            (b"not gzip", {**JSON, "content-encoding": "gzip"}, 400),
            (gzip.compress(b"[" * 300_000_000), {**JSON, "content-encoding": "gzip"}, 413),
            (b"x", {"content-type": "text/plain"}, 415),
        ):
            assert client.post("/v1/traces", content=content, headers=headers).status_code == status, headers
    assert httpx.post(f"{empty.address}/v1/traces", content=b"{}", headers=JSON, timeout=30).status_code == 401
    _, viewer = empty.make_key("viewer")
    with empty.http(viewer) as client:
        assert client.post("/v1/traces", content=b"{}", headers=JSON).status_code == 403
    assert until(lambda: httpx.get(f"{empty.address}/readyz", timeout=30).status_code == 200)
