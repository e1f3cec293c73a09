"""Gemini as a provider: recorded answers of the Gemini API and Vertex, what a call becomes, what it refuses by name."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from genwright.errors import Invalid, UpstreamRefused
from genwright.gateway.providers.failures import refusal
from genwright.gateway.providers.gemini.dialect import UNSIGNED, Gemini
from genwright.gateway.sse import Parser
from genwright.gateway.types import Call, Collected, Wire
from genwright.gateway.wire import gemini as wire
from genwright.messages import Media, Message, Reasoning, Text, ToolCall, ToolResult, assistant, system, user
from genwright.prices import Usage

RECORDED = Path(__file__).parent / "recorded/gemini"
FLASH = "gemini-2.5-flash"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def body(call: Call, model: str = FLASH, stream: bool = False, vertex: bool = False) -> dict:
    return msgspec.json.decode(Gemini(vertex).request(call, model, stream))


def replay(name: str) -> tuple[Collected, list, bool]:
    reader, collected, chunks = Gemini().reader(), Collected(), []
    for event in Parser().feed(recorded(name)):
        chunk = reader.read(event)
        collected.add(chunk)
        chunks.append(chunk)
    assert b"".join(chunk.raw for chunk in chunks) == recorded(name)
    return collected, chunks, reader.done


# -- answers


def test_thoughts_are_counted_as_output():
    answer = Gemini().answer(recorded("thinking.json"))
    assert answer.message.text.startswith("Quantum computing leverages") or answer.message.text.startswith("Quantum computing")
    assert answer.usage == Usage(8, 29 + 1110, reasoning_tokens=1110)
    assert (answer.finish_reason, answer.model, answer.response_id) == ("stop", FLASH, "Nmteasf_NNGtsOIP1cXf4QQ")
    assert answer.raw == recorded("thinking.json")


def test_parallel_calls_without_ids_get_some_that_differ():
    answer = Gemini().answer(recorded("parallel-tools.json"))
    calls = answer.message.tool_calls
    assert [(call.name, call.arguments) for call in calls] == [
        ("get_weather", {"location": "Boston"}), ("get_weather", {"location": "New Delhi"}),
    ]  # fmt: skip
    assert len({call.id for call in calls}) == 2
    assert answer.finish_reason == "tool_calls"
    back = body(Call("m", [user("x"), answer.message, *(Message("tool", [ToolResult(call.id, "sunny")]) for call in calls)]))
    assert all("id" not in part["functionCall"] for part in back["contents"][1]["parts"])
    assert back["contents"][2]["parts"] == [
        {"functionResponse": {"name": "get_weather", "response": {"output": "sunny"}}},
        {"functionResponse": {"name": "get_weather", "response": {"output": "sunny"}}},
    ]


def test_a_stream_of_signed_parallel_calls():
    collected, _, done = replay("stream-signed-tools.sse")
    assert done
    [message] = collected.messages()
    calls = message.tool_calls
    assert [call.arguments for call in calls] == [{"location": "Boston"}, {"location": "New Delhi"}]
    assert [call.id for call in calls] == ["dv8szvqe", "j80tal12"]
    assert collected.finish == "tool_calls"
    assert collected.usage == Usage(71, 33 + 93, reasoning_tokens=93)
    signature = next(part.signature for part in message.parts if isinstance(part, Reasoning))
    assert signature.startswith("gemini:EvsDCvgDAQw51sfOm")
    sent = body(Call("m", [user("x"), message, Message("tool", [ToolResult("dv8szvqe", "sun"), ToolResult("j80tal12", "rain")])]),
                "gemini-3.5-flash")  # fmt: skip
    first, second = sent["contents"][1]["parts"]
    assert first == {"functionCall": {"id": "dv8szvqe", "name": "get_weather", "args": {"location": "Boston"}},
                     "thoughtSignature": signature.removeprefix("gemini:")}  # fmt: skip
    assert "thoughtSignature" not in second


def test_a_stream_of_thoughts():
    collected, _, done = replay("stream-thoughts.sse")
    assert done
    [message] = collected.messages()
    assert message.text.startswith("Here is a cozy, calming")
    thoughts = "".join(part.content for part in message.parts if isinstance(part, Reasoning))
    assert thoughts.startswith("**Defining the Narrative Parameters**")
    assert "Narrative Parameters" not in message.text
    assert collected.usage.reasoning_tokens > 700
    assert body(Call("m", [user("x"), message, user("more")]))["contents"][1]["parts"][0]["text"].startswith("Here is")


def test_a_plain_stream():
    collected, _, done = replay("stream-text.sse")
    assert done
    assert collected.finish == "stop"
    assert collected.text()
    assert collected.model == "gemini-2.0-flash"


def test_vertex_signs_a_text_at_its_end_and_gets_it_back():
    answer = Gemini(vertex=True).answer(recorded("vertex-tools-signed.json"))
    assert answer.message.text.startswith("The current temperature in New Delhi is 35°C")
    part = answer.message.parts[-1]
    assert isinstance(part, Reasoning)
    assert part.signature.startswith("gemini:CvkTAcu98PDKNriXzBqqOq6Z8")
    [written] = body(Call("m", [user("x"), answer.message, user("y")]))["contents"][1]["parts"]
    assert written["thoughtSignature"] == part.signature.removeprefix("gemini:")


def test_vertex_signs_a_call():
    answer = Gemini(vertex=True).answer(recorded("vertex-call-signed.json"))
    assert answer.finish_reason == "tool_calls"
    assert isinstance(answer.message.parts[0], Reasoning)
    assert isinstance(answer.message.parts[1], ToolCall)


def test_an_error_keeps_googles_words():
    error = refusal("vertex", 400, {}, recorded("vertex-error.json"))
    assert isinstance(error, UpstreamRefused)
    assert "temperature value of 1000" in error.message


def test_google_says_in_the_body_how_long_to_wait():
    body = json.dumps({"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"}]}}).encode()  # fmt: skip
    assert refusal("gemini", 429, {}, body).retry == 37.5
    assert refusal("gemini", 429, {"retry-after": "3"}, body).retry == 3


def test_a_blocked_prompt_is_an_answer_that_says_so():
    blocked = (
        b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7}}'
    )
    answer = Gemini().answer(blocked)
    assert (answer.finish_reason, answer.message.parts, answer.usage) == ("content_filter", [], Usage(7, 0))
    reader = Gemini().reader()
    [event] = Parser().feed(b"data: " + blocked + b"\r\n\r\n")
    assert reader.read(event).finish_reason == "content_filter"
    assert reader.done


def test_what_is_no_answer_is_not_taken_for_one():
    for wrong in (b"{}", b"[]", b'{"candidates": 1}'):
        with pytest.raises((KeyError, TypeError, IndexError)):
            Gemini().answer(wrong)


def test_log_probabilities():
    item = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "logprobsResult": {
        "chosenCandidates": [{"token": "a", "logProbability": -0.1}],
        "topCandidates": [{"candidates": [
            {"token": "a", "logProbability": -0.1}, {"token": "b", "logProbability": -2}]}]}}  # fmt: skip
    answer = Gemini().answer(json.dumps({"candidates": [item]}).encode())
    assert answer.logprobs == [[{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [
        {"token": "a", "logprob": -0.1, "bytes": [97]}, {"token": "b", "logprob": -2, "bytes": [98]}]}]]  # fmt: skip
    assert wire.write_logprobs(answer.logprobs[0]) == item["logprobsResult"]


def test_embeddings():
    made = Gemini().embedded(recorded("embeddings.json"))
    assert made.vectors.shape == (2, 16)
    request = json.loads(Gemini().embed_request("gemini-embedding-001", ["Why is the sky blue?"], {"dimensions": 64}))
    assert request == {"requests": [{"model": "models/gemini-embedding-001", "outputDimensionality": 64,
                                     "content": {"parts": [{"text": "Why is the sky blue?"}]}}]}  # fmt: skip
    vertex = Gemini(vertex=True).embedded(b'{"predictions":[{"embeddings":{"values":[1,2],"statistics":{"token_count":6}}}]}')
    assert (vertex.vectors.tolist(), vertex.usage) == ([[1.0, 2.0]], Usage(6))
    with pytest.raises(Invalid, match="token numbers"):
        Gemini().embed_request("e", [[1, 2]], {})


# -- requests


def test_a_recorded_conversation_with_tools_goes_out_as_it_came_in():
    plain = json.loads(recorded("vertex-tools-signed.request.json"))
    messages = wire.read_messages(plain.get("systemInstruction"), plain["contents"])
    assert [message.role for message in messages] == ["user", "assistant", "tool"]
    assert {part.id for part in messages[1].parts} == {part.id for part in messages[2].parts}
    sent = body(Call("m", messages))
    assert sent["contents"] == plain["contents"]


def test_a_whole_request():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
    call = Call(
        "m",
        [system("Be short."), user("hi"), assistant("hello"),
         Message("user", [Text("look"), Media("image", "image/png", base64="AAAA"), Media("file", url="gs://b/f.pdf"),
                          Media("audio", "audio/mp3", base64="BBBB"), Media("video", url="https://x/y.mp4")])],
        {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "max_completion_tokens": 99, "stop": "END", "seed": 7, "n": 2,
         "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": True, "top_logprobs": 3, "reasoning_effort": "low",
         "tool_choice": {"type": "function", "function": {"name": "find"}}, "parallel_tool_calls": True,
         "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        [{"name": "find", "description": "d", "parameters": schema}],
    )  # fmt: skip
    assert body(call) == {
        "systemInstruction": {"parts": [{"text": "Be short."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "hello"}]},
            {"role": "user", "parts": [
                {"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/f.pdf"}},
                {"inlineData": {"mimeType": "audio/mp3", "data": "BBBB"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x/y.mp4"}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "find", "description": "d", "parametersJsonSchema": schema}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["find"]}},
        "generationConfig": {
            "temperature": 0.5, "topP": 0.9, "topK": 5, "maxOutputTokens": 99, "stopSequences": ["END"], "seed": 7,
            "candidateCount": 2, "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseLogprobs": True, "logprobs": 3,
            "thinkingConfig": {"thinkingBudget": 1024}, "responseMimeType": "application/json", "responseJsonSchema": schema},
    }  # fmt: skip
    assert body(Call("m", [user("x")], {"reasoning_effort": "low"}), "gemini-3-pro-preview")["generationConfig"] == {
        "thinkingConfig": {"thinkingLevel": "low"}
    }


def test_strict_tools_are_validated():
    call = Call("m", [user("x")], {"tool_choice": "auto"}, [{"name": "f", "parameters": {"type": "object"}, "strict": True}])
    assert body(call)["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": {"logit_bias": {"1": 1}}}, "logit_bias"),
        ({"parameters": {"parallel_tool_calls": False}}, "parallel_tool_calls"),
        ({"parameters": {"response_format": {"type": "grammar"}}}, "response_format"),
        ({"parameters": {"reasoning_effort": "xhigh"}}, "reasoning_effort"),
        ({"parameters": {"service_tier": "flex"}}, "service_tier"),
        ({"parameters": {"verbosity": "low"}}, "verbosity"),
        ({"extra": {"store": True}}, "store"),
    ],
)
def test_what_gemini_cannot_do_is_refused_by_its_name(changes, field):
    with pytest.raises(Invalid) as refused:
        body(Call("m", [user("x")], **changes))
    assert (refused.value.details["param"], refused.value.code) == (field, "unsupported_field")


def test_several_answers_are_not_streamed():
    with pytest.raises(Invalid) as refused:
        body(Call("m", [user("x")], {"n": 2}), stream=True)
    assert refused.value.details["param"] == "n"


def test_media_of_others_and_foreign_tools_are_refused():
    with pytest.raises(Invalid):
        body(Call("m", [Message("user", [Media("file", url="file_id:file-1")])]))
    with pytest.raises(Invalid, match="web_search"):
        body(Call("m", [user("x")], tools=[{"name": "web", "type": "web_search_20250305"}]))


def test_foreign_reasoning_is_left_out_and_gemini_3_is_told_that_a_call_is_not_its_own():
    said = Message("assistant", [Reasoning("mine", "sig-of-another"), ToolCall("c1", "f", {"a": 1})])
    [content] = body(Call("m", [user("x"), said]), "gemini-3-flash")["contents"][1:]
    assert content["parts"] == [{"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": UNSIGNED}]
    [content] = body(Call("m", [user("x"), said]))["contents"][1:]
    assert content["parts"] == [{"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}]


def test_a_clients_own_body_goes_out_unchanged_but_for_what_we_set():
    plain = {"contents": [{"parts": [{"text": "hi"}]}], "safetySettings": [{"category": "X", "threshold": "BLOCK_NONE"}],
             "cachedContent": "cachedContents/1", "tools": [{"googleSearch": {}}],
             "generationConfig": {"mediaResolution": "LOW", "maxOutputTokens": 500}}  # fmt: skip
    call = Call("m", [user("hi")], wire=Wire("gemini", plain))
    assert body(call) == plain
    capped = body(msgspec.structs.replace(call, overrides={"max_tokens": 100, "temperature": 0}))
    assert capped == {**plain, "generationConfig": {"mediaResolution": "LOW", "maxOutputTokens": 100, "temperature": 0}}
    assert plain["generationConfig"]["maxOutputTokens"] == 500


def test_counting():
    call = Call("m", [system("s"), user("x")])
    assert json.loads(Gemini().count_request(call, FLASH)) == {"generateContentRequest": {
        "model": f"models/{FLASH}", "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "user", "parts": [{"text": "x"}]}]}}  # fmt: skip
    assert Gemini().counted(b'{"totalTokens": 31}') == 31
