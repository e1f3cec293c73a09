"""How long a request may take to arrive, and how large its head may be: what uvicorn leaves open to slow senders.

`Connection` is uvicorn's own protocol that notes since when it waits for the rest of a request; `close_overdue`, called about
every second, closes those that wait too long. Knows nothing of what is asked or answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ARRIVAL_S = 12.0
"""Seconds for the first byte and the whole head, and then again for the body …"""
BYTES_PER_S = 8_192
"""… which gets a second more for every so many bytes that came."""
MAX_HEAD_BYTES = 128 * 1024
"""Request line and headers; read in parts, so that a little more may be kept before it is noticed."""


class Connection(HttpToolsProtocol):
    """One client's connection. `_since` is None while nothing is owed to us: a request is whole, or none has begun."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def _expect(self) -> None:
        self._since: float | None = self.loop.time()
        self._received = 0
        self._in_head = True

    def data_received(self, data: bytes) -> None:
        if self._since is None and (self.cycle is None or self.cycle.response_complete):
            self._expect()  # the next request on this connection, or blank lines before it
        self._received += len(data)
        super().data_received(data)
        if self._in_head and self._received > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        if self._since is None:
            self._expect()  # pipelined behind another
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._since = self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._since = None
        super().on_message_complete()

    def overdue(self, now: float) -> bool:
        """Whether the rest of a request should have come by `now` (of the loop's clock)."""
        if self._since is None:
            return False
        if self.flow.read_paused:  # it is we who do not read
            self._since = now
            return False
        earned = 0.0 if self._in_head else self._received / BYTES_PER_S
        return now - self._since > ARRIVAL_S + earned

    def give_up(self) -> None:
        """Say that it took too long, where nothing was answered yet, and close."""
        silent = self._in_head and not self._received
        if silent or not (self._in_head or not self.cycle.response_started):
            self.transport.close()
        else:
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def close_overdue(connections: Iterable[Any], now: float) -> int:
    """Close the connections whose request does not come; how many there were."""
    late = [one for one in connections if isinstance(one, Connection) and one.overdue(now)]
    for connection in late:
        connection.give_up()
    return len(late)
