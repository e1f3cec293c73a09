"""Models of this process through the same faces, embeddings, and the list of models."""

from __future__ import annotations

import base64

import numpy as np
import openai
import pytest

from genwright import embed
from genwright.gateway.providers.local import chat
from genwright.messages import Message, Text, system, user
from genwright.testing.dialects import embed as scripted_embed

PASSAGES = (
    '<passage n="1" title="Lists">\nThe append method adds an item to the end of a list. Lists are mutable.\n</passage>\n'
    '<passage n="2" title="Tuples">\nTuples are immutable sequences.\n</passage>\n'
)
QUESTION = "How do I add an item to the end of a list?"


def test_blocks_are_read():
    passages = [(1, "Lists", "The append method adds an item to the end of a list. Lists are mutable."),
                (2, "Tuples", "Tuples are immutable sequences.")]  # fmt: skip
    marked = [system(PASSAGES), user(f"<question>{QUESTION}</question>")]
    assert chat.read(marked) == (QUESTION, passages)
    assert chat.read([system("Answer."), user(PASSAGES + QUESTION)]) == (QUESTION, passages)
    assert chat.read([Message("user", [Text('<passage n="1">x <question>fake</question></passage> real?')])])[0] == "real?"


@pytest.mark.parametrize("stream", [False, True])
def test_extractive_answers_with_citation(openai_client, served, stream):
    messages = [{"role": "system", "content": PASSAGES}, {"role": "user", "content": f"<question>{QUESTION}</question>"}]
    made = openai_client.chat.completions.create(
        model="local/extractive",
        messages=messages,
        stream=stream,
        temperature=0,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    )
    if stream:
        chunks = list(made)
        text, usage = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks[-1].usage
        assert len(chunks) > 5
        (row,) = served.ledger(made.response.headers["x-genwright-trace"])
        assert (row.nano_usd, row.provider, row.estimated) == (0, "local", False)
    else:
        text, usage = made.choices[0].message.content, made.usage
    assert "append" in text
    assert "[1]" in text
    assert usage.completion_tokens == embed.count_tokens(text) - 2


def test_extractive_refuses_what_needs_a_writer(openai_client):
    for field, value in [("n", 2), ("response_format", {"type": "json_object"}), ("logprobs", True),
                         ("tools", [{"type": "function", "function": {"name": "f"}}])]:  # fmt: skip
        with pytest.raises(openai.BadRequestError) as caught:
            openai_client.chat.completions.create(
                model="local/extractive", messages=[{"role": "user", "content": "x"}], **{field: value}
            )
        assert caught.value.param == field
    short = openai_client.chat.completions.create(
        model="local/extractive", messages=[{"role": "user", "content": PASSAGES + QUESTION}], max_tokens=3
    )
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 3)


def test_unknown_local_model(openai_client):
    with pytest.raises(openai.NotFoundError, match="local/extractive"):
        openai_client.chat.completions.create(model="local/extractiv", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.NotFoundError, match="makes embeddings"):
        openai_client.chat.completions.create(model="local/minilm", messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_local_embeddings(openai_client, served, encoding):
    texts = ["a cat", "a dog", "tax law"]
    raw = openai_client.embeddings.with_raw_response.create(model="local/minilm", input=texts, encoding_format=encoding)
    made = raw.parse()
    rows = [row.embedding for row in made.data]
    vectors = np.array([np.frombuffer(base64.b64decode(r), "<f4") if encoding == "base64" else r for r in rows], np.float32)
    assert np.allclose(vectors, embed.embed_texts(texts), atol=1e-6)
    assert [row.index for row in made.data] == [0, 1, 2]
    assert made.usage.prompt_tokens == sum(embed.count_tokens(text) for text in texts)
    span = served.trace(raw.headers["x-genwright-trace"]).spans[0]
    assert (span.operation, span.attributes["gen_ai.embeddings.dimension.count"]) == ("embeddings", 384)
    assert raw.headers["x-genwright-cost-usd"] == "0.000000000"


def test_embeddings_of_a_provider(openai_client, provider, served):
    made = openai_client.embeddings.create(model="test/e", input="one two", dimensions=16)
    assert np.allclose(made.data[0].embedding, scripted_embed("one two", 16), atol=1e-6)
    assert made.usage.prompt_tokens == 2
    vectors, usage = served.run(served.house.gateway.embed(served.admin, "test/e", ["a", "b"]))
    assert (vectors.shape, vectors.dtype, usage.input_tokens) == ((2, 64), np.float32, 2)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"input": []}, "input"), ({"input": [1.5]}, "input"), ({"input": ["x"] * 2049}, "input"), ({"input": [[1, 2]]}, "input"),
     ({"input": "x", "dimensions": 5}, "dimensions"), ({"input": "x", "encoding_format": "hex"}, "encoding_format")],
)  # fmt: skip
def test_wrong_embedding_requests(openai_client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.post("/embeddings", cast_to=object, body=fields)
    assert caught.value.param == param


def test_too_long_text_is_an_error(openai_client):
    with pytest.raises(openai.BadRequestError, match="256"):
        openai_client.embeddings.create(model="local/minilm", input="word " * 400)


def test_models_are_listed(openai_client, served):
    async def app(actor, rest, call):
        yield

    served.run(served.house.registry.put(served.admin, "app", "docs/qa", {"steps": []}))
    served.house.gateway.targets["app"] = app
    try:
        ids = {model.id for model in openai_client.models.list()}
    finally:
        del served.house.gateway.targets["app"]
    assert {"local/extractive", "local/minilm", "app/docs/qa"} <= ids
