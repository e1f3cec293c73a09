"""Malformed input on every route: refused, or taken, never a 5xx; fields, bodies and encodings drawn by hypothesis, bounded."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from genwright.access.types import SYSTEM
from genwright.app import ROOMS
from genwright.web.server import operations_of
from page_site import BASE

OPERATIONS = sorted((name, row) for name, row in operations_of(ROOMS).items())
POSTED = [row["path"] for _, row in OPERATIONS if row["method"] == "POST"]
FACES = ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"]
USUAL = {
    "name": "n", "kind": "tool", "content": {}, "app": "a", "target": "local/extractive", "dataset": "d", "label": "l",
    "number": 1, "corpus": "c", "index": "i", "query": "q", "text": "t", "items": [{"question": "q"}], "value": 1,
    "mode": "hybrid", "k": 3, "trace_id": "x", "rail": "input", "role": "caller", "capture": "full",
    "digest": "sha256:" + "0" * 64, "ref": "prompt:x",
}  # fmt: skip
FIELDS = [
    "model", "messages", "tools", "tool_choice", "stop", "stream", "stream_options", "response_format", "user", "metadata", "n",
    "seed", "temperature", "max_tokens", "system", "input", "prompt", "variables", "genwright",
]  # fmt: skip
ATTRIBUTES = [
    "k", "__proto__", "gen_ai.input.messages", "gen_ai.usage.input_tokens", "session.id", "genwright.release",
    "genwright.cost_nano_usd", "gen_ai.retrieval.documents",
]  # fmt: skip
KINDS = ["stringValue", "intValue", "doubleValue", "arrayValue", "kvlistValue"]
CALL = {"model": "local/extractive", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
SPAN = {
    "traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1", "name": "x", "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2",
    "attributes": [], "events": [], "links": [], "status": {},
}  # fmt: skip
ODD = ["", "a\x00b", "\ud800", "🙂\u202e", "../../etc/passwd", "%00", "prompt:x@1", "sha256:" + "0" * 64, "9" * 400, "x" * 30_000,
       0, -1, 1.5, 1e308, 2**63, 2**200, True, None, [], {}, [[]], [{}], [None], ["x"], {"a": "b"}]  # fmt: skip
odd = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BODIES = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in a field": b'{"name":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a huge integer": b'{"name":' + b"9" * 5_000 + b"}",
    "beyond a float": b'{"name":1e999,"messages":1e999}',
    "not a number": b'{"name":NaN}',
    "a raw NUL": b'{"name":"a\x00b"}',
    "half a surrogate": b'{"name":"\\ud800","model":"\\ud800"}',
    "not UTF-8": b'{"name":"\xff\xfe"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
    "the same field twice": b'{"name":"a","name":"b"}',
    "packed": gzip.compress(b"0" * 1_000_000),
}


@pytest.fixture
async def caller(site):
    _, key = await site.house.access.create_key(SYSTEM(site.scope), "admin", "admin")
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    transport = httpx.ASGITransport(site.door, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
        yield client


def filled(path: str, value: str = "x") -> str:
    parts = [value if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


async def refused(caller: httpx.AsyncClient, method: str, url: str, **more: Any) -> None:
    answer = await caller.request(method, url, **more)
    assert answer.status_code < 500, (method, url[:300], str(more)[:500], answer.text[:500])


def drawn(count: int) -> Any:
    calm = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return budget(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=calm)


async def test_a_body_that_is_none(caller):
    for body in BODIES.values():
        for path in [*FACES, "/v1/traces", *POSTED]:
            named = {"name": "a.md"} if "documents" in path else None
            await refused(caller, "POST", filled(path), content=body, params=named)


async def test_spans_that_are_none(caller):
    bomb, half = gzip.compress(b"\0" * 100_000_000, 1), gzip.compress(b"x")[:-3]
    bodies = [*BODIES.values(), half, gzip.compress(b'{"resourceSpans":7}'), b"\x0a\xff\xff\xff\xff\x0f"]
    for kind in ("application/json", "application/x-protobuf", "text/plain", "application/json; charset=\xff"):
        for packed in ("", "gzip", "zstd", "gzip, gzip"):
            headers = {"content-type": kind.encode("latin-1"), **({"content-encoding": packed} if packed else {})}
            for body in [*bodies, bomb] if packed == "gzip" else bodies:
                await refused(caller, "POST", "/v1/traces", content=body, headers=headers)


@pytest.mark.parametrize("room", sorted({name.partition(".")[0] for name, _ in OPERATIONS}))
async def test_odd_values_in_every_field(caller, room):
    tried = 0
    for name, row in OPERATIONS:
        if name.startswith(room + ".") and name != "evals.safety":  # that one takes its time, whatever it is asked
            for field in [*row["fields"], *row["in_path"]]:
                for value in ODD:
                    await odd_field(caller, row, field, value)
                    tried += 1
    assert tried >= len(ODD)


async def odd_field(caller: httpx.AsyncClient, row: dict[str, Any], field: str, value: Any) -> None:
    usual = {known: USUAL[known] for known in row["fields"] if known in USUAL and known != field}
    text = quote(str(value).encode(errors="surrogatepass"), safe="")[:4_000]
    path = filled(row["path"], text if field in row["in_path"] else "x")
    if row["method"] == "POST" and "documents" not in row["path"]:
        body = usual if field in row["in_path"] else {**usual, field: value}
        await refused(caller, "POST", path, content=json.dumps(body).encode())
    else:
        query = "".join(f"&{known}={quote(str(usual[known]))}" for known in usual)
        await refused(caller, row["method"], f"{path}?{field}={text}{query}")


@drawn(60)
@given(path=st.sampled_from(FACES), field=st.sampled_from(FIELDS), value=odd)
async def test_odd_calls(caller, path, field, value):
    body = {"model": "local/minilm", "input": "x"} if path.endswith("embeddings") else CALL
    await refused(caller, "POST", path, content=json.dumps({**body, field: value}).encode())


@pytest.mark.parametrize("field", ["role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content"])
async def test_odd_messages(caller, field):
    for value in ODD:
        for within in (value, [value], [{"type": value, "id": value, "function": {"name": value, "arguments": value}}]):
            body = {**CALL, "messages": [*CALL["messages"], {"role": "assistant", "content": "x", field: within}]}
            await refused(caller, "POST", "/v1/chat/completions", content=json.dumps(body).encode())
            await refused(caller, "POST", "/v1/messages", content=json.dumps(body).encode())


async def test_odd_tool_choices(caller):
    for value in ODD:
        body = {**CALL, "tool_choice": {"type": value, "name": value, "function": value}}
        for path in FACES[:2]:
            await refused(caller, "POST", path, content=json.dumps(body).encode())


@drawn(60)
@given(field=st.sampled_from(sorted(SPAN)), attribute=st.sampled_from(ATTRIBUTES), kind=st.sampled_from(KINDS), value=odd)
async def test_odd_spans(caller, field, attribute, kind, value):
    odd_span, odd_attribute = {**SPAN, field: value}, {**SPAN, "attributes": [{"key": attribute, "value": {kind: value}}]}
    for spans in ([odd_span], [odd_attribute], value):
        body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
        await refused(caller, "POST", "/v1/traces", content=json.dumps(body).encode())
    for path in ("/api/tracing/traces", f"/api/tracing/traces/{SPAN['traceId']}/why", f"/w/default/tracing/{SPAN['traceId']}"):
        await refused(caller, "GET", path)
