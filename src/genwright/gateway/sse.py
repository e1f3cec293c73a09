"""Server-sent events: bytes in any pieces → events, and events → bytes. Knows no dialect.

Source of the format: WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6: lines end with LF, CRLF or CR, a byte order mark is
skipped, data lines are joined by LF, comments begin with a colon, an event without its empty line is dropped.
Data stays bytes: UTF-8 that is split between pieces is never looked at before it is whole.
"""

from __future__ import annotations

from typing import NamedTuple

from genwright.errors import Upstream

MAX_EVENT_BYTES = 16_000_000
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """`name` is empty where the stream gave none; `data` holds no line end but those between data lines."""

    name: str
    data: bytes


class Parser:
    """`feed(bytes)` gives the events that are complete so far; pieces may be cut anywhere."""

    __slots__ = ("_data", "_first", "_name", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = bytearray()  # the line that has no end yet
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0
        self._first = True

    def feed(self, piece: bytes) -> list[Event]:
        """Raises Upstream (code upstream_too_large) for an event over MAX_EVENT_BYTES."""
        if b"\n" not in piece and b"\r" not in piece and not self._rest.endswith(b"\r"):
            self._rest += piece
            self._limit(len(self._rest))
            return []
        text = bytes(self._rest) + piece if self._rest else piece
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # the LF of a CRLF may come with the next piece
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = bytearray(rest + held)
        events: list[Event] = []
        for line in lines:
            self._line(line, events)
        self._limit(len(self._rest) + self._size)
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(Event(self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
            self._data, self._name, self._size = [], "", 0
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")

    def _limit(self, size: int) -> None:
        if size > MAX_EVENT_BYTES:
            raise Upstream(
                f"The provider sent an event larger than {MAX_EVENT_BYTES} bytes. The stream was ended there.",
                code="upstream_too_large",
                retry="never",
            )


def frame(data: bytes, name: str = "") -> bytes:
    """One event as bytes; data that has lines is sent as several data lines."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    if name:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    return b"data: %b\n\n" % data
