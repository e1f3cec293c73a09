"""OpenAI's own OpenAPI document judges what we send to providers of its dialects, and what our faces answer."""

from __future__ import annotations

import json

import msgspec
import pytest

from genwright.errors import Invalid
from genwright.gateway.faces import openai as openai_face
from genwright.gateway.sse import Parser
from matrix.columns import FACES, providers
from matrix.features import BASE, FEATURES
from matrix.openapi import DOCUMENT, faults
from matrix.recorded import Recording, carried, plain, recordings

pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason=f"OpenAI's OpenAPI document is not at {DOCUMENT}")
REQUESTS = {"openai": "CreateChatCompletionRequest", "responses": "CreateResponse"}


def test_the_judge_sees_faults():
    assert faults("CreateChatCompletionRequest", {"model": "m"}) == ["CreateChatCompletionRequest.messages is missing"]
    assert "out of range" in faults("CreateChatCompletionRequest", {"model": "m", "messages": [_user("x")], "temperature": 9})[0]
    assert faults("CreateResponse", {"model": "m", "input": [{"role": "king", "content": "x"}]})
    assert faults("CreateResponse", {"model": "m", "input": [{"role": "user", "content": "x"}]}) == []


def _user(text):
    return {"role": "user", "content": text}


@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_we_send_is_what_openai_describes(feature, dialect):
    for face, read in FACES.items():
        if face in feature.says and face != dialect:
            try:
                body = providers()[dialect].request(read({**BASE[face], **feature.says[face]}), "m", True)
            except Invalid:
                continue
            sent = json.loads(body)
            for message in sent.get("messages", ()):  # a widespread addition to OpenAI's own fields
                message.pop("reasoning_details", None)
                message.pop("reasoning_content", None)
            assert faults(REQUESTS[dialect], sent) == [], face


def across(face: str) -> list[Recording]:
    return [recording for recording in recordings() if recording.dialect != face and plain(recording)]


@pytest.mark.parametrize("recording", across("openai"), ids=lambda recording: recording.name)
def test_chat_answers_are_what_openai_describes(recording):
    data = carried(recording, "openai")
    if not recording.stream:
        assert faults("CreateChatCompletionResponse", json.loads(data)) == []
        return
    for event in Parser().feed(data):
        if event.data and event.data != b"[DONE]":
            chunk = {name: value for name, value in json.loads(event.data).items() if name != "usage" or value is not None}
            assert (
                faults("CreateChatCompletionStreamResponse", chunk) == []
            )  # `usage` is null until its chunk, as it says in words


@pytest.mark.parametrize("recording", across("responses"), ids=lambda recording: recording.name)
def test_responses_are_what_openai_describes(recording):
    data = carried(recording, "responses")
    if not recording.stream:
        assert faults("Response", json.loads(data)) == []
        return
    events = [json.loads(event.data) for event in Parser().feed(data) if event.data]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        if "response" in event and event["response"]["usage"] is None:  # as in OpenAI's own streams
            del event["response"]["usage"]
        assert faults("ResponseStreamEvent", event) == [], event["type"]


def test_errors_are_what_openai_describes():
    for error in (Invalid("no", param="model"), Invalid("no")):
        assert faults("ErrorResponse", msgspec.json.decode(openai_face.write_error(error))) == []
