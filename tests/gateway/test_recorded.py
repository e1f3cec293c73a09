"""Recorded real answers, replayed by the scripted provider, come out of the real server as they went in, wherever cut."""

from __future__ import annotations

import json
import random
from pathlib import Path

import httpx
import pytest

from genwright.gateway.faces import anthropic, openai
from genwright.gateway.providers.base import _Events
from genwright.gateway.providers.table import DIALECTS
from genwright.gateway.sse import Parser, frame
from genwright.gateway.types import Answer, Chunk
from genwright.messages import Message
from genwright.prices import Usage
from genwright.testing.provider import Recorded

DATA = Path(__file__).parents[3] / "shared/data/traces/provider-responses-openai"
ANTHROPIC = Path(__file__).parents[1] / "matrix/recorded/anthropic"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the recorded answers are not at {DATA}")
PATHS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
    "responses": ("/v1/responses", {"input": "x"}),
    "completion": ("/v1/completions", {"prompt": "x"}),
    "embedding": ("/v1/embeddings", {"input": "x"}),
    "image": ("/v1/images/generations", {"prompt": "x"}),
    "anthropic": ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}),
}


def files() -> list[Path]:
    own = [file for file in ANTHROPIC.glob("*") if file.suffix in (".sse", ".json") and "request" not in file.name]
    return sorted(file for file in DATA.rglob("*") if file.suffix in (".json", ".txt", ".sse")) + sorted(own)


def stream(file: Path) -> bytes:
    """A recording of one event's data a line is made the stream it was."""
    data = file.read_bytes()
    if file.suffix == ".sse":
        return data
    lines = [line for line in data.splitlines() if line]
    if file.parent.name == "responses":
        return b"".join(frame(line, json.loads(line)["type"]) for line in lines)
    return b"".join(frame(line) for line in lines) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("file", files(), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_it_comes_out_unchanged(served, provider, file):
    path, body = PATHS[file.parent.name]
    if "edit" in file.name:
        path, body = "/v1/images/edits", {"prompt": "x", "image": "x"}
    if path.startswith("/v1/images") and served.house.gateway.media is None:
        pytest.skip("this server of the gateway alone has no blobs; images are tested in tests/gateway/test_media_face.py")
    name, kind = ("claude", "anthropic") if "messages" in path else ("oai", "openai")
    served.add(provider, name, kind)
    streamed = file.suffix != ".json"
    data = stream(file) if streamed else file.read_bytes()
    status = 400 if file.name.endswith("-error.json") or file.name == "openai-error.1.json" else 200
    sizes = tuple(random.Random(file.name).randrange(1, 400) for _ in range(len(data) // 200))
    provider.replay([Recorded(data, "text/event-stream" if streamed else "application/json", status, sizes)])
    usage = {"stream_options": {"include_usage": True}} if streamed and "completions" in path and b'"usage":{' in data else {}
    answer = httpx.post(
        served.origin + path,
        json={"model": f"{name}/m", **body, **({"stream": True} if streamed else {}), **usage},
        headers={"authorization": f"Bearer {served.house.keys['full']}"},
    )
    assert answer.status_code == status
    assert answer.content == data
    assert provider.calls[-1].path == path


def through(dialect: str, writer: object, pieces: list[bytes]) -> bytes:
    """The way of a stream's bytes from the provider's socket to the client's."""
    events, reader, out = _Events(Parser()), DIALECTS.make(dialect).reader(), b""
    found = [event for piece in pieces for event in events.feed(piece)]
    for event in found:
        chunk = reader.read(event) if event.data else Chunk(raw=event.raw, dialect=dialect, event="comment")
        if chunk is not None:
            out += writer.chunk(chunk)
    if (last := events.close()) is not None:
        out += writer.chunk(Chunk(raw=last.raw, dialect=dialect, event="comment"))
    assert reader.done
    return out + writer.end(Answer(Message("assistant"), usage=Usage()))


def spiced(data: bytes, end: bytes) -> bytes:
    """The same events with comments, other line ends, an id, a retry and text of several bytes a letter."""
    data = b": keep-alive\n\nretry: 50\n\n" + data.replace(b"data: ", b"id: 7\n: \xc3\xa9\ndata:", 1) + b": the end\n\n"
    return data.replace(b"\n", end)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_split_at_every_byte(end):
    """Promise G1 in short: 10,000 split points and more; the bytes of the client are the bytes of the provider."""
    points = 0
    body = {"model": "p/m", **PATHS["chat"][1], "stream": True, "stream_options": {"include_usage": True}}
    asked = openai.read_request(json.dumps(body).encode())
    chat = spiced(stream(DATA / "openai/chat/azure-model-router.1.chunks.txt"), end)
    claude = spiced((ANTHROPIC / "thinking.2.sse").read_bytes(), end)
    for dialect, make, data in (
        ("openai", lambda: openai.StreamWriter(asked), chat),
        ("anthropic", lambda: anthropic.StreamWriter(asked), claude),
    ):
        for cut in range(1, len(data)):
            assert through(dialect, make(), [data[:cut], data[cut:]]) == data
            points += 1
    assert points > 5000


def test_an_event_of_a_megabyte_in_small_pieces():
    asked = openai.read_request(b'{"model":"p/m","messages":[{"role":"user","content":"x"}],"stream":true}')
    text = "ü" * 500_000
    data = (
        frame(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}, ensure_ascii=False).encode())
        + frame(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
        + b"data: [DONE]\n\n"
    )
    assert through("openai", openai.StreamWriter(asked), [data[at : at + 999] for at in range(0, len(data), 999)]) == data
