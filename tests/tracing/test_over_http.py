"""Over a real server on loopback: the official OTLP exporter, REST with real keys, the commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading

import httpx
import pytest
import typer
import uvicorn
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner

import genwright.client
from genwright.cli import Console
from genwright.tracing import commands
from genwright.vocab import Scope
from genwright.web.server import build_framework, operations_of


@pytest.fixture
async def server(web, tracing, tmp_path, monkeypatch):
    """Address of a server with the rooms access, registry and tracing, the keys as they are in production."""
    house = web._framework.state.house
    house.tracing = tracing
    web._framework = build_framework(house, ("access", "registry", "tracing"))

    async def door(scope, receive, send):
        if scope["path"] != "/v1/traces":
            return await web.door(scope, receive, send)
        key = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        with contextlib.suppress(genwright.errors.Unauthenticated):
            scope["actor"] = await web.access.actor_for_key(key)
        await tracing.asgi(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(door, log_level="error", lifespan="off", interface="asgi3"))
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join()


@pytest.fixture
async def client(server, web):
    headers = {"authorization": f"Bearer {await web.key('admin')}"}
    async with httpx.AsyncClient(base_url=server, headers=headers) as made:
        yield made


def finished_spans():
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("chat") as chat:
        chat.set_attribute("gen_ai.request.model", "gpt-4o")
        chat.set_attribute("gen_ai.usage.output_tokens", 5)
    return memory.get_finished_spans()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
async def test_the_official_exporter_stores_spans(server, web, client, compression):
    headers = {"authorization": f"Bearer {await web.key('caller')}"}
    exporter = OTLPSpanExporter(f"{server}/v1/traces", headers=headers, compression=compression)
    result = await asyncio.to_thread(exporter.export, finished_spans())
    assert result is SpanExportResult.SUCCESS
    rows = (await client.get("/api/tracing/traces", params={"model": "gpt-4o"})).json()["items"]
    assert [(row["name"], row["spans"], row["tokens_out"]) for row in rows] == [("request", 2, 5)]
    wrong = OTLPSpanExporter(f"{server}/v1/traces", headers={"authorization": "Bearer gw_wrong"})
    assert await asyncio.to_thread(wrong.export, finished_spans()) is SpanExportResult.FAILURE


async def test_rest(server, web, client, tracing, actor):
    with tracing.span(actor, "answer") as span:
        span.input = "hello"
    await tracing.flush()
    base = f"/api/tracing/traces/{span.trace_id}"
    assert (await client.get(base)).json()["spans"][0]["input"] == "hello"
    kept = await client.post(f"{base}/scores", json={"name": "thumbs", "value": True, "comment": "good"})
    assert (kept.status_code, kept.json()["value"], kept.json()["source"]) == (201, 1.0, "user")
    assert (await client.get("/api/tracing/traces", params={"score": "thumbs = 1"})).json()["items"][0][
        "trace_id"
    ] == span.trace_id
    assert (await client.get(f"{base}/why")).json()["nodes"][0]["kind"] == "answer"
    assert (await client.get("/api/tracing/impact", params={"ref": "model:x"})).json()["traces"] == 0
    assert (await client.get("/api/tracing/stats")).json()["total"]["calls"] == 1
    assert (await client.get("/api/tracing/traces/%2e%2e%00")).status_code == 404
    assert (await client.get("/api/tracing/traces", params={"cursor": "x"})).status_code == 400
    assert (await client.get("/api/tracing/traces", params={"since_ns": 2**80})).status_code == 400
    for bad in ({"name": ""}, {"name": "a\x00"}, {"name": "a", "value": []}, {"name": "a", "source": "x"}, {"nam": "a"}):
        assert (await client.post(f"{base}/scores", json=bad)).status_code == 400
    there = {"authorization": f"Bearer {await web.key('admin', 'other')}"}
    for path in (base, f"{base}/why"):
        assert (await client.get(path, headers=there)).status_code == 404
    assert (await client.post(f"{base}/scores", json={"name": "x", "value": 1}, headers=there)).status_code == 404
    assert (await client.get("/api/tracing/traces", headers=there)).json()["items"] == []
    caller = {"authorization": f"Bearer {await web.key('caller')}"}
    assert (await client.get(base, headers=caller)).status_code == 403
    assert (await client.get(base, headers={"authorization": ""})).status_code == 401


@pytest.fixture
async def cli(server, web, tmp_path, monkeypatch):
    """`await cli("traces", "list")` gives what was printed."""
    table = tmp_path / "operations.json"
    table.write_text(json.dumps(operations_of(("access", "registry", "tracing"))))
    monkeypatch.setattr(genwright.client, "OPERATIONS", table)
    genwright.client.operations.cache_clear()
    monkeypatch.setenv("GENWRIGHT_API_KEY", await web.key("admin"))
    tree = typer.Typer()
    tree.add_typer(commands.app, name="traces")
    tree.command("why")(commands.why)
    tree.command("impact")(commands.impact)

    async def run(*words, as_json=False):
        console = Console(as_json=as_json, url=server, home=str(tmp_path))
        try:
            result = await asyncio.to_thread(CliRunner().invoke, tree, words, obj=console)
        finally:
            await asyncio.to_thread(console.close)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    yield run
    genwright.client.operations.cache_clear()


async def test_commands(cli, tracing, actor):
    with tracing.span(actor, "app docs-qa", operation="invoke_agent") as root:
        root.input = "What is a lambda?\x1b[31m"
        with tracing.span(actor, "chat", operation="chat") as chat:
            chat.set("gen_ai.request.model", "m1")
            chat.set("gen_ai.usage.input_tokens", 7)
            chat.fail("the provider hung up")
    await tracing.flush()
    listed = await cli("traces", "list", "--since", "1h", "--model", "m1")
    assert root.trace_id in listed
    assert "What is a lambda?[31m" in listed
    assert "\x1b" not in listed
    assert root.trace_id not in await cli("traces", "list", "--model", "m2")
    lines = (await cli("traces", "show", root.trace_id)).splitlines()
    assert lines[0].startswith("app docs-qa · ok · ")
    assert lines[1].startswith("  app docs-qa ")
    assert lines[2].startswith("✗   chat ")
    assert lines[2].endswith("m1 · 7 → 0 tokens · the provider hung up")
    await cli("traces", "score", root.trace_id, "correct", "0.5", "--comment", "half")
    assert "correct: 0.5 (person) – half" in await cli("traces", "show", root.trace_id)
    why = await cli("why", root.trace_id)
    assert "Asked:\n  What is a lambda?[31m" in why
    assert "chat: the provider hung up" in why
    assert json.loads(await cli("why", root.trace_id, as_json=True))["trace"]["trace_id"] == root.trace_id
    impact = await cli("impact", "model:m1")
    assert "Answers it took part in: 1" in impact
    assert root.trace_id in impact
    assert (await tracing.trace(Scope(), root.trace_id)).scores[0].by
