"""The official clients through every face: `openai` and `anthropic` for Python, `openai` for node.

Each face is asked with models of both dialects behind it: the client must not be able to tell.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import anthropic
import openai
import pytest
from pydantic import BaseModel

from genwright.testing.provider import Fault, Reply, ToolCall
from journey import ROOT, Server, empty  # noqa: F401

ASK = [{"role": "user", "content": "one two three"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}}
CLAUDE_TOOL = {"name": "weather", "input_schema": WEATHER}
RESPONSES_TOOL = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
MODELS = ["scripted/m", "claude/m"]


class City(BaseModel):
    city: str


@pytest.fixture(scope="module")
def house(tmp_path_factory, provider):
    """A server of its own with the scripted provider twice: in OpenAI's dialect and in Anthropic's."""
    server = Server(tmp_path_factory.mktemp("clients") / "home")
    server.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-1")
    server.cli("providers", "add", "claude", "--kind", "anthropic", "--url", provider.origin + "/v1", "--key", "sk-2")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chat(house):
    with openai.OpenAI(base_url=f"{house.address}/v1", api_key=house.key, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def claude(house):
    with anthropic.Anthropic(base_url=house.address, api_key=house.key, max_retries=0, timeout=60) as client:
        yield client


# --- openai


@pytest.mark.parametrize("model", MODELS)
def test_chat_tools_and_their_results(chat, provider, model):
    both = (ToolCall("weather", {"city": "Oslo"}, "call_a"), ToolCall("weather", {"city": "Rome"}, "call_b"))
    provider.script([Reply("I look.", tool_calls=both), Reply("Cold and warm.")])
    first = chat.chat.completions.create(model=model, messages=ASK, tools=[CHAT_TOOL], tool_choice="required")
    message = first.choices[0].message
    assert [(c.id, json.loads(c.function.arguments)["city"]) for c in message.tool_calls] == [
        ("call_a", "Oslo"),
        ("call_b", "Rome"),
    ]
    assert first.choices[0].finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": c.id, "content": c.function.arguments} for c in message.tool_calls]
    second = chat.chat.completions.create(model=model, messages=[*ASK, message, *results], tools=[CHAT_TOOL])
    assert second.choices[0].message.content == "Cold and warm."
    assert str(provider.calls[-1].body).count("call_b") == 2


@pytest.mark.parametrize("model", MODELS)
def test_chat_streams_with_the_clients_own_accumulator(chat, provider, model):
    provider.script([Reply("I look now.", tool_calls=(ToolCall("weather", {"city": "Oslo"}),), input_tokens=9, cached_tokens=4)])
    with chat.chat.completions.stream(
        model=model, messages=ASK, tools=[CHAT_TOOL], stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done", "tool_calls.function.arguments.done"} <= kinds
    assert final.choices[0].message.content == "I look now."
    assert final.choices[0].message.tool_calls[0].function.parsed_arguments == {"city": "Oslo"}
    assert (final.usage.prompt_tokens, final.usage.prompt_tokens_details.cached_tokens) == (9, 4)


@pytest.mark.parametrize("model", MODELS)
def test_structured_output_is_parsed(chat, provider, model):
    provider.script([Reply('{"city": "Oslo"}'), Reply('{"city": "Rome"}')])
    parsed = chat.chat.completions.parse(model=model, messages=ASK, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Oslo")
    sent = provider.calls[-1].body
    schema = sent["response_format"]["json_schema"] if model == "scripted/m" else sent["output_config"]["format"]
    assert schema["schema"]["required"] == ["city"]
    assert chat.responses.parse(model=model, input="x", text_format=City).output_parsed == City(city="Rome")


@pytest.mark.parametrize("model", MODELS)
def test_responses(chat, provider, model):
    made = chat.responses.create(model=model, input="one two three")
    assert made.output_text == "echo: one two three"
    assert chat.responses.retrieve(made.id).output_text == made.output_text
    with chat.responses.stream(model=model, input="four", previous_response_id=made.id) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert (kinds[0], kinds[-1], final.output_text) == ("response.created", "response.completed", "echo: four")
    assert "one two three" in str(provider.calls[-1].body["messages"])
    provider.script([Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),))])
    (call,) = chat.responses.create(model=model, input="x", tools=[RESPONSES_TOOL]).output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"city": "Oslo"})


def test_what_else_openais_client_has(chat, provider):
    assert "scripted" in {model.owned_by for model in chat.models.list()} | {"scripted"}
    assert chat.models.retrieve("local/minilm").owned_by == "local"
    assert chat.completions.create(model="scripted/m", prompt="one two", max_tokens=50).object == "text_completion"
    text = "".join(
        c.choices[0].text for c in chat.completions.create(model="claude/m", prompt="one two", max_tokens=50, stream=True)
    )
    assert text == "echo: one two"
    assert len(chat.embeddings.create(model="local/minilm", input=["a", "b"]).data[1].embedding) == 384
    judged = chat.moderations.create(input=["what a lovely day", "you fucking idiot"])
    assert [result.flagged for result in judged.results] == [False, True]
    assert judged.model_extra["known_categories"] == ["toxicity"]


@pytest.mark.parametrize("model", MODELS)
def test_failures_are_the_clients_own_exceptions(chat, house, provider, model):
    kinds = [
        (Fault.status(400, "no good"), openai.BadRequestError),
        (Fault.status(429, retry_after_s=2), openai.RateLimitError),
        (Fault.status(500), openai.InternalServerError),
        (Fault.status(401), openai.InternalServerError),
    ]
    for fault, kind in kinds:
        provider.script([fault, fault])
        with pytest.raises(kind):
            chat.chat.completions.create(model=model, messages=ASK)
        with pytest.raises(kind):
            chat.responses.create(model=model, input="x")
    with pytest.raises(openai.NotFoundError):
        chat.chat.completions.create(model="nowhere/m", messages=ASK)
    with pytest.raises(openai.BadRequestError) as caught:
        chat.chat.completions.create(model="claude/m", messages=ASK, seed=1)
    assert caught.value.param == "seed"
    with (
        openai.OpenAI(base_url=f"{house.address}/v1", api_key="gw_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


# --- anthropic


@pytest.mark.parametrize("model", MODELS)
def test_messages_tools_and_streams(claude, provider, model):
    provider.script([Reply("I look.", tool_calls=(ToolCall("weather", {"city": "Oslo"}, "toolu_1"),)), Reply("It is cold.")])
    first = claude.messages.create(model=model, max_tokens=50, messages=ASK, tools=[CLAUDE_TOOL], tool_choice={"type": "any"})
    assert (first.stop_reason, first.content[1].name, first.content[1].input) == ("tool_use", "weather", {"city": "Oslo"})
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "cold"}]}
    turns = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    with claude.messages.stream(model=model, max_tokens=50, messages=turns, tools=[CLAUDE_TOOL], system="Be brief.") as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert (text, final.stop_reason, final.usage.output_tokens) == ("It is cold.", "end_turn", 3)
    provider.script([Reply(tool_calls=(ToolCall("weather", {"city": "Rome"}),))])
    with claude.messages.stream(model=model, max_tokens=50, messages=ASK, tools=[CLAUDE_TOOL]) as stream:
        assert stream.get_final_message().content[0].input == {"city": "Rome"}


@pytest.mark.parametrize("model", MODELS)
def test_messages_with_an_image(claude, provider, model):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    claude.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": [image, {"type": "text", "text": "?"}]}]
    )
    assert PNG in json.dumps(provider.calls[-1].body)


def test_tokens_are_counted_and_models_listed(claude):
    assert (
        claude.messages.count_tokens(model="scripted/m", messages=ASK, tools=[CLAUDE_TOOL], system="Be brief.").input_tokens > 10
    )
    assert claude.models.retrieve("local/extractive").type == "model"
    assert "local/extractive" in [model.id for model in claude.models.list()]


@pytest.mark.parametrize("model", MODELS)
def test_failures_are_anthropics_exceptions(claude, house, provider, model):
    for fault, kind in [
        (Fault.status(400, "no good"), anthropic.BadRequestError),
        (Fault.status(429, retry_after_s=2), anthropic.RateLimitError),
        (Fault.status(500), anthropic.InternalServerError),
    ]:
        provider.script([fault])
        with pytest.raises(kind):
            claude.messages.create(model=model, max_tokens=50, messages=ASK)
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="nowhere/m", max_tokens=50, messages=ASK)
    assert caught.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        claude.messages.create(model="scripted/m", max_tokens=50, messages=ASK, extra_body={"top_k": 5})
    stranger = anthropic.Anthropic(base_url=house.address, api_key="gw_wrong", max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.models.list()


# --- what headers say


def test_headers_in_and_out(house, provider):
    with house.http() as client:
        body = {"model": "claude/m", "messages": ASK, "seed": 7, "frequency_penalty": 0.5}
        answer = client.post("/v1/chat/completions", json=body, headers={"x-genwright-drop-params": "true"})
        assert answer.status_code == 200, answer.text
        assert set(answer.headers["x-genwright-dropped"].split(", ")) == {"seed", "frequency_penalty"}
        assert answer.headers["x-genwright-trace"]
        provider.script([Reply("slow", fault=Fault.hang())])
        answer = client.post(
            "/v1/chat/completions", json={**body, "seed": None, "frequency_penalty": 0}, headers={"x-genwright-timeout": "0.3"}
        )
        assert answer.status_code == 504, answer.text
        for name in ("x-genwright-timeout", "x-genwright-cache", "x-genwright-cache-ttl", "x-genwright-drop-params"):
            answer = client.post("/v1/chat/completions", json=body, headers={name: "never"})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


# --- node


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A folder with the client for node, installed by version and integrity from the registry that npm is configured for."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("npm") / "client"
    shutil.copytree(ROOT / "tests" / "integrations" / "npm", folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(folder / "cache")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode and any(
        word in done.stderr for word in ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "ECONNRESET")
    ):
        pytest.skip(f"npm reaches no registry: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["scripted", "claude"])
def test_openais_client_for_node(house, provider, node, name):
    provider.clear()
    provider.always(Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),)), model="m-tools")
    provider.always(Reply('{"city": "Oslo"}'), model="m-json")
    variables = {"GENWRIGHT_ADDRESS": house.address, "GENWRIGHT_KEY": house.key, "MODEL": f"{name}/m"}
    if name == "claude":  # which has no embeddings
        script = (
            (node / "openai.mjs").read_text().replace("embeddings.create({ model,", 'embeddings.create({ model: "local/minilm",')
        )
        (node / "openai.mjs").write_text(script)
    done = subprocess.run(
        ["node", "openai.mjs"], cwd=node, capture_output=True, text=True, timeout=60, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "local/extractive" in found.pop("models")
    missing = found.pop("unknownModel")
    assert missing.startswith("NotFoundError 404 model_not_found")
    assert found == {
        "chat": "echo: one two three",
        "streamed": "echo: one two three",
        "tool": ["weather", {"city": "Oslo"}],
        "afterTool": "echo: cold" if name == "scripted" else "echo: ",  # the provider's echo reads no tool results of Anthropic's
        "structured": {"city": "Oslo"},
        "response": "echo: one two three",
        "responseStream": "echo: one two three",
        "responseEvents": ["response.created", "response.completed"],
        "next": True,
        "kept": "echo: one two three",
        "gone": "NotFoundError 404 not_found null",
        "embedding": 2,
        "moderation": True,
        "badField": "BadRequestError 400 invalid_field temperature",
        "badKey": "AuthenticationError 401 invalid_api_key null",
    }
