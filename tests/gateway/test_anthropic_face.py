"""The Anthropic face through the official client."""

from __future__ import annotations

import anthropic
import pytest

from genwright.testing.provider import Fault, Reply, ToolCall

ASK = [{"role": "user", "content": "one two three"}]


@pytest.fixture
def client(served, provider):
    served.add(provider, "claude", "anthropic")
    with anthropic.Anthropic(base_url=served.origin, api_key=served.house.keys["full"], max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["claude/c", "test/m"])
def test_plain(client, served, model):
    raw = client.messages.with_raw_response.create(model=model, max_tokens=50, messages=ASK, system="be")
    answer = raw.parse()
    assert answer.content[0].text == "echo: one two three"
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 4, 4)
    assert served.ledger(raw.headers["x-genwright-trace"])[0].input_tokens == 4


@pytest.mark.parametrize("model", ["claude/c", "test/m"])
def test_stream_with_tools(client, provider, served, model):
    provider.script([Reply("Hello you", tool_calls=(ToolCall("f", {"a": 1}, "t1"), ToolCall("g", {"b": 2}, "t2")))])
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    with client.messages.stream(model=model, max_tokens=50, messages=ASK, tools=tools) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert message.content[0].text == "Hello you"
    assert (message.content[1].input, message.content[2].input) == ({"a": 1}, {"b": 2})
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens == 6
    (row,) = served.ledger(stream.response.headers["x-genwright-trace"])
    assert (row.status, row.output_tokens) == ("ok", 6)


def test_beta_header_and_unknown_fields_go_along(client, provider):
    client.messages.create(
        model="claude/c", max_tokens=5, messages=ASK, extra_headers={"anthropic-beta": "new-1"}, extra_body={"x": 1}
    )
    call = provider.calls[-1]
    assert (call.headers["anthropic-beta"], call.body["x"], call.model) == ("new-1", 1, "c")


def test_unknown_field_for_another_dialect_is_refused(client):
    with pytest.raises(anthropic.BadRequestError, match="thinking"):
        client.messages.create(model="test/m", max_tokens=5, messages=ASK, thinking={"type": "enabled", "budget_tokens": 1024})


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [(Fault.status(429), 429, "rate_limit_error"), (Fault.status(529), 502, "api_error"), (Fault.hang(), 504, "timeout_error")],
)
def test_errors_in_the_dialect(client, provider, fault, status, kind):
    provider.script([fault])
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="claude/c", max_tokens=5, messages=ASK)
    assert (caught.value.status_code, caught.value.body["error"]["type"]) == (status, kind)


def test_request_errors(client, served):
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model="claude/c", max_tokens=0, messages=ASK)
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="nobody/c", max_tokens=5, messages=ASK)
    assert missing.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="gw_wrong").messages.create(model="claude/c", max_tokens=5, messages=ASK)


@pytest.mark.parametrize("model", ["claude/c", "test/m"])
def test_stream_that_breaks_off(client, provider, served, model):
    provider.script([Reply("one two three four five", fault=Fault.cut_after(5))])
    text = ""
    stream = client.messages.create(model=model, max_tokens=50, messages=ASK, stream=True)
    with pytest.raises(anthropic.APIError) as caught:  # noqa: PT012
        for event in stream:
            if event.type == "content_block_delta":
                text += event.delta.text
    assert caught.value.body["error"]["type"] == "api_error"
    assert text.startswith("one two")
    (row,) = served.ledger(stream.response.headers["x-genwright-trace"])
    assert (row.status, row.estimated, row.output_tokens) == ("stream_cut", True, len(text.split()))


def test_models(client):
    ids = [model.id for model in client.models.list()]
    assert "claude/claude-sonnet-4-5" in ids
    assert "local/extractive" in ids
