"""The OpenAI face through the official client, over a real server, in front of the scripted provider."""

from __future__ import annotations

import json
import socket
import time

import openai
import pytest

from genwright.errors import Missing
from genwright.testing.provider import Fault, Reply, ToolCall

ASK = [{"role": "user", "content": "one two three"}]


def test_plain_answer_has_usage_span_and_ledger_row(openai_client, served, provider):
    raw = openai_client.chat.completions.with_raw_response.create(model="test/m", messages=ASK, temperature=0.5)
    answer = raw.parse()
    assert answer.choices[0].message.content == "echo: one two three"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 4)
    trace_id = raw.headers["x-genwright-trace"]
    trace = served.trace(trace_id)
    (span,) = trace.spans
    assert (span.operation, span.model, span.provider, span.tokens_in, span.tokens_out) == ("chat", "m", "test", 3, 4)
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    (row,) = served.ledger(trace_id)
    assert (row.status, row.input_tokens, row.output_tokens, row.estimated, row.span) == ("ok", 3, 4, False, span.span_id)
    assert provider.calls[-1].body["temperature"] == 0.5
    assert provider.calls[-1].model == "m"


def test_stream_is_forwarded_and_usage_chunk_withheld(openai_client, served, provider):
    stream = openai_client.chat.completions.create(model="test/m", messages=ASK, stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "echo: one two three"
    assert all(c.choices for c in chunks)
    assert provider.calls[-1].body["stream_options"] == {"include_usage": True}
    (row,) = served.ledger(stream.response.headers["x-genwright-trace"])
    assert (row.status, row.input_tokens, row.output_tokens) == ("ok", 3, 4)
    assert row.first_chunk_ns > 0


def test_stream_usage_chunk_on_request(openai_client):
    chunks = list(
        openai_client.chat.completions.create(model="test/m", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 4


def test_tools_round_trip(openai_client, provider, served):
    provider.script([Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}, "call_9"),))])
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
    raw = openai_client.chat.completions.with_raw_response.create(model="test/m", messages=ASK, tools=tools)
    choice = raw.parse().choices[0]
    assert (choice.finish_reason, choice.message.tool_calls[0].function.name) == ("tool_calls", "weather")
    assert provider.calls[-1].body["tools"] == tools
    output = served.trace(raw.headers["x-genwright-trace"]).spans[0].output
    assert output[0]["parts"][0] == {"type": "tool_call", "id": "call_9", "name": "weather", "arguments": {"city": "Oslo"}}


def test_streamed_tool_call_is_put_together_in_the_span(openai_client, provider, served):
    provider.script([Reply("Let me see.", tool_calls=(ToolCall("weather", {"city": "Oslo"}),))])
    stream = openai_client.chat.completions.create(model="test/m", messages=ASK, stream=True)
    list(stream)
    parts = served.trace(stream.response.headers["x-genwright-trace"]).spans[0].output[0]["parts"]
    assert parts[1]["arguments"] == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("fault", "kind", "status", "code"),
    [
        (Fault.status(400, "bad thing"), openai.BadRequestError, 400, "upstream_refused"),
        (Fault.status(401), openai.InternalServerError, 502, "upstream_auth"),
        (Fault.status(429, retry_after_s=3), openai.RateLimitError, 429, "upstream_limited"),
        (Fault.status(500), openai.InternalServerError, 502, "upstream"),
        (Fault.reset(), openai.InternalServerError, 502, "upstream_reset"),
        (Fault.hang(), openai.InternalServerError, 504, "upstream_timeout"),
        (Fault.garbage(), openai.InternalServerError, 502, "upstream_malformed"),
        (Fault.cut_after(3), openai.InternalServerError, 502, "stream_cut"),
    ],
)
def test_failures_are_typed_and_recorded(openai_client, served, provider, fault, kind, status, code):
    provider.script([fault])
    with pytest.raises(kind) as caught:
        openai_client.chat.completions.create(model="test/m", messages=ASK)
    response = caught.value.response
    shown = None if code == "upstream_refused" else code  # its body comes as the provider wrote it
    assert (response.status_code, caught.value.code) == (status, shown)
    if code == "upstream_limited":
        assert response.headers["retry-after"] == "3"
    trace_id = response.headers["x-genwright-trace"]
    (span,) = served.trace(trace_id).spans
    assert (span.status, span.attributes["error.type"]) == ("error", code)
    assert span.input is not None
    (row,) = served.ledger(trace_id)
    assert (row.status, row.output_tokens) == (code, 0)


@pytest.mark.parametrize(("fault", "code"), [(Fault.cut_after(3), "stream_cut"), (Fault.reset(3), "stream_cut")])
def test_stream_that_breaks_off(openai_client, served, provider, fault, code):
    provider.script([Reply("one two three four five", fault=fault)])
    stream = openai_client.chat.completions.create(model="test/m", messages=ASK, stream=True)
    text = ""
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert caught.value.body["code"] == code
    assert text == "one two"
    trace_id = stream.response.headers["x-genwright-trace"]
    (span,) = served.trace(trace_id).spans
    assert span.status == "error"
    assert span.output[0]["parts"] == [{"type": "text", "content": "one two"}]
    (row,) = served.ledger(trace_id)
    assert (row.status, row.estimated) == (code, True)
    assert row.output_tokens == 2
    assert row.input_tokens > 3


def test_stream_that_goes_silent(openai_client, provider, served):
    provider.script([Reply("one two", fault=Fault.slow(5))])
    with pytest.raises(openai.InternalServerError) as caught:
        list(openai_client.chat.completions.create(model="test/m", messages=ASK, stream=True))
    assert caught.value.code == "upstream_timeout"


@pytest.mark.parametrize("stream", [False, True])
def test_client_gone_cancels_upstream(served, provider, stream):
    """A raw socket that closes in the middle."""
    provider.script([Reply("one two three four five six seven eight", fault=Fault.slow(0.3) if stream else Fault.hang())])
    body = json.dumps({"model": "test/m", "messages": ASK, "stream": stream}).encode()
    trace_id = f"{time.time_ns():032x}"
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {served.house.keys['full']}\r\n"
        f"traceparent: 00-{trace_id}-00000000000000aa-01\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(served.origin.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + body)
        if stream:
            received = b""
            while b"one" not in received:
                received += connection.recv(65536)
        else:
            wait_for(lambda: bool(provider.calls))
    gone = time.monotonic()
    wait_for(lambda: provider.calls[-1].hung_up)
    assert time.monotonic() - gone < 1
    wait_for(lambda: bool(served.ledger(trace_id)))
    (row,) = served.ledger(trace_id)
    assert (row.status, row.estimated, row.input_tokens > 0) == ("cancelled", True, True)
    (span,) = served.trace(trace_id).spans
    assert span.parent_id == "00000000000000aa"
    assert span.attributes["error.type"] == "cancelled"
    if stream:
        assert span.output[0]["parts"][0]["content"].startswith("one")
    assert served.house.http.active_connections == 0


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it did not happen within 5 s"
        time.sleep(0.01)


def test_unknown_names(openai_client):
    for model, part in [("tset/m", "Nearest: test"), ("gpt", "PROVIDER/MODEL"), ("mistral/x", "genwright providers add mistral")]:
        with pytest.raises(openai.NotFoundError, match=part) as caught:
            openai_client.chat.completions.create(model=model, messages=ASK)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_wrong_field_and_wrong_key(openai_client, served):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model="test/m", messages=ASK, temperature=7)
    assert (caught.value.param, caught.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.AuthenticationError) as refused:
        openai_client.with_options(api_key="gw_wrong").chat.completions.create(model="test/m", messages=ASK)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.APIStatusError) as large:
        openai_client.chat.completions.create(model="test/m", messages=[{"role": "user", "content": "x" * 1_100_000}])
    assert large.value.status_code == 413
    with pytest.raises(openai.NotFoundError):
        openai_client.post("/nowhere", cast_to=object, body={})


def test_headers_and_metadata_land_on_the_span(openai_client, served):
    raw = openai_client.chat.completions.with_raw_response.create(
        model="test/m", messages=ASK, metadata={"session_id": "s1", "team": "blue"},
        extra_headers={"x-genwright-user": "ann", "x-genwright-tags": "env=test, urgent", "x-request-id": "mine"},
    )  # fmt: skip
    assert raw.headers["x-request-id"] == "mine"
    span = served.trace(raw.headers["x-genwright-trace"]).spans[0]
    assert (span.session, span.user) == ("s1", "ann")
    assert span.attributes["genwright.tags"] == {"team": "blue", "env": "test", "urgent": ""}


def test_capture_modes(openai_client, served):
    def ask(mode):
        client = openai_client.with_options(api_key=served.house.keys[mode])
        return client.chat.completions.with_raw_response.create(model="test/m", messages=ASK).headers["x-genwright-trace"]

    full, metadata, off = ask("full"), ask("metadata"), ask("off")
    assert served.trace(full).spans[0].input[0]["parts"][0]["content"] == "one two three"
    span = served.trace(metadata).spans[0]
    assert (span.input, span.output, span.tokens_in) == (None, None, 3)
    assert "one two three" not in str(span.attributes)
    with pytest.raises(Missing):
        served.trace(off)
    assert len(served.ledger(off)) == 1


def test_price_in_header_ledger_and_span(served, openai_client, provider):
    served.add(provider, "openai", "openai")
    provider.script([Reply("hi", input_tokens=1000, output_tokens=100, cached_tokens=200)])
    raw = openai_client.chat.completions.with_raw_response.create(model="openai/gpt-4o-mini", messages=ASK)
    trace_id = raw.headers["x-genwright-trace"]
    nano = 800 * 150 + 200 * 75 + 100 * 600  # USD 0.15, 0.075 and 0.60 a million
    assert served.ledger(trace_id)[0].nano_usd == nano
    assert raw.headers["x-genwright-cost-usd"] == f"{nano / 1e9:.9f}"
    assert served.trace(trace_id).spans[0].cost_nano_usd == nano


def test_several_choices_pass_through(openai_client, provider, served):
    answer = openai_client.chat.completions.create(
        model="test/m", messages=ASK, n=2, logit_bias={"5": 1}, extra_body={"top_k": 3}
    )
    assert answer.choices[0].message.content
    assert (provider.calls[-1].body["n"], provider.calls[-1].body["top_k"]) == (2, 3)


def test_anthropic_provider_behind_the_openai_face(served, openai_client, provider):
    served.add(provider, "claude", "anthropic")
    plain = openai_client.chat.completions.create(model="claude/c", messages=[{"role": "system", "content": "be"}, *ASK])
    assert plain.choices[0].message.content == "echo: one two three"
    call = provider.calls[-1]
    assert (call.path, call.headers["x-api-key"], call.body["system"][0]["text"]) == ("/v1/messages", "sk-upstream", "be")
    provider.script([Reply("Hello you", tool_calls=(ToolCall("f", {"a": 1}),), input_tokens=10, cached_tokens=4)])
    chunks = list(
        openai_client.chat.completions.create(model="claude/c", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "Hello you"
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.prompt_tokens_details.cached_tokens) == (10, 4)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model="claude/c", messages=ASK, seed=1)
    assert caught.value.param == "seed"
