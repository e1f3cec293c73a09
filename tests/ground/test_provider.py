"""The scripted provider and the fault proxy: what the other tests trust, so everything here is checked from outside."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request

import anthropic
import httpx
import openai
import pytest

from genwright.errors import StreamCut, Upstream, UpstreamTimeout
from genwright.http import Http
from genwright.testing.faults import BlackHole, Drip, Drop, FaultProxy, HalfClose, Latency, Truncate
from genwright.testing.faults import Reset as ProxyReset
from genwright.testing.provider import Fault, Reply, ScriptedProvider, ToolCall

CHAT = "/chat/completions"


@pytest.fixture
def provider():
    with ScriptedProvider() as running:
        yield running


@pytest.fixture
async def http():
    client = Http(allow_private=True, connect_timeout_s=1, first_byte_timeout_s=0.3, read_timeout_s=0.3)
    yield client
    await client.close()


def ask(text="one two three", **more):
    return json.dumps({"model": "test-model", "messages": [{"role": "user", "content": text}], **more}).encode()


async def until(condition, timeout_s=2.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not become true in time"
        await asyncio.sleep(0.005)


# --- the official clients understand it --------------------------------------------------------------------------------


@pytest.fixture
async def official(provider):
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(provider):
    async with anthropic.AsyncAnthropic(base_url=provider.origin, api_key="k", max_retries=0) as client:
        yield client


USER = [{"role": "user", "content": "one two three"}]


async def test_openai_plain(provider, official):
    answer = await official.chat.completions.create(model="test-model", messages=USER)
    assert answer.choices[0].message.content == "echo: one two three"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 4)
    assert provider.billed_tokens == (3, 4)
    [call] = provider.calls
    assert (call.path, call.model, call.stream, call.outcome) == ("/v1/chat/completions", "test-model", False, "complete")
    assert call.headers["authorization"] == "Bearer k"
    assert call.body["messages"] == USER


async def test_openai_stream_with_usage(provider, official):
    stream = await official.chat.completions.create(
        model="test-model", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "echo: one two three"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 4)
    assert provider.billed_tokens == (3, 4)


async def test_openai_tools(provider, official):
    call = ToolCall("weather", {"city": "Rome", "days": 2}, id="call_9")
    provider.script([Reply(tool_calls=(call,)), Reply(tool_calls=(call, ToolCall("clock", {}, id="call_10")))])
    message = (await official.chat.completions.create(model="test-model", messages=USER)).choices[0].message
    assert (message.content, message.tool_calls[0].id) == (None, "call_9")
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Rome", "days": 2}
    joined: dict[int, str] = {}
    async with official.chat.completions.stream(model="test-model", messages=USER) as stream:
        async for event in stream:
            if event.type == "chunk" and event.chunk.choices:
                for tool in event.chunk.choices[0].delta.tool_calls or []:
                    joined[tool.index] = joined.get(tool.index, "") + (tool.function.arguments or "")
        final = await stream.get_final_completion()
    assert [json.loads(text) for text in joined.values()] == [{"city": "Rome", "days": 2}, {}]
    assert final.choices[0].finish_reason == "tool_calls"
    assert provider.calls[1].output_tokens == 4


async def test_openai_embeddings_and_models(provider, official):
    answer = await official.embeddings.create(model="e", input=["red apple", "red pear", "blue sky today"])
    a, b, c = (item.embedding for item in answer.data)
    dot = lambda x, y: sum(i * j for i, j in zip(x, y, strict=True))  # noqa: E731
    assert dot(a, a) == pytest.approx(1, abs=1e-6)
    assert dot(a, b) > dot(a, c)
    assert answer.usage.prompt_tokens == 7
    plain = await official.embeddings.create(model="e", input="red apple", encoding_format="float", dimensions=64)
    assert plain.data[0].embedding == pytest.approx(a, abs=1e-6)
    assert [m.id async for m in official.models.list()] == ["test-model"]
    assert provider.billed_tokens == (9, 0)


async def test_anthropic_plain_and_stream(provider, claude):
    answer = await claude.messages.create(model="c", max_tokens=100, system="be kind", messages=USER)
    assert answer.content[0].text == "echo: one two three"
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.stop_reason) == (5, 4, "end_turn")
    async with claude.messages.stream(model="c", max_tokens=2, messages=USER) as stream:
        assert "".join([text async for text in stream.text_stream]) == "echo: one"
        final = await stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 2)
    assert provider.billed_tokens == (8, 6)
    assert provider.calls[0].headers["anthropic-version"]


async def test_anthropic_tools_and_cached_tokens(provider, claude):
    provider.script([Reply("wait", tool_calls=(ToolCall("w", {"a": "b c"}),), input_tokens=100, cached_tokens=80)] * 2)
    for _ in range(2):
        async with claude.messages.stream(model="c", max_tokens=100, messages=USER) as stream:
            kinds = {event.type async for event in stream}
            final = await stream.get_final_message()
        assert "content_block_delta" in kinds
        assert [block.type for block in final.content] == ["text", "tool_use"]
        assert (final.content[1].input, final.stop_reason) == ({"a": "b c"}, "tool_use")
        assert (final.usage.input_tokens, final.usage.cache_read_input_tokens) == (20, 80)
    assert provider.billed_tokens[0] == 200


async def test_the_bytes_of_a_stream(provider):
    async with httpx.AsyncClient() as client:
        answer = await client.post(provider.origin + "/v1/messages", content=ask("x", stream=True, max_tokens=5))
    kinds = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert provider.calls[0].bytes_sent == len(answer.content)


async def test_errors_in_the_dialect(provider, official, claude):
    provider.script([Fault.status(429, "slow down", retry_after_s=2), Fault.status(529, "busy")])
    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        await official.chat.completions.create(model="test-model", messages=USER)
    assert caught.value.response.headers["retry-after"] == "2"
    with pytest.raises(anthropic.APIStatusError, match="busy") as busy:
        await claude.messages.create(model="c", max_tokens=9, messages=USER)
    assert busy.value.body["error"]["type"] == "overloaded_error"
    provider.api_key = "other"
    with pytest.raises(openai.AuthenticationError):
        await official.models.list()
    with pytest.raises(anthropic.AuthenticationError):
        await claude.messages.create(model="c", max_tokens=9, messages=USER)
    assert provider.billed_tokens == (0, 0)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}", b'{"model": "m"}', b'{"model": "m", "messages": 3}'])
async def test_bad_requests(provider, http, body):
    assert (await http.request("POST", provider.base_url + CHAT, body=body)).status == 400
    assert (await http.request("GET", provider.base_url + CHAT)).status == 404
    assert (await http.request("POST", provider.base_url + "/nothing", body=ask())).status == 404
    assert [call.outcome for call in provider.calls] == ["error"] * 3


# --- scripts -----------------------------------------------------------------------------------------------------------


async def test_scripts_are_used_in_order_and_by_model(provider, http):
    provider.script([Reply("first"), Reply("second", input_tokens=7, output_tokens=1000)])
    provider.script([Reply("special")], model="m2")
    provider.always(Fault.status(500), model="m2")

    async def text(model):
        body = json.dumps({"model": model, "messages": USER}).encode()
        response = await http.request("POST", provider.base_url + CHAT, body=body)
        return json.loads(response.body)["choices"][0]["message"]["content"] if response.status == 200 else response.status

    assert [await text("m1"), await text("m2"), await text("m1"), await text("m1")] == [
        "first",
        "special",
        "second",
        "echo: one two three",
    ]
    provider.script([Reply("late")])
    assert [await text("m2"), await text("m2"), await text("m1")] == ["late", 500, "echo: one two three"]
    assert provider.calls[2].output_tokens == 1000


async def test_counts_are_exact_under_concurrency(provider, http):
    provider.script([Reply("a b")] * 100)
    answers = await asyncio.gather(
        *(http.request("POST", provider.base_url + CHAT, body=ask("x y z", stream=i % 2 == 0)) for i in range(200))
    )
    assert {a.status for a in answers} == {200}
    assert sum(c.output_tokens == 2 for c in provider.calls) == 100
    assert provider.billed_tokens == (600, 100 * 2 + 100 * 4)
    assert sorted(c.id for c in provider.calls) == list(range(1, 201))
    assert provider.active == 0
    assert sum(c.bytes_sent for c in provider.calls) == sum(len(a.body) for a in answers)


# --- faults of the provider --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(8))
async def test_a_stream_cut_at_every_event_bills_what_was_generated(provider, http, n):
    provider.script([Fault.cut_after(n)])
    got = b""
    with pytest.raises(StreamCut):  # noqa: PT012
        async with http.stream("POST", provider.base_url + CHAT, body=ask("a b c", stream=True)) as (_, _, chunks):
            async for chunk in chunks:
                got += chunk
    assert got.count(b"data: ") == n
    [call] = provider.calls
    # role, then four words, then the finish and [DONE]
    assert (call.outcome, call.events_sent, call.output_tokens) == ("cut", min(n, 7), min(max(n - 1, 0), 4))


async def test_a_plain_answer_cut(provider, http):
    provider.script([Fault.cut_after(5)])
    with pytest.raises(StreamCut):
        await http.request("POST", provider.base_url + CHAT, body=ask())
    assert provider.calls[0].output_tokens == 4


async def test_resets(provider, http):
    provider.script([Fault.reset(), Fault.reset(2), Fault.reset()])
    with pytest.raises(Upstream) as caught:
        await http.request("POST", provider.base_url + CHAT, body=ask())
    assert caught.value.code == "upstream_reset"
    for _ in range(2):
        with pytest.raises(Upstream):  # noqa: PT012
            async with http.stream("POST", provider.base_url + CHAT, body=ask(stream=True)) as (_, _, chunks):
                async for _chunk in chunks:
                    pass
    assert [c.outcome for c in provider.calls] == ["reset"] * 3
    assert [c.output_tokens for c in provider.calls] == [0, 1, 0]


@pytest.mark.parametrize("billed", [False, True])
async def test_hang(provider, http, billed):
    provider.script([Fault.hang(billed=billed)])
    with pytest.raises(UpstreamTimeout):
        await http.request("POST", provider.base_url + CHAT, body=ask(), timeout_s=0.1)
    await until(lambda: provider.active == 0)
    [call] = provider.calls
    assert (call.outcome, call.hung_up) == ("hang", True)
    assert call.output_tokens == (4 if billed else 0)


async def test_a_client_that_hangs_up_is_noticed_and_billed_until_then(provider, http):
    provider.script([Fault.slow(0.02)])
    async with http.stream("POST", provider.base_url + CHAT, body=ask("w " * 100, stream=True)) as (_, _, chunks):
        await anext(chunks)
        await anext(chunks)
        assert provider.active == 1
    await until(lambda: provider.active == 0, 0.5)
    [call] = provider.calls
    assert (call.outcome, call.hung_up) == ("hung_up", True)
    assert 1 <= call.output_tokens < 20
    assert call.output_tokens == call.events_sent - 1


async def test_slow_garbage_and_oversize(provider, http):
    provider.script([Fault.slow(0.05), Fault.garbage(), Fault.garbage(), Fault.oversize(5_000_000), Fault.oversize()])
    url = provider.base_url + CHAT
    started = time.monotonic()
    assert (await http.request("POST", url, body=ask())).status == 200
    assert time.monotonic() - started >= 0.05
    with pytest.raises(json.JSONDecodeError):
        json.loads((await http.request("POST", url, body=ask())).body.decode("latin-1"))
    assert (await http.request("POST", url, body=ask(stream=True))).headers["content-type"] == "text/event-stream"
    assert len((await http.request("POST", url, body=ask())).body) >= 5_000_000
    with pytest.raises(Upstream, match="larger than the limit"):
        await http.request("POST", url, body=ask(), max_bytes=1_000_000)
    await until(lambda: provider.active == 0)
    assert provider.calls[-1].bytes_sent < 20_000_000


# --- as a process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [[], ["--fast"]])
def test_in_a_process_of_its_own(mode):
    command = [sys.executable, "-m", "genwright.testing.provider", *mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            base_url = process.stdout.readline().strip()
            with openai.OpenAI(base_url=base_url, api_key="k", max_retries=0) as client:
                plain = client.chat.completions.create(model="m", messages=USER)
                assert plain.choices[0].message.content
                parts = list(client.chat.completions.create(model="m", messages=USER, stream=True))
                assert "".join(c.choices[0].delta.content or "" for c in parts if c.choices) == plain.choices[0].message.content
                assert client.embeddings.create(model="m", input="x").data
                assert client.models.list().data
            if not mode:
                with urllib.request.urlopen(base_url.removesuffix("/v1") + "/ledger") as answer:
                    assert len(json.load(answer)["calls"]) == 4
        finally:
            process.terminate()


# --- the fault proxy ---------------------------------------------------------------------------------------------------


async def test_the_proxy_passes_bytes_on(provider, http):
    async with FaultProxy(provider.origin) as proxy:
        response = await http.request("POST", proxy.origin + "/v1" + CHAT, body=ask())
        assert response.status == 200
        assert proxy.bytes_down > len(response.body)
        assert proxy.bytes_up > len(ask())


async def exchange(fault, sent=b"", answer=b"0123456789", seed=0, connections=1, wait_s=0.25):
    """What a raw client gets through the proxy from a server that answers and then listens: (bytes, how it ended, server saw)."""
    seen, results = [], []

    async def serve(reader, writer):
        writer.write(answer)
        try:
            seen.append(await reader.read(100))
            seen.append(await reader.read(100))
        except ConnectionError:
            seen.append("reset")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, FaultProxy(("127.0.0.1", server.sockets[0].getsockname()[1]), fault, seed=seed) as proxy:
        for _ in range(connections):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(sent)
            got, end = b"", "open"
            try:
                async with asyncio.timeout(wait_s):
                    while data := await reader.read(100):
                        got += data
                    end = "closed"
            except TimeoutError:
                pass
            except ConnectionError:
                end = "reset"
            results.append((got, end))
            if isinstance(fault, HalfClose):
                writer.write(b"still")
                await until(lambda: seen)
            writer.close()
        await until(lambda: proxy.active == 0)
    return (results if connections > 1 else results[0]), seen


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Drop(at_byte=4), (b"0123", "open")),
        (ProxyReset(at_byte=0), (b"", "reset")),
        (Truncate(at_byte=4), (b"0123", "closed")),
        (Truncate(at_byte=10), (b"0123456789", "closed")),
        (HalfClose(at_byte=4), (b"0123", "closed")),
        (BlackHole(), (b"", "open")),
        (Latency(delay_s=0.1), (b"0123456789", "open")),
        (Latency(delay_s=0.5), (b"", "open")),
        (Drip(bytes_per_s=20), None),
    ],
)
async def test_each_fault(fault, expected):
    result, seen = await exchange(fault)
    if expected is None:
        got, end = result
        assert (b"0123456789".startswith(got), end) == (True, "open")
        assert 2 <= len(got) <= 5
    else:
        assert result == expected
    if isinstance(fault, HalfClose):
        assert seen[0] == b"still"
    if isinstance(fault, BlackHole):
        assert seen == []


async def test_a_fault_on_the_way_up():
    result, seen = await exchange(Truncate(at_byte=3, direction="up"), sent=b"hello")
    assert seen[0] == b"hel"
    assert result[1] == "closed"


async def test_the_seed_decides():
    fates = [[end for _, end in (await exchange(Truncate(share=0.5), seed=s, connections=6, wait_s=0.08))[0]] for s in (1, 1, 2)]
    assert fates[0] == fates[1] != fates[2]
    assert {"open", "closed"} == set(fates[0])
