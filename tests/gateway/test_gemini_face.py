"""Gemini's clients at our door: recorded requests of Google's own client through the face, to every dialect of provider."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from genwright.errors import Invalid
from genwright.gateway.faces import gemini
from genwright.gateway.sse import Parser
from genwright.gateway.types import Answer, Chunk, ToolDelta
from genwright.gateway.wire import gemini as wire
from genwright.messages import Message, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage
from genwright.testing.provider import Fault, Reply
from genwright.testing.provider import ToolCall as Scripted

RECORDED = Path(__file__).parent / "recorded/gemini"
AWS = '{"access_key_id": "AKIDEXAMPLE", "secret_access_key": "sk-upstream"}'
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Which planet is red?"}]}]}


@pytest.fixture(scope="module")
def dialects(served, provider):
    """The scripted provider by each of its dialects: name → model."""
    add, admin = served.house.gateway.add_provider, served.admin
    served.run(add(admin, "gem", "gemini", provider.origin + "/v1beta", "sk-upstream"))
    served.run(add(admin, "claude", "anthropic", provider.origin + "/v1", "sk-upstream"))
    served.run(add(admin, "rock", "bedrock", provider.origin, AWS))
    yield {"openai": "test/m", "gemini": "gem/gemini-2.5-flash", "anthropic": "claude/m", "bedrock": "rock/anthropic.claude-v1:0"}
    for name in ("gem", "claude", "rock"):
        served.run(served.house.gateway.remove_provider(admin, name))


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.origin + "/v1beta", headers={"x-goog-api-key": served.house.keys["full"]}) as made:
        yield made


ALL = pytest.mark.parametrize("name", ["openai", "gemini", "anthropic", "bedrock"])


@ALL
def test_a_plain_answer(client, dialects, name, provider):
    provider.script([Reply("Mars is red", input_tokens=5, output_tokens=3, cached_tokens=2)])
    answer = client.post(f"/models/{dialects[name]}:generateContent", json=HELLO)
    body = answer.json()
    assert answer.status_code == 200, body
    [candidate] = body["candidates"]
    assert candidate["content"] == {"parts": [{"text": "Mars is red"}], "role": "model"}
    assert candidate["finishReason"] == "STOP"
    usage = body["usageMetadata"]
    assert (usage["promptTokenCount"], usage["candidatesTokenCount"], usage["cachedContentTokenCount"]) == (5, 3, 2)
    assert answer.headers["x-genwright-trace"]


@ALL
@pytest.mark.parametrize("sse", [True, False])
def test_a_stream(client, dialects, name, sse, provider):
    provider.script([Reply("Mars is the red one", input_tokens=5)])
    answer = client.post(f"/models/{dialects[name]}:streamGenerateContent", params={"alt": "sse"} if sse else {}, json=HELLO)
    if sse:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(event.data) for event in Parser().feed(answer.content)]
    else:
        events = answer.json()
    assert len(events) >= 5
    text = "".join(part.get("text", "") for event in events for part in event["candidates"][0]["content"]["parts"])
    assert text == "Mars is the red one"
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"
    assert events[-1]["usageMetadata"]["promptTokenCount"] == 5


@ALL
def test_turns_with_parallel_tools(client, dialects, name, provider):
    """Two calls come whole, and their results reach the provider under its own ids."""
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
    tools = [{"functionDeclarations": [{"name": "weather", "parameters": schema}]}]
    calls = (Scripted("weather", {"city": "Rome"}, "call_1"), Scripted("weather", {"city": "Oslo"}, "call_2"))
    provider.script([Reply("", tool_calls=calls), Reply("Rome is warmer")])
    path = f"/models/{dialects[name]}:streamGenerateContent"
    first = client.post(path, json={**HELLO, "tools": tools}).json()
    parts = [part for event in first for part in event["candidates"][0]["content"]["parts"] if "functionCall" in part]
    assert [part["functionCall"]["args"] for part in parts] == [{"city": "Rome"}, {"city": "Oslo"}]
    results = [{"functionResponse": {"id": part["functionCall"]["id"], "name": "weather", "response": {"output": degrees}}}
               for part, degrees in zip(parts, ("20", "5"), strict=True)]  # fmt: skip
    turns = [*HELLO["contents"], {"role": "model", "parts": parts}, {"role": "user", "parts": results}]
    second = client.post(f"/models/{dialects[name]}:generateContent", json={"contents": turns, "tools": tools})
    assert second.json()["candidates"][0]["content"]["parts"][0]["text"] == "Rome is warmer"
    sent = json.dumps(provider.calls[-1].body)
    assert all(text in sent for text in ("call_1", "call_2", '"20"', '"5"', "Oslo"))
    assert '"type": "object"' in sent or name == "gemini"  # Google's form of a schema is JSON Schema for the others


def test_same_dialect_bodies_pass_as_they_are(client, dialects, provider):
    plain = {"contents": [{"parts": [{"text": "hi"}]}], "safetySettings": [{"category": "C", "threshold": "OFF"}],
             "newField": {"x": 1}, "generationConfig": {"mediaResolution": "LOW", "temperature": 0.5}}  # fmt: skip
    client.post(f"/models/{dialects['gemini']}:generateContent", json=plain).raise_for_status()
    assert provider.calls[-1].body == plain
    raw = client.post(f"/models/{dialects['gemini']}:streamGenerateContent?alt=sse", json=plain).content
    direct = httpx.post(provider.origin + "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", json=plain,
                        headers={"x-goog-api-key": "sk-upstream"}).content  # fmt: skip
    assert raw.replace(b"chatcmpl-2", b"") == direct.replace(b"chatcmpl-3", b"")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"safetySettings": [{"category": "C", "threshold": "OFF"}]}, "safetySettings"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"generationConfig": {"speechConfig": {}}}, "generationConfig.speechConfig"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "generationConfig.responseMimeType"),
        ({"tools": [{"googleSearch": {}}]}, "tools[0].type"),
    ],
)
@pytest.mark.parametrize("name", ["openai", "anthropic", "bedrock"])
def test_what_others_cannot_do_is_refused_by_its_name(client, dialects, name, change, field, provider):
    answer = client.post(f"/models/{dialects[name]}:generateContent", json={**HELLO, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][1]["fieldViolations"][0]["field"] == field
    assert not provider.calls


def test_errors_are_googles(client, dialects, served, provider):
    missing = client.post("/models/gem2/x:generateContent", json=HELLO).json()["error"]
    assert (missing["code"], missing["status"]) == (404, "NOT_FOUND")
    provider.script([Fault.status(429, "slow down", retry_after_s=7)])
    limited = client.post(f"/models/{dialects['openai']}:generateContent", json=HELLO)
    assert limited.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"} in limited.json()["error"]["details"]
    wrong = client.post("/models/test/m:generateContent", json={"contents": [{"parts": [{"nothing": 1}]}]}).json()["error"]
    assert "contents[0].parts[0]" in wrong["message"]
    nobody = httpx.post(served.origin + "/v1beta/models/test/m:generateContent", json=HELLO)
    assert (nobody.status_code, nobody.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("sse", [True, False])
def test_a_stream_that_breaks_ends_with_googles_error(client, dialects, sse, provider):
    provider.script([Reply("a b c d e f", fault=Fault.cut_after(6))])
    path = f"/models/{dialects['anthropic']}:streamGenerateContent"
    answer = client.post(path, params={"alt": "sse"} if sse else {}, json=HELLO)
    events = [json.loads(event.data) for event in Parser().feed(answer.content)] if sse else answer.json()
    assert "error" in events[-1]


def test_models_counting_and_embeddings(client, dialects, provider):
    names = {item["name"]: item for item in client.get("/models").json()["models"]}
    assert "generateContent" in names["models/gem/gemini-2.5-flash"]["supportedGenerationMethods"]
    assert client.get("/models/local/minilm").json()["supportedGenerationMethods"] == ["embedContent", "batchEmbedContents"]
    assert client.get("/models/gem/nothing").status_code == 404
    for name in (dialects["gemini"], dialects["bedrock"], dialects["openai"]):
        counted = client.post(f"/models/{name}:countTokens", json={"generateContentRequest": HELLO})
        assert counted.json()["totalTokens"] >= 4, name
    one = client.post(
        "/models/gem/e:embedContent", json={"content": {"parts": [{"text": "red planet"}]}, "outputDimensionality": 8}
    )
    assert len(one.json()["embedding"]["values"]) == 8
    texts = ["red planet", "Mars", "soup"]
    requests = [{"model": "models/x", "content": {"parts": [{"text": text}]}} for text in texts]
    for model in ("gem/e", "test/e", "rock/amazon.titan-embed-text-v2:0", "rock/cohere.embed-v3"):
        many = client.post(f"/models/{model}:batchEmbedContents", json={"requests": requests})
        assert len(many.json()["embeddings"]) == 3, (model, many.text)


def test_googles_own_client(served, dialects, provider):
    """The official google-genai package: an answer, a stream, a chat that calls a Python function, counting, embeddings."""
    from google import genai
    from google.genai import types

    def weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    options = types.HttpOptions(base_url=served.origin)
    client = genai.Client(api_key=served.house.keys["full"], http_options=options)
    for name in dialects.values():
        call = Scripted("weather", {"city": "Rome"})
        provider.script([Reply("Mars", input_tokens=5), Reply("It is Mars"), Reply("", tool_calls=(call,)), Reply("Sunny.")])
        answer = client.models.generate_content(model=name, contents="Which planet is red?")
        assert (answer.text, answer.usage_metadata.prompt_token_count) == ("Mars", 5)
        pieces = [chunk.text or "" for chunk in client.models.generate_content_stream(model=name, contents="Which?")]
        assert "".join(pieces) == "It is Mars"
        assert len(pieces) > 2
        config = types.GenerateContentConfig(tools=[weather], system_instruction="Be short.", max_output_tokens=50)
        chat = client.chats.create(model=name, config=config)
        assert chat.send_message("How is it in Rome?").text == "Sunny."
        assert "sunny in Rome" in json.dumps(provider.calls[-1].body)
    assert client.models.count_tokens(model=dialects["gemini"], contents="one two three").total_tokens == 3
    vectors = client.models.embed_content(model="gem/e", contents=["a", "b"])
    assert len(vectors.embeddings) == 2
    assert "models/test/test-model" not in {model.name for model in client.models.list()}
    with pytest.raises(genai.errors.ClientError, match="nobody"):
        client.models.generate_content(model="nobody/x", contents="x")


def test_log_and_trace_show_the_call(client, dialects, served, provider):
    answer = client.post(f"/models/{dialects['bedrock']}:generateContent", json=HELLO)
    [row] = served.ledger(answer.headers["x-genwright-trace"])
    assert (row.provider, row.model, row.status) == ("rock", "anthropic.claude-v1:0", "ok")
    assert (row.input_tokens, row.output_tokens) == (provider.calls[-1].input_tokens, provider.calls[-1].output_tokens)


# -- pure


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.request.json")), ids=lambda file: file.name)
def test_requests_of_googles_own_client_are_read(file):
    if file.name.startswith("embeddings"):
        assert len(gemini.read_embeddings(file.read_bytes(), batch=True).texts) == 2
        return
    if file.name.startswith("vertex-error"):
        with pytest.raises(Invalid, match="temperature"):
            gemini.read_request("m", file.read_bytes(), False)
        return
    plain = json.loads(file.read_bytes())
    call = gemini.read_request("m", file.read_bytes(), False).call
    assert len(call.messages) >= len(plain["contents"])
    assert call.wire.body["contents"] == plain["contents"]
    for declared in (item for tool in plain.get("tools") or [] for item in tool["functionDeclarations"]):
        [tool] = [tool for tool in call.tools if tool["name"] == declared["name"]]
        assert tool["parameters"].get("type") in ("object", 6, None)
    assert not call.extra


def test_the_whole_configuration_is_read():
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}, "propertyOrdering": ["a"]}
    config = {"temperature": 0.1, "top_p": 0.9, "topK": 4, "max_output_tokens": 9, "stopSequences": ["x"], "seed": 1,
              "candidateCount": 2, "presencePenalty": 1, "frequencyPenalty": -1, "responseLogprobs": True, "logprobs": 2,
              "responseMimeType": "application/json", "response_schema": schema,
              "thinking_config": {"thinking_budget": 500}}  # fmt: skip
    tool_config = {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}}
    body = {**HELLO, "generation_config": config, "tool_config": tool_config, "labels": {"team": "a"},
            "system_instruction": {"parts": [{"text": "Be short."}]}}  # fmt: skip
    call = gemini.read_request("m", json.dumps(body).encode(), False).call
    assert call.parameters == {
        "temperature": 0.1, "top_p": 0.9, "top_k": 4, "max_tokens": 9, "stop": ["x"], "seed": 1, "n": 2, "presence_penalty": 1,
        "frequency_penalty": -1, "logprobs": True, "top_logprobs": 2, "reasoning_effort": "low",
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": {
            "type": "object", "properties": {"a": {"type": ["string", "null"]}}}}},
    }  # fmt: skip
    assert (call.tags, call.extra) == ({"team": "a"}, {})
    assert [message.role for message in call.messages] == ["system", "user"]


@pytest.mark.parametrize(
    "wrong",
    [b"[]", b"{}", b'{"contents": []}', b'{"contents": [{"parts": 1}]}', b'{"contents": [{"role": "robot", "parts": []}]}',
     b'{"contents": "x", "generationConfig": {"temperature": 9}}', b'{"contents": "x", "toolConfig": []}', b"\xff"],
)  # fmt: skip
def test_wrong_requests_are_refused(wrong):
    with pytest.raises(Invalid):
        gemini.read_request("m", wrong, False)


def test_signatures_of_other_makers_come_back_to_them():
    """A client keeps what it is given: Anthropic's signature travels as Google's, and is Anthropic's again when it returns."""
    said = Message("assistant", [Reasoning("I think", "EsgECmQIDxABGAIq+/="), Reasoning("", "redacted:abc"), Text("so"),
                                 Reasoning("", "gemini:QUJD"), ToolCall("c", "f", {})], finish_reason="tool_calls")  # fmt: skip
    body = json.loads(gemini.write_answer(Answer(said, "tool_calls", Usage(1, 1))))
    parts = body["candidates"][0]["content"]["parts"]
    assert parts[0]["thought"] is True
    assert parts[-1]["thoughtSignature"] == "QUJD"
    [back] = wire.read_messages(None, [{"role": "model", "parts": parts}])
    assert back.parts == said.parts


def test_results_without_ids_find_their_calls():
    call, answer = {"functionCall": {"name": "f", "args": {}}}, {"functionResponse": {"name": "f", "response": {"output": "1"}}}
    messages = wire.read_messages(None, [{"role": "model", "parts": [call, call]}, {"role": "user", "parts": [answer, answer]}])
    ids = [part.id for part in messages[0].parts]
    assert len(set(ids)) == 2
    assert messages[1].parts == [ToolResult(ids[0], "1"), ToolResult(ids[1], "1")]


def test_pieces_of_tool_calls_are_put_together():
    asked = gemini.read_request("m", json.dumps(HELLO).encode(), True)
    writer = gemini.StreamWriter(asked)
    pieces = [Chunk(tool_calls=[ToolDelta(0, "c1", "f", '{"a"')]), Chunk(tool_calls=[ToolDelta(0, arguments=": 1}")]),
              Chunk(tool_calls=[ToolDelta(1, "c2", "g")]), Chunk(finish_reason="tool_calls")]  # fmt: skip
    assert [writer.chunk(piece) for piece in pieces] == [b""] * 4
    [event] = Parser().feed(writer.end(Answer(Message("assistant"), "tool_calls", Usage(1, 2))))
    candidate = json.loads(event.data)["candidates"][0]
    assert candidate["content"]["parts"] == [
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}, {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]  # fmt: skip
