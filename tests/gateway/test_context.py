"""Context policies: what is cut of a conversation too long, in which order, and what is said about it."""

from __future__ import annotations

import asyncio

import pytest

from genwright.access.types import Actor
from genwright.errors import Invalid
from genwright.gateway import compress
from genwright.gateway.context import Policy, fit, read
from genwright.gateway.types import Answer, Call, Wire
from genwright.messages import Message, Text, ToolCall, ToolResult, assistant, system, user
from genwright.tokens import count_messages
from genwright.vocab import Scope

ACTOR = Actor(Scope(), "key_1", "tests", "key", "editor")
MODEL = "openai/gpt-5"
TOPICS = ["gardens and roses", "railway timetables", "tax returns", "volcanoes in Iceland", "sourdough bread", "jazz trumpets"]


def conversation(turns=12, words=40):
    said = [system("You answer briefly.")]
    for number in range(turns):
        topic = TOPICS[number % len(TOPICS)]
        said += [
            user(f"Turn {number}: tell me about {topic}. " + "Please go on. " * (words // 3)),
            assistant(f"About {topic}: yes."),
        ]
    return [*said, user("And what did you say about volcanoes in Iceland?")]


def fitted(messages, ask=None, actor=ACTOR, window=0, **policy):
    call = Call("route/x", messages, wire=Wire("openai", {"messages": []}))
    return asyncio.run(fit(actor, call, read(policy), MODEL, window=window, ask=ask))


def texts(call):
    return [message.text for message in call.messages]


def test_what_fits_is_sent_as_it_came():
    call = Call("route/x", conversation(2), wire=Wire("openai", {}))
    assert asyncio.run(fit(ACTOR, call, Policy(limit=100_000), MODEL)) is call
    assert asyncio.run(fit(ACTOR, call, Policy(), MODEL)) is call  # no limit, and the window is not known


def test_trimming_takes_the_oldest_turns_whole_and_keeps_system_and_question():
    messages = conversation()
    call = fitted(messages, limit=400, then=["trim"])
    assert count_messages(call.messages, MODEL) <= 400
    said = texts(call)
    assert said[0] == "You answer briefly."
    assert said[-1] == messages[-1].text
    assert said[1:-1] == [message.text for message in messages][-len(said) + 1 : -1]
    shown = call.attributes["genwright.context"]
    assert (shown["limit"], shown["before"], shown["after"]) == (
        400,
        count_messages(messages, MODEL),
        count_messages(call.messages, MODEL),
    )
    (cut,) = shown["cuts"]
    assert cut["how"] == "trim"
    assert cut["messages"] == list(range(1, 1 + len(cut["messages"])))
    assert cut["tokens"] == shown["before"] - shown["after"]
    assert call.wire is None


def test_blocks_keep_the_beginning_the_same_for_several_turns():
    """So that the provider's prefix cache stays warm: the cut moves once in four turns, not every time."""
    begins = [texts(fitted(conversation(turns), limit=500, then=["trim"], block=4))[1] for turns in range(14, 30)]
    assert len(set(begins)) <= 5
    moving = [texts(fitted(conversation(turns), limit=500, then=["trim"], block=1))[1] for turns in range(14, 30)]
    assert len(set(moving)) > 10


def test_a_tool_call_and_its_result_go_together():
    messages = [
        user("look it up"),
        Message("assistant", [ToolCall("c1", "look", {"q": "x"})]),
        Message("tool", [ToolResult("c1", "found " * 200)]),
        assistant("Found."),
        user("thanks, and now?"),
    ]
    call = fitted(messages, limit=100, then=["trim"])
    assert [message.role for message in call.messages] == ["user"]


def test_the_window_of_the_model_is_the_limit_where_none_is_written():
    call = fitted(conversation(), window=2300, then=["trim"])
    assert count_messages(call.messages, MODEL) <= 300


def test_refusing_names_the_figures_and_sends_nothing():
    with pytest.raises(Invalid, match="of 50 that") as raised:
        fitted(conversation(), limit=50, then=["refuse"])
    assert raised.value.code == "context_length_exceeded"
    with pytest.raises(Invalid, match="after trim"):
        fitted([user("word " * 500)], limit=50, then=["trim"])


def test_relevant_turns_stay():
    call = fitted(conversation(6), limit=200, then=["relevant"])
    kept = " ".join(texts(call)[1:-1])
    assert "volcanoes" in kept
    assert "tax returns" not in kept


def test_a_stub_says_how_to_have_the_text_back_and_gives_it_when_asked():
    document = "The warranty lasts 27 months. " + "Details follow in the annex. " * 200
    messages = [user(document), assistant("I have read it."), user("Fine. Something else: what is 2 + 2?")]
    call = fitted(messages, limit=200, then=["stub"])
    stub = texts(call)[0]
    assert "left out, beginning “The warranty lasts 27 months." in stub
    handle = stub.split("say ")[1].rstrip(".]")
    back = [*messages, assistant(f"I need {handle}."), user(f"Go on: {handle}")]
    with pytest.raises(Invalid):  # it is back, and too long again
        fitted(back, limit=200, then=["stub"])
    assert fitted(back, limit=5000, then=["stub"]).messages == back


def test_a_summary_is_written_once_for_the_same_turns():
    asked = []

    async def ask(actor, call):
        asked.append(call)
        return Answer(assistant("They spoke of roses, railways and taxes."))

    calls = [
        fitted(conversation(turns), ask, limit=900, then=["summarise"], model="openai/small", block=6) for turns in (14, 15, 14)
    ]
    assert len(asked) <= 2
    assert asked[0].model == "openai/small"
    assert "gardens and roses" in asked[0].messages[0].text
    said = texts(calls[0])
    assert said[0] == "You answer briefly."
    assert said[1] == "[Summary of what was said before]\nThey spoke of roses, railways and taxes."


def test_compressing_keeps_sentences_as_they_were_and_measures_the_loss():
    text = (
        "The bridge over the Elbe was opened in 1893. It is called the Blue Wonder. Its span is 141 metres. "
        "The weather was fine that day. Some people ate cake. Others did not eat cake. A dog barked twice. "
        "Engineers Claus Köpcke and Hans Manfred Krüger designed it. The steel weighs 3,500 tonnes. Trams crossed it until 1985. "
    )
    shorter, loss = compress.shorten(text, "When was the bridge opened and who designed it?", 0.6)
    assert len(shorter) <= 0.62 * len(text)
    assert "1893" in shorter
    assert "Köpcke" in shorter
    assert all(sentence in text for sentence in compress.sentences(shorter))
    assert 0 < loss < 0.2
    assert compress.shorten(text, "x", 0.2)[1] > loss
    messages = [user(text * 3), assistant("Noted."), user("When was the bridge opened?")]
    before = count_messages(messages, MODEL)
    call = fitted(messages, limit=int(before * 0.75), then=["compress"], max_loss=0.3)
    (cut,) = call.attributes["genwright.context"]["cuts"]
    assert 0 <= cut["loss"] <= 0.3
    with pytest.raises(Invalid, match="after compress"):
        fitted(messages, limit=int(before * 0.75), then=["compress"], max_loss=0.0)


def test_steps_go_in_order_until_it_fits():
    messages = [user("A long paper. " * 300), assistant("Read."), *conversation(6)[1:]]
    call = fitted(messages, limit=700, then=["stub", "trim"])
    assert [cut["how"] for cut in call.attributes["genwright.context"]["cuts"]] == ["stub"]
    call = fitted(messages, limit=200, then=["stub", "trim"])
    assert [cut["how"] for cut in call.attributes["genwright.context"]["cuts"]] == ["stub", "trim"]


def test_a_key_that_keeps_no_texts_has_none_on_its_span():
    quiet = Actor(Scope(), "key_2", "tests", "key", "editor", capture="metadata")
    (cut,) = fitted(conversation(), actor=quiet, limit=400).attributes["genwright.context"]["cuts"]
    assert "texts" not in cut
    assert fitted(conversation(), limit=400).attributes["genwright.context"]["cuts"][0]["texts"]


@pytest.mark.parametrize(
    "wrong", [{"then": ["shrink"]}, {"then": []}, {"then": ["summarise"]}, {"limit": -1}, {"keep": 0}, {"foo": 1}, 3]
)
def test_a_wrong_policy_is_refused(wrong):
    with pytest.raises(ValueError, match=r".+"):
        read(wrong)


def test_media_stay_where_they_are():
    from genwright.messages import Media

    picture = Message("user", [Media("image", "image/png", "AAAA"), Text("what is this?")])
    call = fitted([*conversation()[:-1], picture], limit=400)
    assert call.messages[-1] == picture
