"""The pure conversions: recorded answers of real services, round trips between dialects, fields that are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from genwright.errors import Invalid, Upstream, UpstreamAuth, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from genwright.gateway.faces import anthropic as anthropic_face
from genwright.gateway.faces import openai as openai_face
from genwright.gateway.providers.anthropic.dialect import Anthropic
from genwright.gateway.providers.failures import refusal
from genwright.gateway.providers.openai_compatible import OpenAICompatible
from genwright.gateway.sse import Parser, frame
from genwright.gateway.types import Answer, Chunk, Collected, ToolDelta
from genwright.gateway.wire import anthropic, openai
from genwright.messages import Media, Message, Reasoning, Text, ToolCall, ToolResult
from genwright.prices import Usage

RECORDED = Path(__file__).parents[3] / "shared/data/traces/provider-responses-openai"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"the recorded answers are not at {RECORDED}")


def replay(path: str) -> tuple[Collected, list[Chunk], bool]:
    data = (RECORDED / path).read_bytes()
    lines = data if path.endswith(".sse") else b"".join(frame(line) for line in data.splitlines() if line)
    events = Parser().feed(lines + b"\n\n")
    reader, collected, chunks = OpenAICompatible().reader(), Collected(), []
    for event in events:
        chunk = reader.read(event) if event.data else None
        if chunk is not None:
            assert chunk.raw == event.raw
            collected.add(chunk)
            chunks.append(chunk)
    return collected, chunks, reader.done


@recorded
def test_recorded_plain_openai():
    data = (RECORDED / "openai/chat/openai-text.json").read_bytes()
    answer = OpenAICompatible().answer(data)
    plain = json.loads(data)
    assert answer.message.text == plain["choices"][0]["message"]["content"]
    assert answer.usage == Usage(
        plain["usage"]["prompt_tokens"], plain["usage"]["completion_tokens"],
        reasoning_tokens=plain["usage"]["completion_tokens_details"]["reasoning_tokens"],
    )  # fmt: skip
    assert (answer.finish_reason, answer.response_id, answer.model) == ("stop", plain["id"], plain["model"])
    assert openai_face.write_answer(answer) == data


@recorded
def test_recorded_plain_xai_counts_reasoning_beside_output():
    answer = OpenAICompatible().answer((RECORDED / "openai-compatible/chat/xai-tool-call.json").read_bytes())
    assert answer.message.tool_calls == [ToolCall("call_46427107", "weather", {"location": "San Francisco"})]
    assert answer.usage == Usage(307, 281, cached_tokens=244, reasoning_tokens=255)
    assert answer.finish_reason == "tool_calls"
    assert isinstance(answer.message.parts[0], Reasoning)


@recorded
def test_recorded_stream_with_reasoning_and_tool_call():
    collected, _, done = replay("openai-compatible/chat/xai-tool-call.chunks.txt")
    (message,) = collected.messages()
    assert done
    assert message.tool_calls == [ToolCall("call_79382389", "weather", {"location": "San Francisco"})]
    assert message.parts[0].content.startswith("First, the user")
    assert collected.usage == Usage(307, 253, cached_tokens=306, reasoning_tokens=227)
    assert collected.finish == "tool_calls"


@recorded
def test_recorded_stream_whose_tool_index_begins_at_one():
    collected, _, done = replay("openai-compatible/chat/anthropic-fallback-tool-call.sse")
    (message,) = collected.messages()
    assert done
    assert message.text == "Reading it."
    assert message.tool_calls == [ToolCall("toolu_sanitized", "read_file", {"path": "a.txt"})]


@recorded
def test_recorded_stream_of_azure_with_filter_results():
    collected, chunks, done = replay("openai/chat/azure-model-router.1.chunks.txt")
    assert done
    assert collected.messages()[0].text.startswith("Capital of")
    assert collected.model == "gpt-5-nano-2025-08-07"
    assert b"prompt_filter_results" in chunks[0].raw


@recorded
def test_recorded_error_and_embedding():
    data = (RECORDED / "openai/chat/reasoning-model-legacy-parameter-error.json").read_bytes()
    error = refusal("openai", 400, {}, data)
    assert isinstance(error, UpstreamRefused)
    assert "max_tokens" in error.message
    assert error.details["param"] == "max_tokens"
    made = OpenAICompatible().embedded((RECORDED / "openai/embedding/openai-embedding.json").read_bytes())
    assert made.vectors.dtype == "float32"
    assert made.usage is not None
    assert made.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("status", "kind", "ours"),
    [(400, UpstreamRefused, 400), (404, UpstreamRefused, 400), (422, UpstreamRefused, 400), (401, UpstreamAuth, 502),
     (403, UpstreamAuth, 502), (429, UpstreamLimited, 429), (408, UpstreamTimeout, 504), (504, UpstreamTimeout, 504),
     (500, Upstream, 502), (503, Upstream, 502), (529, Upstream, 502)],
)  # fmt: skip
def test_errors_by_status(status, kind, ours):
    error = refusal("p", status, {"retry-after": "7"}, b'{"error": {"message": "key sk-secret123 is bad"}}')
    assert type(error) is kind
    assert error.status == ours
    assert ("sk-secret123" in error.message) == (kind is not UpstreamAuth)
    if status in (429, 503):
        assert error.retry == 7


CONVERSATION = [
    Message("system", [Text("Be brief.")]),
    Message("user", [Text("What is this?"), Media("image", mime_type="image/png", base64="aGk=")]),
    Message("assistant", [Text("I look."), ToolCall("c1", "look", {"at": "it"}), ToolCall("c2", "look", {})]),
    Message("tool", [ToolResult("c1", "a cat"), ToolResult("c2", "a dog")]),
    Message("user", [Text("Thanks.")]),
]


def test_conversation_survives_openai():
    back = openai.read_messages(msgspec.json.decode(msgspec.json.encode(openai.write_messages(CONVERSATION))))
    assert back[:3] == CONVERSATION[:3]
    assert [m.parts[0] for m in back[3:5]] == CONVERSATION[3].parts
    assert back[5:] == CONVERSATION[4:]


def test_conversation_survives_anthropic():
    system, messages = anthropic.write_messages(CONVERSATION)
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert anthropic.read_messages(system, msgspec.json.decode(msgspec.json.encode(messages))) == CONVERSATION


def test_unknown_anthropic_block_goes_back_unchanged():
    block = {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {"query": "q"}}
    (message,) = anthropic.read_messages(None, [{"role": "assistant", "content": [block]}])
    assert anthropic.write_block(message.parts[0]) == block


def chat(**fields: object) -> bytes:
    return msgspec.json.encode({"model": "p/m", "messages": [{"role": "user", "content": "hi"}], **fields})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"model": None}, "model"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_wrong_fields_are_named(fields, param):
    with pytest.raises(Invalid) as caught:
        openai_face.read_request(chat(**fields))
    assert caught.value.details["param"] == param
    assert json.loads(openai_face.write_error(caught.value))["error"]["param"] == param


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"a":' * 100_000, b"[" * 100_000])
def test_no_json(body):
    with pytest.raises(Invalid):
        openai_face.read_request(body)


@pytest.mark.parametrize("name", ["seed", "logit_bias", "frequency_penalty", "n", "store"])
def test_anthropic_refuses_what_it_cannot_say(name):
    value = {"seed": 1, "logit_bias": {"1": 2}, "frequency_penalty": 0.5, "n": 2, "store": True}[name]
    call = openai_face.read_request(chat(**{name: value})).call
    with pytest.raises(Invalid) as caught:
        Anthropic().request(call, "claude", False)
    assert caught.value.details["param"] == name


def test_openai_call_for_anthropic():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = openai_face.read_request(
        chat(max_tokens=5, stop="END", temperature=0.5, tools=[tool], tool_choice="required", parallel_tool_calls=False, user="u")
    ).call
    body = json.loads(Anthropic().request(call, "claude", True))
    assert body == {
        "max_tokens": 5, "stop_sequences": ["END"], "temperature": 0.5, "model": "claude", "stream": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "metadata": {"user_id": "u"},
        "tools": [{"name": "f", "description": "", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    }  # fmt: skip


def test_same_dialect_passes_unknown_fields_through():
    body = {"model": "p/m", "messages": [{"role": "user", "content": "hi", "strange": 1}], "new_field": {"a": 1}, "store": True,
            "metadata": {"k": "v"}}  # fmt: skip
    call = openai_face.read_request(msgspec.json.encode(body)).call
    assert json.loads(OpenAICompatible().request(call, "m", False)) == {**body, "model": "m"}
    assert call.tags == {"k": "v"}


def test_anthropic_events_from_neutral_chunks_are_what_its_reader_reads():
    asked = anthropic_face.read_request(chat(max_tokens=9), {})
    writer = anthropic_face.StreamWriter(asked)
    chunks = [
        Chunk(reasoning="hm", response_id="r1", model="m1"), Chunk(signature="sig"), Chunk("Hello "), Chunk("you"),
        Chunk(tool_calls=[ToolDelta(0, "t1", "f", '{"a"')]), Chunk(tool_calls=[ToolDelta(0, arguments=":1}")]),
        Chunk(tool_calls=[ToolDelta(1, "t2", "g")]), Chunk(finish_reason="tool_calls"),
    ]  # fmt: skip
    data = b"".join(writer.chunk(chunk) for chunk in chunks) + writer.end(Answer(Message("assistant"), usage=Usage(7, 5, 2)))
    collected, reader = Collected(), Anthropic().reader()
    for event in Parser().feed(data):
        collected.add(reader.read(event))
    (message,) = collected.messages()
    assert reader.done
    assert message.parts == [
        Reasoning("hm", "sig"), Text("Hello you"), ToolCall("t1", "f", {"a": 1}), ToolCall("t2", "g", {}),
    ]  # fmt: skip
    assert (collected.usage, collected.finish) == (Usage(7, 5, 2), "tool_calls")


def test_openai_events_from_neutral_chunks_are_what_its_reader_reads():
    writer = openai_face.StreamWriter(openai_face.read_request(chat(stream=True, stream_options={"include_usage": True})))
    chunks = [
        Chunk(reasoning="hm"), Chunk("Hello "), Chunk("you"), Chunk(tool_calls=[ToolDelta(0, "t1", "f", '{"a"')]),
        Chunk(tool_calls=[ToolDelta(0, arguments=":1}")]), Chunk(finish_reason="tool_calls"),
    ]  # fmt: skip
    data = b"".join(writer.chunk(chunk) for chunk in chunks) + writer.end(Answer(Message("assistant"), usage=Usage(7, 5, 2)))
    collected, reader = Collected(), OpenAICompatible().reader()
    for event in Parser().feed(data):
        if (chunk := reader.read(event)) is not None:
            collected.add(chunk)
    assert collected.messages()[0].parts == [Reasoning("hm"), Text("Hello you"), ToolCall("t1", "f", {"a": 1})]
    assert collected.usage == Usage(7, 5, 2)
    assert data.endswith(b"data: [DONE]\n\n")


def test_bytes_of_the_same_dialect_are_untouched():
    writer = openai_face.StreamWriter(openai_face.read_request(chat(stream=True)))
    raw = b'{"choices":[{"delta":{"content":"a\\u00e9"},"weird":[1,2]}],  "x" : 1}'
    whole = b": hm\r\nid: 7\r\ndata:" + raw + b"\r\n\r\n"
    (event,) = Parser().feed(whole + b"data")
    chunk = OpenAICompatible().reader().read(event)
    assert chunk.text == "aé"
    assert writer.chunk(chunk) == whole
