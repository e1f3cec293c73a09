"""The OpenAI face through the official client, over a real server, in front of the scripted provider."""

from __future__ import annotations

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
