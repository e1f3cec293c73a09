"""The cache on a call's way: hits as the provider's own bytes, what is never kept, what lies between two scopes."""

import asyncio

import httpx
import pytest

from genwright.access.types import SYSTEM
from genwright.gateway.cache.rules import PutRule
from genwright.messages import ToolCall
from genwright.testing.provider import Fault, Reply
from genwright.vocab import Scope

QUESTION = "How do I rename a file in Python?"
REWORDED = "How can I rename a file in Python?"


@pytest.fixture
def rule(served):
    """`rule(**fields)` sets the one rule; it and what it kept are gone afterwards."""
    served.run(served.house.gateway.cache.put_rule(served.admin, PutRule("all", models="test/*", sample=0.0)))
    yield lambda **fields: served.run(served.house.gateway.cache.put_rule(served.admin, PutRule("all", **fields)))
    served.run(served.house.gateway.cache.flush())
    served.run(served.house.gateway.cache.remove_rule(served.admin, "all"))


def ask(served, text=QUESTION, stream=False, key="full", headers=None, **more):
    body = {"model": "test/test-model", "messages": [{"role": "user", "content": text}], "stream": stream, **more}
    head = {"authorization": f"Bearer {served.house.keys.get(key, key)}", **(headers or {})}
    answer = httpx.post(f"{served.origin}/v1/chat/completions", json=body, headers=head, timeout=20)
    served.run(served.house.gateway.flush())
    return answer


def state(answer):
    return answer.headers.get("x-genwright-cache")


def test_without_a_rule_nothing_is_kept_and_nothing_said(served, provider):
    assert [state(ask(served)) for _ in range(2)] == [None, None]
    assert len(provider.calls) == 2


def test_the_same_call_again_is_answered_with_the_same_bytes_and_costs_nothing(served, provider, rule):
    provider.script([Reply(text="Use os.rename.")])
    first, second = ask(served), ask(served)
    assert (state(first), state(second)) == ("miss", "hit")
    assert second.content == first.content
    assert second.headers["x-genwright-cost-usd"] == "0.000000000"
    assert len(provider.calls) == 1
    row = served.ledger(second.headers["x-genwright-trace"])[0]
    assert (row.status, row.nano_usd, row.input_tokens, row.output_tokens) == ("cached", 0, 0, 0)
    span = served.trace(second.headers["x-genwright-trace"]).spans[0]
    assert span.attributes["genwright.cache"] == "hit"


def test_a_stream_is_replayed_event_for_event(served, provider, rule):
    provider.script([Reply(text="Use os.rename, or Path.rename.")])
    first, second = ask(served, stream=True), ask(served, stream=True)
    assert (state(first), state(second)) == ("miss", "hit")
    assert second.content == first.content
    assert second.content.endswith(b"data: [DONE]\n\n")
    assert len(provider.calls) == 1


def test_what_came_whole_is_streamed_and_what_was_streamed_comes_whole(served, provider, rule):
    provider.script([Reply(text="Use os.rename, or the rename method of a Path from pathlib, or shutil.move.")])
    whole, stream = ask(served), ask(served, stream=True)
    assert state(stream) == "hit"
    events = [line for line in stream.text.split("\n\n") if line.startswith("data: {")]
    assert len(events) > 2
    import json

    pieces = [json.loads(event[6:])["choices"] for event in events]
    text = "".join(choices[0]["delta"].get("content") or "" for choices in pieces if choices)
    assert text == whole.json()["choices"][0]["message"]["content"]
    assert pieces[-1][0]["finish_reason"] == "stop"

    provider.script([Reply(text="Another answer.")])
    assert state(ask(served, "What is a list?", stream=True)) == "miss"
    again = ask(served, "What is a list?")
    assert state(again) == "hit"
    assert again.json()["choices"][0]["message"]["content"] == "Another answer."


def test_a_reworded_question_hits_only_in_a_semantic_rule(served, provider, rule):
    assert [state(ask(served, text)) for text in (QUESTION, REWORDED)] == ["miss", "miss"]
    rule(mode="semantic")
    served.run(served.house.gateway.cache.clear(served.admin, everything=True))
    provider.script([Reply(text="Use os.rename.")])
    assert state(ask(served)) == "miss"
    found = ask(served, REWORDED)
    assert state(found) == "semantic"
    assert found.json()["choices"][0]["message"]["content"] == "Use os.rename."
    assert state(ask(served, REWORDED, headers={"x-genwright-cache": "exact"})) == "miss"
    served.run(served.house.gateway.cache.flush())
    hit = served.run(served.house.gateway.cache.hits(served.admin, "semantic"))[0]
    assert (hit.asked, hit.question) == (REWORDED, QUESTION)
    assert 0.8 <= hit.similarity < 1


@pytest.mark.parametrize(
    "other",
    [
        "How do I rename a file in Java?",
        "How do I not rename a file in Python?",
        "How do I delete a file in Python?",
    ],
)
def test_near_questions_with_other_answers_are_misses(served, rule, other):
    rule(mode="semantic")
    assert [state(ask(served, text)) for text in (QUESTION, other)] == ["miss", "miss"]


def test_headers_pass_by_and_refresh(served, provider, rule):
    provider.script([Reply(text="one"), Reply(text="two"), Reply(text="three")])
    off, new = {"x-genwright-cache": "off"}, {"x-genwright-cache": "refresh"}
    answers = [ask(served), ask(served, headers=off), ask(served, headers=new), ask(served)]
    assert [state(answer) for answer in answers] == ["miss", None, "miss", "hit"]
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == ["one", "two", "three", "three"]


def test_an_answer_expires(served, rule):
    import genwright.clock

    assert state(ask(served, headers={"x-genwright-cache-ttl": "60"})) == "miss"
    assert state(ask(served)) == "hit"
    now = genwright.clock.now_ns()
    genwright.clock.set_wall(lambda: now + 61 * 10**9)
    try:
        assert state(ask(served)) == "miss"
    finally:
        genwright.clock.set_wall(None)


def test_errors_tool_calls_and_warm_calls_are_not_kept(served, provider, rule):
    provider.script([Fault.status(500)])
    assert ask(served).status_code >= 500
    assert state(ask(served)) == "miss"
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    call = Reply(tool_calls=(ToolCall("c1", "look", {}),))
    provider.script([call, call])
    assert [state(ask(served, "Look!", tools=tools)) for _ in range(2)] == ["miss", "miss"]
    assert [state(ask(served, "Be creative!", temperature=0.7)) for _ in range(2)] == [None, None]
    rule(tools=True, sampled=True)
    provider.script([call])
    assert [state(ask(served, "Look!", tools=tools)) for _ in range(2)] == ["miss", "hit"]
    assert [state(ask(served, "Be creative!", temperature=0.7)) for _ in range(2)] == ["miss", "hit"]


def test_a_broken_stream_is_not_kept(served, provider, rule):
    provider.script([Fault.cut_after(2)])
    ask(served, stream=True)
    assert state(ask(served, stream=True)) == "miss"


VARIATIONS = {
    "system prompt": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]},
    "earlier turn": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hi!"},
            {"role": "user", "content": QUESTION},
        ]
    },
    "model": {"model": "test/other-model"},
    "temperature": {"temperature": 0},
    "seed": {"seed": 1},
    "cap": {"max_tokens": 50},
    "format": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]},
    "an unknown field": {"reasoning": {"effort": "low"}},
    "an image": {
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": QUESTION},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ]}]
    },
}  # fmt: skip


@pytest.mark.parametrize("what", VARIATIONS)
def test_everything_but_the_last_question_must_be_equal(served, rule, what):
    rule(mode="semantic")
    assert state(ask(served)) == "miss"
    other = ask(served, REWORDED, **VARIATIONS[what])
    assert other.status_code in (200, 400), other.text
    assert state(other) in ("miss", None)


def test_keys_do_not_share_unless_the_rule_says_so(served, rule):
    _, other = served.run(served.house.access.create_key(served.admin, "other", "editor"))
    assert state(ask(served)) == "miss"
    assert state(ask(served, key=other)) == "miss"
    rule(share="project")
    assert state(ask(served)) == "miss"
    assert state(ask(served, key=other)) == "hit"
    rule(share="user")
    assert state(ask(served, user="ada")) == "miss"
    assert state(ask(served, user="bob")) == "miss"
    assert state(ask(served, user="ada")) == "hit"


def test_of_a_key_that_keeps_no_texts_nothing_is_kept(served, rule):
    for mode in ("metadata", "off"):
        assert [state(ask(served, key=mode)) for _ in range(2)] == [None, None]


def test_another_workspace_never_hits(served, provider, rule):
    """S3: identical and nearly identical questions of another tenant, under the same rule there."""
    rule(mode="semantic", share="project")
    there = SYSTEM(Scope("elsewhere"))
    served.run(served.house.gateway.add_provider(there, "test", "openai-compatible", provider.base_url, "sk-upstream"))
    served.run(served.house.gateway.cache.put_rule(there, PutRule("all", models="test/*", mode="semantic", share="project")))
    _, key = served.run(served.house.access.create_key(there, "there", "editor"))
    provider.script([Reply(text="ours"), Reply(text="theirs")])
    assert [state(ask(served)), state(ask(served, key=key))] == ["miss", "miss"]
    for text, how in ((QUESTION, "hit"), (REWORDED, "semantic")):
        for who, answer in (("full", "ours"), (key, "theirs")):
            found = ask(served, text, key=who)
            assert (state(found), found.json()["choices"][0]["message"]["content"]) == (how, answer)
    served.run(served.house.gateway.cache.remove_rule(there, "all"))


def test_another_face_streams_a_hit_in_its_own_words(served, provider, rule):
    import anthropic

    provider.script([Reply(text="Use os.rename, or Path.rename.")])
    with anthropic.Anthropic(base_url=served.origin, api_key=served.house.keys["full"], max_retries=0) as client:

        def said():
            asked = {"model": "test/test-model", "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]}
            with client.messages.stream(**asked) as stream:
                text = "".join(stream.text_stream)
                state = stream.response.headers["x-genwright-cache"]
            served.run(served.house.gateway.flush())
            return state, text

        assert said() == ("miss", "Use os.rename, or Path.rename.")
        assert said() == ("hit", "Use os.rename, or Path.rename.")
    assert len(provider.calls) == 1


def test_waiting_ends_where_the_last_answer_was_kept_a_moment_ago(served):
    """From Python 3.12 on, gathering what has just ended gives the loop no turn to say so."""

    async def flush():
        kept = asyncio.get_running_loop().create_future()
        kept.set_result(None)
        keeping = served.house.gateway.cache._keeping
        keeping.add(kept)
        kept.add_done_callback(keeping.discard)
        await served.house.gateway.cache.flush()
        return set(keeping)

    assert served.run(flush()) == set()
