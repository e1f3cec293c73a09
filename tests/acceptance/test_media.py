"""Images, audio, rerank, videos, files and batches through the official client and plain HTTP, against the scripted provider."""

from __future__ import annotations

import io
import json
import wave

import openai
import pytest

from genwright.testing.provider import Fault, Reply
from journey import DATA, genwright, until

pytestmark = pytest.mark.filterwarnings("ignore:deprecated", "ignore:The Sora API")  # the client's word on its own methods
SPOKEN = sorted((DATA / "multimodal" / "fsdd-jackson").glob("**/*.wav"))


@pytest.fixture(scope="module")
def served(empty, provider):
    """The provider under the name openai, with prices of its own for what is no token."""
    empty.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-x")
    return empty


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.address + "/v1", api_key=served.key, max_retries=0) as client:
        yield client


def truth(provider, path):
    return [call for call in provider.calls if call.path == path][-1]


def test_images_come_as_the_provider_made_them_and_are_counted(client, served, provider):
    made = client.images.with_raw_response.generate(model="scripted/paint", prompt="a red fox", n=2)
    images = made.parse().data
    assert [image.b64_json[:8] for image in images] == ["iVBORw0K"] * 2
    trace = served.trace(made.headers["x-genwright-trace"])
    (span,) = trace["spans"]
    assert span["operation"] == "image_generation"
    billed = truth(provider, "/v1/images/generations").units
    assert (span["attributes"]["gen_ai.usage.input_tokens"], span["attributes"]["gen_ai.usage.output_tokens"]) == (
        billed["input"], billed["output"],
    )  # fmt: skip


def test_an_image_is_edited(client, provider):
    picture = io.BytesIO(b"\x89PNG\r\n\x1a\nnot much of one")
    picture.name = "fox.png"
    client.images.edit(model="scripted/paint", image=picture, prompt="blue")
    assert truth(provider, "/v1/images/edits").units["image"] == 1


def test_speech_is_heard(client):
    audio = client.audio.speech.create(model="scripted/voice", voice="alloy", input="one two three four").read()
    with wave.open(io.BytesIO(audio)) as heard:
        assert heard.getnframes() > 0


@pytest.mark.skipif(not SPOKEN, reason="the spoken digits are not on this machine")
def test_real_speech_is_transcribed_and_its_seconds_are_booked(client, served, provider):
    with SPOKEN[0].open("rb") as file:
        made = client.audio.transcriptions.with_raw_response.create(model="scripted/ear", file=file)
    seconds = truth(provider, "/v1/audio/transcriptions").units["audio_second"]
    assert f"{seconds:.2f}" in made.parse().text
    rows = served.get("/api/gateway/attempts", trace_id=made.headers["x-genwright-trace"])["items"]
    assert rows[0]["units"]["audio_second"] == pytest.approx(seconds)
    with SPOKEN[0].open("rb") as file:
        plain = client.audio.translations.create(model="scripted/ear", file=file, response_format="text")
    assert "heard" in str(plain)


def test_passages_are_ranked_by_a_provider_and_by_the_model_in_the_house(served):
    asked = {"query": "list append", "documents": ["Tuples never change.", "append adds an item to a list"], "top_n": 1}
    for model in ("scripted/rank", "local/minilm"):
        ranked = served.post("/v1/rerank", {"model": model, **asked})
        assert [result["index"] for result in ranked["results"]] == [1], model
    long = "Nothing of interest. " * 400 + "append adds an item to the end of a list."
    ranked = served.post(
        "/v1/rerank", {"model": "local/minilm", "query": "how to add to a list", "documents": ["Weather.", long]}
    )
    assert ranked["results"][0]["index"] == 1


def test_what_a_provider_cannot_do_is_refused_with_the_field(client, served):
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="local/extractive", prompt="x")
    assert caught.value.body["param"] == "model"
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="scripted/paint", prompt="x", extra_body={"stream": True})
    assert caught.value.body["param"] == "stream"
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(model="scripted/voice", voice="alloy", input="")
    assert caught.value.body["param"] == "input"


def test_a_video_is_ordered_waited_for_fetched_and_deleted(client, served, provider):
    video = client.videos.create(model="scripted/film", prompt="a fox runs", seconds="4")
    assert video.status == "queued"
    ended = until(lambda: (now := client.videos.retrieve(video.id)).status == "completed" and now)
    assert ended.id == video.id
    assert b"ftyp" in client.videos.download_content(video.id).read()
    assert video.id in [item.id for item in client.videos.list()]
    client.videos.delete(video.id)
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


# -- files and batches


def batch_file(client, bodies):
    lines = [
        json.dumps({"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions", "body": body})
        for n, body in enumerate(bodies)
    ]
    return client.files.create(file=("questions.jsonl", "\n".join(lines).encode()), purpose="batch")


def chat(text, **more):
    return {"model": "scripted/test-model", "messages": [{"role": "user", "content": text}], **more}


def wait(client, batch):
    return until(lambda: (now := client.batches.retrieve(batch.id)).status in ("completed", "cancelled", "failed") and now, 60)


def test_files_are_kept_listed_and_deleted(client, served):
    kept = client.files.create(file=("notes.txt", b"remember"), purpose="user_data")
    assert client.files.content(kept.id).read() == b"remember"
    assert kept.id in [file.id for file in client.files.list(purpose="user_data")]
    twin = client.files.create(file=("twin.txt", b"remember"), purpose="user_data")
    assert client.files.delete(kept.id).deleted
    assert client.files.content(twin.id).read() == b"remember"
    client.files.delete(twin.id)
    assert not [path for path in (served.home / "files").rglob("*") if path.is_file() and path.read_bytes() == b"remember"]
    with pytest.raises(openai.NotFoundError):
        client.files.content(kept.id)


def test_a_batch_answers_every_line_waits_at_limits_and_names_what_failed(client, served, provider):
    provider.script([Fault.status(429, retry_after_s=1)])
    made = batch_file(client, [*(chat(f"question {n}") for n in range(20)), chat("too hot", temperature=9)])
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = wait(client, batch)
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (21, 20, 1)
    answers = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    said = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in answers}
    assert said == {f"q{n}": f"echo: question {n}" for n in range(20)}
    (failed,) = [json.loads(line) for line in client.files.content(done.error_file_id).text.splitlines()]
    assert (failed["custom_id"], failed["response"]["body"]["error"]["param"]) == ("q20", "temperature")


def test_a_batch_goes_on_after_kill_9_and_asks_nothing_twice_that_was_answered(provider, start, tmp_path):
    server = start(tmp_path / "home")
    server.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-x")
    provider.clear()
    provider.always(Reply(fault=Fault.slow(0.15)))
    with openai.OpenAI(base_url=server.address + "/v1", api_key=server.key, max_retries=0) as client:
        made = batch_file(client, [chat(f"line {n}") for n in range(60)])
        batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
        until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 10)
        before = client.batches.retrieve(batch.id).request_counts.completed
        server.kill()
    provider.clear()
    asked = len(provider.calls)
    server.start()
    with openai.OpenAI(base_url=server.address + "/v1", api_key=server.key, max_retries=0) as client:
        done = wait(client, batch)
        assert done.request_counts.completed == 60
        assert len(client.files.content(done.output_file_id).text.splitlines()) == 60
    again = sum(call.path == "/v1/chat/completions" for call in provider.calls[asked:])
    assert 60 - before - 16 <= again <= 60 - before


def test_a_batch_is_cancelled_and_keeps_what_was_answered(client, provider):
    provider.always(Reply(fault=Fault.slow(0.1)))
    made = batch_file(client, [chat(f"line {n}") for n in range(200)])
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 5)
    assert client.batches.cancel(batch.id).status == "cancelling"
    ended = wait(client, batch)
    assert ended.status == "cancelled"
    kept = len(client.files.content(ended.output_file_id).text.splitlines())
    assert 5 <= kept == ended.request_counts.completed < 200
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_wrong_lines_are_named_and_nothing_is_sent(client, provider):
    asked = len(provider.calls)
    text = '{"custom_id": "a", "body": {"stream": true}}\nnot json\n{"custom_id": "a", "body": {}}\n{"body": {}}'
    made = client.files.create(file=("wrong.jsonl", text.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert batch.status == "failed"
    assert [(error.line, error.param) for error in batch.errors.data] == [(1, "body.stream"), (2, None), (4, "custom_id")]
    assert len(provider.calls) == asked
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.create(input_file_id=made.id, endpoint="/v1/nonsense", completion_window="24h")
    assert caught.value.body["param"] == "endpoint"


def test_the_command_asks_each_line_and_fetches_the_answers(served, provider, tmp_path):
    provider.clear()
    questions = tmp_path / "questions.txt"
    questions.write_text("first?\nsecond?\n\nthird?\n")
    done = genwright(
        served.home, "batch", "run", str(questions), "--model", "scripted/test-model", "-o", str(tmp_path / "out.jsonl")
    )
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["body"]["choices"][0]["message"]["content"] for row in rows] == ["echo: first?", "echo: second?", "echo: third?"]
    assert served.cli("batch", "list")["items"][0]["answered"] == 3
    assert genwright(served.home, "batch", "run", str(questions)).code == 2


def test_a_video_that_was_not_made_is_booked_back_once(client, served, provider):
    served.cli("prices", "set", "scripted/film", "video_second=0.10")
    provider.media.fail_next_video = True
    made = client.videos.with_raw_response.create(model="scripted/film", prompt="a fox runs", seconds="8")
    assert made.headers["x-genwright-cost-usd"] == "0.800000000"
    video = made.parse()
    until(lambda: client.videos.retrieve(video.id).status == "failed")
    client.videos.retrieve(video.id)
    rows = served.get("/api/gateway/attempts", trace_id=made.headers["x-genwright-trace"])["items"]
    assert [(row["status"], row["nano_usd"]) for row in rows] == [("ok", 800_000_000), ("refunded", -800_000_000)]


def test_a_budget_counts_images_before_they_are_made(served, provider):
    key, secret = served.make_key("caller", "full")
    served.cli("prices", "set", "scripted/costly", "image=1")
    served.cli("budgets", "set", f"key:{key}", "3")
    with openai.OpenAI(base_url=served.address + "/v1", api_key=secret, max_retries=0) as client:
        client.images.generate(model="scripted/costly", prompt="x", n=2)
        asked = len(provider.calls)
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(model="scripted/costly", prompt="x", n=2)
    assert caught.value.code == "budget_exceeded"
    assert len(provider.calls) == asked
