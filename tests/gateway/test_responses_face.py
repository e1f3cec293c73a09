"""The Responses face through the official client, over a real server, in front of the scripted provider's chat completions."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from genwright.testing.provider import Fault, Reply, ToolCall

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


@pytest.fixture(params=["test", "claude"])
def model(request, served, provider):
    """The same from a provider of each dialect."""
    if request.param == "claude":
        served.add(provider, "claude", "anthropic")
    return f"{request.param}/m"


def test_plain(openai_client, model, provider):
    raw = openai_client.responses.with_raw_response.create(model=model, input="one two", instructions="Be brief.")
    made = raw.parse()
    assert made.output_text == "echo: one two"
    assert (made.status, made.object, made.store, made.instructions) == ("completed", "response", True, "Be brief.")
    assert (made.usage.input_tokens, made.usage.output_tokens) == (4, 3)
    assert raw.headers["x-genwright-trace"]
    sent = provider.calls[-1].body
    system = sent["messages"][0]["content"] if model == "test/m" else sent["system"][0]["text"]
    assert system == "Be brief."


def test_the_streams_events_are_openais(openai_client, model, provider):
    provider.script([Reply("I look now.", tool_calls=(ToolCall("weather", {"city": "Oslo"}), ToolCall("weather", {}, "call_2")))])
    with openai_client.responses.stream(model=model, input="weather?", tools=[TOOL]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-1] == "response.completed"
    for kind in ("output_text.delta", "output_text.done", "content_part.done", "output_item.done",
                 "function_call_arguments.delta", "function_call_arguments.done"):  # fmt: skip
        assert f"response.{kind}" in kinds, kind
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "I look now."
    calls = [(item.call_id, item.name, item.arguments) for item in final.output if item.type == "function_call"]
    assert calls == [("call_1", "weather", '{"city":"Oslo"}'), ("call_2", "weather", "{}")]
    assert final.usage.output_tokens > 0


def test_tools_go_on_from_the_previous_response(openai_client, model, provider):
    provider.script([Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),)), Reply("It is cold.")])
    first = openai_client.responses.create(model=model, input="Weather in Oslo?", tools=[TOOL])
    (call,) = first.output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "cold"}
    second = openai_client.responses.create(model=model, input=[output], previous_response_id=first.id, tools=[TOOL])
    assert second.output_text == "It is cold."
    assert second.previous_response_id == first.id
    texts = str(provider.calls[-1].body["messages"])
    assert "Weather in Oslo?" in texts
    assert "cold" in texts
    openai_client.responses.create(model=model, input="Thanks.", previous_response_id=second.id)
    roles = [message["role"] for message in provider.calls[-1].body["messages"]]
    assert roles == (
        ["user", "assistant", "tool", "assistant", "user"] if model == "test/m" else ["user", "assistant"] * 2 + ["user"]
    )


def test_kept_ones_are_got_listed_and_deleted(openai_client, model):
    made = openai_client.responses.create(model=model, input="keep this")
    again = openai_client.responses.retrieve(made.id)
    assert (again.id, again.output_text) == (made.id, made.output_text)
    (item,) = openai_client.responses.input_items.list(made.id).data
    assert item.content[0].text == "keep this"
    openai_client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.responses.create(model=model, input="x", previous_response_id=made.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


def test_what_is_not_to_be_stored_is_not(openai_client, served):
    made = openai_client.responses.create(model="test/m", input="forget this", store=False)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(made.id)
    with openai.OpenAI(base_url=served.origin + "/v1", api_key=served.house.keys["off"], max_retries=0) as quiet:
        made = quiet.responses.create(model="test/m", input="and this")
        assert made.store is False
        with pytest.raises(openai.NotFoundError):
            quiet.responses.retrieve(made.id)
        with pytest.raises(openai.BadRequestError, match="store"):
            quiet.responses.create(model="test/m", input="x", background=True)


def wait(client, id_):
    end = time.monotonic() + 5
    while (found := client.responses.retrieve(id_)).status in ("queued", "in_progress"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_background(openai_client, provider):
    begun = openai_client.responses.create(model="test/m", input="later", background=True)
    assert begun.status in ("queued", "in_progress")
    done = wait(openai_client, begun.id)
    assert (done.id, done.status, done.output_text, done.background) == (begun.id, "completed", "echo: later", True)
    provider.script([Fault.status(500)])
    failed = wait(openai_client, openai_client.responses.create(model="test/m", input="x", background=True).id)
    assert (failed.status, failed.error.code) == ("failed", "upstream")


def test_background_is_cancelled_at_the_provider_too(openai_client, provider):
    provider.script([Fault.hang()])
    begun = openai_client.responses.create(model="test/m", input="x", background=True)
    end = time.monotonic() + 5
    while not provider.calls and time.monotonic() < end:
        time.sleep(0.01)
    assert openai_client.responses.cancel(begun.id).status == "cancelled"
    while not provider.calls[-1].hung_up and time.monotonic() < end:
        time.sleep(0.01)
    assert provider.calls[-1].hung_up
    assert openai_client.responses.retrieve(begun.id).status == "cancelled"


def test_an_answer_that_was_cut_is_incomplete(openai_client, provider):
    made = openai_client.responses.create(model="test/m", input="one two three four", max_output_tokens=2)
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    provider.script([Reply("one two three four", fault=Fault.cut_after(3))])
    kinds = []
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012
        for event in openai_client.responses.create(model="test/m", input="x", stream=True):
            kinds.append(event.type)
    assert "response.output_text.delta" in kinds
    assert caught.value.body["code"] == "stream_cut"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"temperature": 3}, "temperature"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["web_search_call.results"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}], "model": "claude/m"}, "input"),
        ({"background": True, "stream": True}, "stream"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(openai_client, served, provider, fields, param):
    served.add(provider, "claude", "anthropic")
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.responses.create(**{"model": "test/m", "input": "x"} | fields)
    assert caught.value.param == param
    assert provider.calls == []


def test_left_out_on_request_and_told(served, provider):
    served.add(provider, "claude", "anthropic")
    body = {"model": "claude/m", "input": "x", "service_tier": "flex", "top_logprobs": 3, "drop_params": True}
    headers = {"authorization": f"Bearer {served.house.keys['full']}"}
    answer = httpx.post(served.origin + "/v1/responses", json=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-genwright-dropped"] == "service_tier, top_logprobs"
    (span,) = served.trace(answer.headers["x-genwright-trace"]).spans
    assert span.attributes["genwright.dropped"] == ["service_tier", "top_logprobs"]
    assert "drop_params" not in provider.calls[-1].body


def test_tokens_of_an_input_are_counted(openai_client):
    assert openai_client.responses.input_tokens.count(model="test/m", input="one two three").input_tokens > 3
