"""One HTTP/1.1 client connection: writes a request, parses the answer, watches the clock. Knows no pools and no URLs.

Framing is llhttp's (httptools). What it leaves to its user is done here: bodies that end with the connection, limits on head
and body, silence and total timeouts, back-pressure, and telling a clean end from a cut.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import httptools

from genwright.errors import Error, StreamCut, Upstream, UpstreamTimeout

_MAX_HEAD_BYTES = 128 * 1024
_HIGH_WATER, _LOW_WATER = 256 * 1024, 64 * 1024
_HEAD, _DATA, _END = 1, 2, 3


class Limits(NamedTuple):
    """Seconds for the whole call (None: unbounded), to the first byte, between reads; bytes of body."""

    total_s: float | None
    first_byte_s: float
    read_s: float
    max_bytes: int


class Connection(asyncio.Protocol):
    """Used for one exchange at a time: `send`, then `wait_end` + `take`, or `wait_head` + async iteration, then `finish`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        self._loop = loop
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._closed = False
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._want = _HEAD
        self.idle_until = 0.0

    # --- one exchange --------------------------------------------------------------------------------------------------

    def send(self, head: bytes, body: bytes, limits: Limits, started: float, headless_body: bool) -> None:
        """Write the request. `started`: loop time from which `limits.total_s` counts; `headless_body`: answer to HEAD."""
        assert self._transport is not None
        self.status = 0
        self.headers: dict[str, str] = {}
        self._limits = limits
        self._no_body = headless_body
        self._head_done = self._done = self._reusable = self._paused = False
        self._until_eof = False
        self._error: Error | None = None
        self._chunks: list[bytes] = []
        self._buffered = self._received = self._head_bytes = 0
        self._busy = True
        self._last = self._loop.time()
        self._deadline = None if limits.total_s is None else started + limits.total_s
        self._arm()
        self._transport.write(head + body if len(body) < 65536 else head)
        if len(body) >= 65536:
            self._transport.write(body)

    async def wait_head(self) -> None:
        await self._wait(_HEAD)
        if not self._head_done and self._error is not None:
            raise self._error

    async def wait_end(self) -> None:
        await self._wait(_END)
        if self._error is not None:
            raise self._error

    def take(self) -> bytes:
        """What arrived since the last take."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks, self._buffered = [], 0
        if self._paused and self._transport is not None and not self._closed:
            self._paused = False
            self._transport.resume_reading()
        return data

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            await self._wait(_DATA)
            if not self._chunks:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
        return self.take()

    def finish(self) -> bool:
        """End the exchange; True if the connection can carry another, else it is cut at once."""
        self._busy = False
        if self._done and self._reusable and self.usable:
            return True
        self.abort()
        return False

    @property
    def usable(self) -> bool:
        return not self._closed and self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- waiting and clocks --------------------------------------------------------------------------------------------

    def _ready(self, want: int) -> bool:
        if self._done or self._error is not None:
            return True
        return self._head_done if want == _HEAD else bool(want == _DATA and self._chunks)

    async def _wait(self, want: int) -> None:
        if self._ready(want):
            return
        self._want = want
        self._last = self._loop.time()  # a slow reader's pause is not the sender's silence
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._ready(self._want):
            waiter.set_result(None)

    def _silence_s(self) -> float:
        return self._limits.read_s if self._head_done else self._limits.first_byte_s

    def _arm(self) -> None:
        """One lazy timer per connection, not one per exchange: bytes only note their time, the timer looks when it fires, and
        one that is set already serves the next exchange too."""
        due = self._last + self._silence_s()
        if self._deadline is not None and self._deadline < due:
            due = self._deadline
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(due, self._on_timer), due

    def _on_timer(self) -> None:
        self._timer = None
        if not self._busy or self._done or self._error is not None:
            return
        now = self._loop.time()
        if self._deadline is not None and now >= self._deadline:
            self._fail(
                UpstreamTimeout(f"{self._peer} was not done after {self._limits.total_s:g} s; {self._kept()}", phase="total")
            )
        elif self._waiter is not None and now >= self._last + self._silence_s():
            what = "went silent" if self._head_done else "sent no answer"
            self._fail(UpstreamTimeout(f"{self._peer} {what} for {self._silence_s():g} s; {self._kept()}", phase="read"))
        else:
            if self._waiter is None:
                self._last = now
            self._arm()

    def _kept(self) -> str:
        if self._received:
            return f"{self._received} bytes had come. The connection was closed"
        return "the request was sent and may have been worked on. The connection was closed"

    def _fail(self, error: Error) -> None:
        if self._busy and not self._done and self._error is None:
            error.details |= {"sent": True, "received_bytes": self._received}
            self._error = error
            self.abort()
            self._wake()

    # --- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._done:
            self.abort()  # bytes nobody asked for: whatever they are, no later answer may start with them
            return
        self._last = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._malformed("it switched protocols")
        except httptools.HttpParserError as error:
            self._malformed(str(error))
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._malformed("its headers are too long")
        elif self._buffered > _HIGH_WATER and self._want != _END and not self._paused and self.usable:
            self._paused = True
            self._transport.pause_reading()  # type: ignore[union-attr]
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._busy or self._done:
            return
        if self._until_eof and exc is None and self._error is None:
            self._done = True
        elif self._head_done:
            self._fail(StreamCut(f"{self._peer} broke off in the middle of its answer; {self._received} bytes had come"))
        else:
            self._fail(
                Upstream(
                    f"{self._peer} closed the connection without an answer; the request was sent and may have been worked on",
                    code="upstream_reset",
                )
            )
        self._wake()

    # --- httptools -----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._done:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self._done:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.headers = {}
            return
        self.status = status
        self._head_done = True
        self._until_eof = (
            "content-length" not in self.headers and "transfer-encoding" not in self.headers and status not in (204, 304)
        )
        if self._no_body:  # the parser would wait for the body that HEAD only announces
            self._done = True
        length = self.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limits.max_bytes and not self._no_body:
            self._too_large()

    def on_body(self, data: bytes) -> None:
        if self._done or self._error is not None:
            return
        self._received += len(data)
        if self._received > self._limits.max_bytes:
            self._too_large()
            return
        self._buffered += len(data)
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._head_done and not self._done and self._error is None:
            self._done = True
            self._reusable = self._parser.should_keep_alive()

    def _too_large(self) -> None:
        self._fail(
            Upstream(
                f"the answer of {self._peer} is larger than the limit of {self._limits.max_bytes} bytes; it was dropped",
                code="upstream_too_large",
                retry="never",
            )
        )

    def _malformed(self, why: str) -> None:
        self._reusable = False
        self._fail(Upstream(f"{self._peer} did not answer in valid HTTP/1.1 ({why}); {self._kept()}", code="upstream_malformed"))
