"""How the scripted provider delivers one answer: plain or streamed, right or with a scripted fault, and what it bills for it.

Knows the server (uvicorn) as far as a TCP reset needs its socket; knows no scripts and no dialect by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from genwright.testing.dialects import Answer, Dialect

if TYPE_CHECKING:
    from genwright.testing.provider import Call, Fault, Recorded

Headers = tuple[tuple[str, str], ...]


class Cut(Exception):
    """Raised out of the application after the head was sent: the server closes the connection without ending the answer."""


class Exchange:
    """One request being answered; everything sent is counted on its `call`."""

    def __init__(self, call: Call, receive: Any, send: Any, transport: Any) -> None:
        self._call, self._receive, self._send, self._transport = call, receive, send, transport
        self._gone = asyncio.Event()

    async def deliver(
        self, dialect: Dialect, answer: Answer, fault: Fault | None, headers: Headers, payload: bytes | None = None
    ) -> None:
        """Send the answer, or what the fault makes of it. `payload`: the body where the dialect does not make it."""
        watcher = asyncio.create_task(self._watch())
        try:
            if fault is not None and fault.kind in ("status", "hang", "garbage", "oversize"):
                await self._spoil(dialect, answer, fault)
            elif self._call.stream and payload is None:
                await self._stream(dialect, answer, fault, headers)
            else:
                await self._whole(payload if payload is not None else dialect.body(answer), answer, fault, headers)
        finally:
            watcher.cancel()

    async def plain(self, body: bytes, status: int = 200, headers: Headers = (), content_type: str = "application/json") -> None:
        """A whole body."""
        await self._start(status, content_type, (*headers, ("content-length", str(len(body)))))
        await self._write(body, more=False)

    async def recorded(self, item: Recorded) -> None:
        """A real answer, in the pieces it is cut into; what is left over comes last."""
        await self._start(item.status, item.content_type, ())
        at = 0
        for size in item.sizes:
            await self._write(item.data[at : at + size])
            await self._pause(0)
            at += size
        await self._write(item.data[at:], more=False)

    async def error(self, dialect: Dialect, status: int, message: str, headers: Headers = ()) -> None:
        """An error in the caller's dialect."""
        self._call.outcome = "error"
        await self.plain(dialect.error(status, message), status, headers)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._call.hung_up = True
        self._gone.set()

    async def _pause(self, seconds: float) -> bool:
        """Wait; True if the client went away meanwhile."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), seconds)
        else:
            await asyncio.sleep(0)  # lets the server notice a closed connection between two events
        return self._gone.is_set()

    def _bill(self, answer: Answer, output_tokens: int) -> None:
        call = self._call
        call.input_tokens, call.cached_tokens, call.output_tokens = answer.input_tokens, answer.cached_tokens, output_tokens

    async def _start(self, status: int, content_type: str, headers: Headers) -> None:
        self._call.status = status
        pairs = [(b"content-type", content_type.encode()), (b"x-request-id", f"req-{self._call.id}".encode())]
        pairs += [(name.encode(), value.encode()) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        self._call.bytes_sent += len(data)  # before the bytes leave: who has them must find them counted
        if not more and self._call.outcome == "open":
            self._call.outcome = "complete"
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _spoil(self, dialect: Dialect, answer: Answer, fault: Fault) -> None:
        if fault.kind == "status":
            return await self.error(dialect, fault.code, fault.message, fault.headers)
        if fault.kind == "hang":
            if fault.billed:
                self._bill(answer, answer.output_tokens)
            await self._gone.wait()
        elif fault.kind == "garbage":
            self._bill(answer, answer.output_tokens)
            await self._start(200, "text/event-stream" if self._call.stream else "application/json", ())
            await self._write(b"\x00\xff<html>{]not what you asked for\n\n", more=False)
        else:
            self._bill(answer, answer.output_tokens)
            await self._start(200, "application/json", ())
            block = b" " * 65536
            while self._call.bytes_sent < fault.size and not await self._pause(0):
                await self._write(block)
            if not self._gone.is_set():
                await self._write(b"{}", more=False)
        self._call.outcome = fault.kind

    async def _whole(self, body: bytes, answer: Answer, fault: Fault | None, headers: Headers) -> None:
        if fault is not None and fault.kind == "reset":
            self._call.outcome = "reset"
            return self._reset()
        self._bill(answer, answer.output_tokens)  # it is generated whether or not somebody waits
        if fault is not None and fault.kind == "slow" and await self._pause(fault.seconds):
            return None
        if fault is None or fault.kind != "cut":
            return await self.plain(body, headers=headers)
        await self._start(200, "application/json", (*headers, ("content-length", str(len(body)))))
        await self._write(body[: len(body) * min(fault.chunks, 9) // 10])
        self._call.outcome = "cut"
        raise Cut

    async def _stream(self, dialect: Dialect, answer: Answer, fault: Fault | None, headers: Headers) -> None:
        kind = fault.kind if fault is not None else ""
        last = fault.chunks if fault is not None and kind in ("cut", "reset") else None
        if kind == "reset" and last == -1:
            self._call.outcome = "reset"
            return self._reset()
        await self._start(200, dialect.stream_type, (*headers, ("cache-control", "no-cache")))
        self._bill(answer, 0)
        for event, tokens in dialect.events(answer, self._call.body):
            if self._call.events_sent == last:
                break
            if await self._pause(fault.seconds if fault is not None and kind == "slow" else 0):
                return None
            self._bill(answer, tokens)
            self._call.events_sent += 1
            await self._write(event)
        if last is None:
            return await self._write(b"", more=False)
        self._call.outcome = kind
        if kind == "reset":
            return self._reset()
        raise Cut

    def _reset(self) -> None:
        if self._transport is None:
            raise Cut  # under another server: the nearest thing
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()


def start(app: Any, port: int) -> tuple[Any, threading.Thread, int]:
    """Serve `app` on 127.0.0.1 in a thread; returns the server, its thread and the port. Needs uvicorn."""
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Protocol(HttpToolsProtocol):
        """Hands the transport to the application: a reset is a matter of the socket, of which ASGI knows nothing."""

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["extensions"] = {"genwright.transport": {"transport": self.transport}}

    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    # asyncio sets this only on sockets that name their protocol: without it an answer in two writes waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app, http=Protocol, loop="asyncio", ws="none", lifespan="off", access_log=False, log_config=None, log_level="critical"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="scripted-provider", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the scripted provider did not start")
        time.sleep(0.002)
    return server, thread, listener.getsockname()[1]
