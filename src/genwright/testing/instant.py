"""The fastest scripted provider: one canned answer for every request, on a bare asyncio protocol.

The instant upstream of the benchmarks: what a gateway costs is not to be hidden behind its upstream. It keeps no ledger,
reads no body and knows no faults; `provider.py` does.
"""

from __future__ import annotations

import asyncio

import httptools

from genwright.testing import dialects


def _plain(content_type: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (content_type, len(body), body)


def _chunked(events: list[bytes]) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + b"0\r\n\r\n"


def _canned(answer_bytes: int) -> dict[bytes, tuple[bytes, bytes]]:
    """Path → (plain answer, streamed answer), made once."""
    words = ("lorem ipsum dolor sit amet " * (answer_bytes // 27 + 1))[:answer_bytes]
    answer = dialects.Answer(id="instant", model="instant", text=words, input_tokens=20, output_tokens=len(words.split()))
    out = {}
    for path, dialect in ((b"/v1/chat/completions", dialects.OPENAI), (b"/v1/messages", dialects.ANTHROPIC)):
        events = dialect.events(answer, {"stream": True, "stream_options": {"include_usage": True}})
        out[path] = (_plain(b"application/json", dialect.body(answer)), _chunked([event for event, _ in events]))
    request = {"model": "instant", "input": "lorem ipsum"}
    embedding = _plain(b"application/json", dialects.embeddings(request, dialects.embedding_inputs(request))[0])
    models = _plain(b"application/json", dialects.models(["instant"]))
    return out | {b"/v1/embeddings": (embedding, embedding), b"/v1/models": (models, models)}


class _Instant(asyncio.Protocol):
    def __init__(self, canned: dict[bytes, tuple[bytes, bytes]]) -> None:
        self._canned = canned

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._stream = b"", False

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._url, self._stream = url, False

    def on_body(self, body: bytes) -> None:
        if b'"stream":true' in body or b'"stream": true' in body:
            self._stream = True

    def on_message_complete(self) -> None:
        answers = self._canned.get(self._url.partition(b"?")[0])
        if answers is None:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        else:
            self._transport.write(answers[self._stream])


async def serve(host: str, port: int, answer_bytes: int = 200) -> asyncio.Server:
    """A listening server; `answer_bytes` is the length of the canned text."""
    canned = _canned(answer_bytes)
    return await asyncio.get_running_loop().create_server(lambda: _Instant(canned), host, port, backlog=1024)
