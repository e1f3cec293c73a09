"""Bedrock as a provider: signatures against AWS's and botocore's own, the event stream cut anywhere, recorded answers."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from genwright.errors import Error, Invalid, Upstream, UpstreamLimited, UpstreamRefused
from genwright.gateway.providers.bedrock.dialect import Bedrock
from genwright.gateway.providers.bedrock.eventstream import Parser
from genwright.gateway.providers.bedrock.signing import Aws, Credential, sign
from genwright.gateway.providers.failures import refusal
from genwright.gateway.types import Call, Collected, Wire
from genwright.messages import Media, Message, Reasoning, Text, ToolCall, ToolResult, assistant, system, user
from genwright.prices import Usage
from genwright.testing import clouds

RECORDED = Path(__file__).parent / "recorded/bedrock"
KEY = Credential("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOVA, CLAUDE = "amazon.nova-micro-v1:0", "us.anthropic.claude-sonnet-5"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def body(call: Call, model: str = CLAUDE) -> dict:
    return msgspec.json.decode(Bedrock().request(call, model, False))


def replay(data: bytes, step: int = 0) -> tuple[Collected, bool]:
    parser, reader, collected = Parser(), Bedrock().reader(), Collected()
    for at in range(0, len(data), step or len(data)):
        for event in parser.feed(data[at : at + (step or len(data))]):
            chunk = reader.read(event)
            if chunk is not None:
                collected.add(chunk)
    return collected, reader.done


# -- signatures


@pytest.mark.parametrize(
    ("method", "target", "signature"),
    [  # AWS's own Signature Version 4 test suite: get-vanilla, get-vanilla-query-order-key-case, post-vanilla
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_signatures_of_awss_test_suite(method, target, signature):
    headers = sign(KEY, "us-east-1", method, "https://example.amazonaws.com" + target, b"", "20150830T123600Z", "service")
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "
        "Signature=" + signature
    )


def test_the_signature_of_awss_worked_example():
    headers = sign(
        KEY, "us-east-1", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", b"", "20150830T123600Z", "iam",
        content_type="application/x-www-form-urlencoded; charset=utf-8",
    )  # fmt: skip
    assert headers["authorization"].endswith("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")


@pytest.mark.parametrize(
    ("url", "method", "data", "token", "signature"),
    [  # made by botocore 1.44.5's SigV4Auth at the same moment
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-micro-v1%3A0/converse", "POST", b'{"messages":[]}',
         "", "390cdeee50a9704815b195c67f195b744d44f632f07e98779bd385fb552b955f"),
        ("https://bedrock-runtime.eu-central-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Ainference-"
         "profile%2Feu.anthropic.claude/converse-stream", "POST", '{"a":"é"}'.encode(), "FwoGZXIvYXdzEXAMPLETOKEN==",
         "2b05cecc2f81d5582a97ca0c0f4da18d1cf1691d9cbcbe411b77d595169cf134"),
        ("https://bedrock.us-east-1.amazonaws.com/foundation-models?byProvider=Amazon&byOutputModality=TEXT", "GET", b"", "",
         "94f3746ee55ad10265397f7c5f8c7495d11666d250b08fbe7f058e61ae2d3dfe"),
    ],
)  # fmt: skip
def test_signatures_are_botocores(url, method, data, token, signature):
    credential = msgspec.structs.replace(KEY, session_token=token)
    headers = sign(credential, url.split(".")[1], method, url, data, "20261121T040000Z")
    assert headers["authorization"].endswith("Signature=" + signature)
    assert headers.get("x-amz-security-token", "") == token


async def test_the_region_is_the_addresss_or_the_credentials():
    whole = Aws.normal('{"access_key_id": "AKIDEXAMPLE12345", "secret_access_key": "s", "region": "ap-south-1"}')
    for url, region in [("https://bedrock-runtime.eu-west-1.amazonaws.com", "eu-west-1"), ("http://10.0.0.9:80", "ap-south-1"),
                        ("https://bedrock-runtime-fips.us-west-2.amazonaws.com", "us-west-2")]:  # fmt: skip
        headers = await Aws(whole, url, None).headers("POST", url + "/x", b"")
        assert f"/{region}/bedrock/aws4_request" in headers["authorization"]


def test_credentials_are_read_in_both_forms_and_never_shown():
    pair = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert Aws.takes(pair)
    assert json.loads(Aws.normal(pair)) == {"access_key_id": "AKIAIOSFODNN7EXAMPLE",
                                            "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}  # fmt: skip
    assert not Aws.takes("ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl")
    with pytest.raises(Invalid) as refused:
        Aws.normal('{"access_key_id": "AKIA", "secret": "do-not-show"}')
    assert "do-not-show" not in repr(refused.value.as_dict())


# -- the event stream


@pytest.mark.parametrize("name", ["stream-text.bin", "stream-claude-tool.bin"])
def test_a_stream_cut_at_every_byte_gives_the_same(name):
    data = recorded(name)
    whole = [(event.name, event.data) for event in Parser().feed(data)]
    assert len(whole) >= 5
    for at in range(len(data) + 1):
        parser = Parser()
        assert [(event.name, event.data) for piece in (data[:at], data[at:]) for event in parser.feed(piece)] == whole
    assert b"".join(event.raw for event in Parser().feed(data)) == data


def test_byte_by_byte():
    data = recorded("stream-tools.bin")
    whole, piecewise = replay(data), replay(data, 1)
    assert whole[0].messages() == piecewise[0].messages()
    assert whole[1]
    assert piecewise[1]


def test_every_changed_byte_is_noticed():
    message = clouds.frame("messageStop", {"stopReason": "end_turn"})
    for at in range(len(message)):
        broken = bytearray(message)
        broken[at] ^= 0x01
        with pytest.raises(Upstream):
            Parser().feed(bytes(broken))


def test_a_message_that_is_too_large_or_contradicts_itself_is_refused():
    import struct
    from zlib import crc32

    for total, headers, code in [(50_000_000, 4, "upstream_too_large"), (20, 40, "upstream_malformed")]:
        prelude = struct.pack(">II", total, headers)
        with pytest.raises(Upstream) as refused:
            Parser().feed(prelude + struct.pack(">I", crc32(prelude)))
        assert refused.value.code == code
    with pytest.raises(Upstream):
        Parser().feed(b"data: this is an SSE stream\n\n")


@pytest.mark.parametrize(
    ("kind", "error"),
    [("throttlingException", UpstreamLimited), ("validationException", UpstreamRefused), ("modelStreamErrorException", Upstream)],
)
def test_an_exception_in_the_stream_is_an_error(kind, error):
    data = clouds.frame("messageStart", {"role": "assistant"}) + clouds.frame(kind, {"message": "why"}, "exception")
    with pytest.raises(error, match=f"{kind}: why") as raised:
        replay(data)
    assert type(raised.value) is error


# -- recorded answers


def test_tool_calls():
    answer = Bedrock().answer(recorded("tools.json"))
    said = [
        block["toolUse"] for block in json.loads(recorded("tools.json"))["output"]["message"]["content"] if "toolUse" in block
    ]
    assert len(said) == 2
    assert answer.message.tool_calls == [ToolCall(use["toolUseId"], use["name"], use["input"]) for use in said]
    assert answer.finish_reason == "tool_calls"
    assert answer.message.text.startswith("<thinking>")


def test_the_cache_counts_within_the_input():
    assert Bedrock().answer(recorded("cache-write.json")).usage == Usage(2705, 10, cache_write_tokens=2701)
    answer = Bedrock().answer(recorded("cache-read.json"))
    assert answer.usage == Usage(2705, 10, cached_tokens=2701)
    assert answer.finish_reason == "length"


def test_signed_reasoning_goes_back_unchanged():
    answer = Bedrock().answer(recorded("thinking.json"))
    thought = answer.message.parts[0]
    assert isinstance(thought, Reasoning)
    assert thought.signature.startswith("EsgECmQIDxABGAIqQGaQ")
    content = body(Call("m", [user("x"), answer.message, user("y")]))["messages"][1]["content"]
    assert content == json.loads(recorded("thinking.json"))["output"]["message"]["content"]


def test_streams():
    collected, done = replay(recorded("stream-tools.bin"))
    assert done
    [message] = collected.messages()
    assert [(call.name, call.arguments) for call in message.tool_calls] == [
        ("get_current_weather", {"location": "Seattle"}), ("get_current_weather", {"location": "San Francisco"}),
    ]  # fmt: skip
    assert collected.finish == "tool_calls"
    assert collected.usage.output_tokens > 20
    thinking, done = replay(recorded("stream-thinking.bin"))
    [message] = thinking.messages()
    assert isinstance(message.parts[0], Reasoning)
    assert message.parts[0].content.startswith("I need to")
    assert message.parts[0].signature.startswith("Eu0ECmQIDxABGAIqQPg25pYHV0NlBhrpjN9VOR2vXDdCuSnm8712hQIS587RQ3EVq5SfjgYh")
    assert message.text
    sent = json.loads(recorded("thinking.request.json"))["messages"][1]["content"][0]
    assert body(Call("m", [user("x"), message, user("y")]))["messages"][1]["content"][0] == sent


def test_an_error_keeps_bedrocks_words():
    error = refusal("bedrock", 400, {}, recorded("error.json"))
    assert isinstance(error, UpstreamRefused)
    assert "model identifier is invalid" in error.message


# -- requests


def test_a_recorded_conversation_is_what_we_write():
    plain = json.loads(recorded("tool-results.request.json"))
    calls = [block["toolUse"] for block in plain["messages"][1]["content"] if "toolUse" in block]
    results = [block["toolResult"] for block in plain["messages"][2]["content"]]
    messages = [
        user(plain["messages"][0]["content"][0]["text"]),
        Message("assistant", [Text(plain["messages"][1]["content"][0]["text"]),
                              *(ToolCall(c["toolUseId"], c["name"], c["input"]) for c in calls)]),
        *(Message("tool", [ToolResult(r["toolUseId"], *r["content"][0].values())]) for r in results),
    ]  # fmt: skip
    spec = plain["toolConfig"]["tools"][0]["toolSpec"]
    tool = {"name": spec["name"], "description": spec["description"], "parameters": spec["inputSchema"]["json"]}
    assert body(Call("m", messages, tools=[tool]), NOVA) == plain


def test_a_whole_request():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    call = Call(
        "m",
        [system("Be short."), user("hi"), assistant("hello"),
         Message("user", [Text("look"), Media("image", "image/png", base64="AAAA"), Media("file", url="s3://b/my report.pdf"),
                          Media("file", "text/plain", base64="QQ==", name="a/b:c.txt"),
                          Media("file", "text/plain", base64="QQ==", name="a/b:c.txt")])],
        {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "max_completion_tokens": 99, "stop": "END", "n": 1,
         "tool_choice": {"type": "function", "function": {"name": "find"}}, "reasoning_effort": "low",
         "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        [{"name": "find", "description": "d", "parameters": schema, "strict": True}],
    )  # fmt: skip
    text = json.dumps(schema, separators=(",", ":"))
    assert body(call) == {
        "system": [{"text": "Be short."}],
        "messages": [
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"text": "hello"}]},
            {"role": "user", "content": [
                {"text": "look"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                {"document": {"format": "pdf", "name": "document", "source": {"s3Location": {"uri": "s3://b/my report.pdf"}}}},
                {"document": {"format": "txt", "name": "a-b-c", "source": {"bytes": "QQ=="}}},
                {"document": {"format": "txt", "name": "a-b-c 2", "source": {"bytes": "QQ=="}}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "find", "description": "d", "inputSchema": {"json": schema},
                                               "strict": True}}],
                       "toolChoice": {"tool": {"name": "find"}}},
        "inferenceConfig": {"temperature": 0.5, "topP": 0.9, "maxTokens": 99, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 5},
        "outputConfig": {"effort": "low", "textFormat": {"type": "json_schema", "structure": {
            "jsonSchema": {"schema": text, "name": "x"}}}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": {"seed": 1}}, "seed"),
        ({"parameters": {"n": 2}}, "n"),
        ({"parameters": {"logprobs": True}}, "logprobs"),
        ({"parameters": {"presence_penalty": 0.5}}, "presence_penalty"),
        ({"parameters": {"response_format": {"type": "json_object"}}}, "response_format"),
        ({"parameters": {"parallel_tool_calls": False}}, "parallel_tool_calls"),
        ({"parameters": {"service_tier": "flex"}}, "service_tier"),
        ({"extra": {"store": True}}, "store"),
    ],
)
def test_what_converse_cannot_do_is_refused_by_its_name(changes, field):
    with pytest.raises(Invalid) as refused:
        body(Call("m", [user("x")], **changes))
    assert (refused.value.details["param"], refused.value.code) == (field, "unsupported_field")


def test_what_depends_on_the_model():
    call = Call("m", [user("x")], {"top_k": 3})
    assert body(call, NOVA)["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}
    with pytest.raises(Invalid):
        body(call, "meta.llama3-3-70b-instruct-v1:0")
    effort = Call("m", [user("x")], {"reasoning_effort": "high"})
    assert body(effort, "openai.gpt-oss-120b-1:0")["additionalModelRequestFields"] == {"reasoning_effort": "high"}
    thinking = Call("m", [user("x")], extra={"thinking": {"type": "enabled", "budget_tokens": 2000}})
    assert body(thinking)["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2000
    with pytest.raises(Invalid):
        body(thinking, NOVA)


def test_addresses_of_media_are_never_fetched():
    with pytest.raises(Invalid, match="s3://"):
        body(Call("m", [Message("user", [Media("image", "image/png", url="https://example.org/a.png")])]))


def test_cache_marks_of_anthropics_dialect_become_cache_points():
    from genwright.gateway.wire import anthropic

    plain = {
        "system": [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                                                  {"type": "text", "text": "b"}]},
                     {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}],
    }  # fmt: skip
    call = Call("m", anthropic.read_messages(plain["system"], plain["messages"]), tools=anthropic.read_tools(plain["tools"]),
                wire=Wire("anthropic", plain))  # fmt: skip
    point = {"cachePoint": {"type": "default"}}
    sent = body(call)
    assert sent["system"] == [{"text": "long"}, point]
    assert sent["toolConfig"]["tools"][1] == point
    first, *others = (message["content"] for message in sent["messages"])
    assert first == [{"text": "a"}, point, {"text": "b"}]
    assert others == [[{"text": "c"}], [{"text": "d"}]]


def test_embeddings():
    dialect = Bedrock()
    assert json.loads(dialect.embed_request("amazon.titan-embed-text-v2:0", ["a"], {"dimensions": 256})) == {
        "inputText": "a", "dimensions": 256,
    }  # fmt: skip
    assert dialect.embeds_at_once("amazon.titan-embed-text-v2:0") == 1
    assert json.loads(dialect.embed_request("cohere.embed-multilingual-v3", ["a", "b"], {}))["texts"] == ["a", "b"]
    made = dialect.embedded(b'{"embedding": [1, 2], "inputTextTokenCount": 3}')
    assert (made.vectors.tolist(), made.usage) == ([[1, 2]], Usage(3))
    assert dialect.embedded(b'{"embeddings": {"float": [[1, 2], [3, 4]]}}').vectors.shape == (2, 2)
    with pytest.raises(Error):
        dialect.embed_request("amazon.titan-embed-text-v2:0", [[1, 2]], {})
