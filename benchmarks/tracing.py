"""Spans: stored per second with a sync before each answer, CPU and disk for each, and how fast lists and traces are read.

Workload: traces of 8 spans, one agent span and seven model calls whose question and answer are real text of about 1 kB
together (HaluEval questions and answers, drawn by seed), as OTLP protobuf in messages of 512 spans, eight clients at once,
through the ASGI callable. Building the messages is not measured.
"""

import asyncio
import json
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import SHARED, Figure, figure

SPANS = 60_000
PER_MESSAGE = 512
CLIENTS = 8
RUNS = 3
TEXT_BYTES = 1_000


def figures() -> Iterator[Figure]:
    texts = real_texts()
    messages = [message(texts, number) for number in range(SPANS // PER_MESSAGE)]
    runs = [asyncio.run(one_run(messages)) for _ in range(RUNS)]
    count = PER_MESSAGE * len(messages)
    note = f"{count:,} spans a run, {PER_MESSAGE} a message, {CLIENTS} clients, synchronous=FULL"
    yield figure("tracing.spans_per_s_durable", [run["spans_per_s"] for run in runs], "1/s", note=note)
    yield figure("tracing.cpu_us_per_span", [run["cpu_us"] for run in runs], "µs", note="whole process, parsing included")
    yield figure("tracing.disk_b_per_span", [run["disk_b"] for run in runs], "B", note="database file after checkpoint")
    yield figure("tracing.list_ms", [run["list_ms"] for run in runs], "ms", note=f"newest 50 of {count // 8:,} traces")
    yield figure("tracing.trace_ms", [run["trace_ms"] for run in runs], "ms", note="one trace of 8 spans with payloads")
    yield figure("tracing.own_span_caller_us", [run["own_us"] for run in runs], "µs", note="what the caller pays for a span")


def real_texts() -> list[str]:
    """About 1 kB each: questions and answers put together until they are that long."""
    lines = (SHARED / "groundedness" / "halueval-general" / "general_data.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    pieces = [f"{row['user_query']}\n{row['chatgpt_response']}" for row in rows]
    random.Random(0).shuffle(pieces)
    texts, text = [], ""
    for piece in pieces:
        text += piece + "\n"
        if len(text.encode()) >= TEXT_BYTES:
            texts.append(text.encode()[:TEXT_BYTES].decode(errors="ignore"))
            text = ""
    return texts


def message(texts: list[str], number: int) -> bytes:
    """One ExportTraceServiceRequest of 64 traces of 8 spans."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    generator = random.Random(number)
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    _set(resource_spans.resource.attributes, {"service.name": "shop", "service.version": "1.4.2", "host.name": "web-3"})
    scope = resource_spans.scope_spans.add()
    scope.scope.name, scope.scope.version = "opentelemetry.instrumentation.openai_v2", "2.1"
    for trace in range(PER_MESSAGE // 8):
        start = 1_790_000_000_000_000_000 + (number * PER_MESSAGE + trace * 8) * 1_000_000
        trace_id, root = generator.randbytes(16), generator.randbytes(8)
        span = scope.spans.add(trace_id=trace_id, span_id=root, name="invoke_agent shop", kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + 4_000_000_000
        _set(
            span.attributes,
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop", "session.id": f"s{generator.randrange(5000)}"},
        )
        for call in range(7):
            _chat(scope.spans.add(trace_id=trace_id, span_id=generator.randbytes(8)), root, start + call, texts, generator)
    return request.SerializeToString()


def _chat(span, root: bytes, start: int, texts: list[str], generator: random.Random) -> None:
    span.parent_span_id, span.name, span.kind = root, "chat gpt-4o", 3
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + generator.randrange(10**8, 10**9)
    text = texts[generator.randrange(len(texts))]
    asked, answered = text[:300], text[300:]
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.usage.input_tokens": generator.randrange(50, 400),
        "gen_ai.usage.output_tokens": generator.randrange(20, 300),
        "gen_ai.response.id": f"chatcmpl-{generator.randrange(10**12)}",
        "server.address": "api.openai.com",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": asked}]}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answered}]}]),
    }
    _set(span.attributes, values)


def _set(attributes, values: dict) -> None:
    for key, value in values.items():
        kinds = {str: "string_value", int: "int_value", float: "double_value"}
        setattr(attributes.add(key=key).value, kinds[type(value)], value)


async def one_run(messages: list[bytes]) -> dict[str, float]:
    from genwright.access.types import Actor
    from genwright.db import SPANS as TABLES
    from genwright.db import Database
    from genwright.tracing.service import Tracing
    from genwright.vocab import Scope

    folder = Path(tempfile.mkdtemp())
    try:
        database = Database("spans", f"sqlite:///{folder / 'spans.sqlite'}")
        with database.engine.connect() as connection:
            TABLES.create_all(connection)
        tracing = Tracing(database, None)  # type: ignore[arg-type]  # no registry is asked here
        actor = Actor(Scope(), "key", "bench", "key", "admin")
        found = await _ingest(tracing, actor, messages)
        found |= await _read(tracing, Scope())
        found["own_us"] = _own(tracing, actor)
        tracing.close()
        database.close()  # the last connection checkpoints the log into the file
        found["disk_b"] = found.pop("file_b")
        return found
    finally:
        shutil.rmtree(folder)


async def _ingest(tracing, actor, messages: list[bytes]) -> dict[str, float]:
    waiting = iter(messages)
    used, begin = _cpu_s(), time.perf_counter()

    async def client() -> None:
        for body in waiting:
            status = await _post(tracing, actor, body)
            if status != 200:
                raise RuntimeError(f"answered {status}")

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    seconds, cpu_s = time.perf_counter() - begin, _cpu_s() - used
    count = PER_MESSAGE * len(messages)

    def checkpoint(connection) -> int:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return connection.exec_driver_sql("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").scalar()

    size = await tracing.database.read(checkpoint)
    return {"spans_per_s": count / seconds, "cpu_us": cpu_s / count * 1e6, "file_b": size / count}


async def _post(tracing, actor, body: bytes) -> int:
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(part) -> None:
        sent.append(part)

    headers = [(b"content-type", b"application/x-protobuf"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/traces", "headers": headers, "actor": actor}
    await tracing.asgi(scope, receive, send)
    return sent[0]["status"]


async def _read(tracing, scope) -> dict[str, float]:
    lists, traces = [], []
    for _ in range(50):
        begin = time.perf_counter()
        page = await tracing.list(scope)
        lists.append((time.perf_counter() - begin) * 1e3)
        begin = time.perf_counter()
        await tracing.trace(scope, page.items[random.Random(len(lists)).randrange(len(page.items))].trace_id)
        traces.append((time.perf_counter() - begin) * 1e3)
    return {"list_ms": statistics.median(lists), "trace_ms": statistics.median(traces)}


def _own(tracing, actor, count: int = 2_000) -> float:
    begin = time.thread_time()
    for number in range(count):
        with tracing.span(actor, "chat", operation="chat") as span:
            span.set("gen_ai.request.model", "gpt-4o")
            span.set("gen_ai.usage.input_tokens", number)
            span.input, span.output = "question", "answer"
    return (time.thread_time() - begin) / count * 1e6


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
