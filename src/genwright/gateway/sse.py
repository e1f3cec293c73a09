"""Server-sent events: bytes in any pieces → events, and events → bytes. Knows no dialect.

Source of the format: WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6: lines end with LF, CRLF or CR, a byte order mark is
skipped, data lines are joined by LF, comments begin with a colon, an event without its empty line is dropped.
Every event keeps its own bytes, comments and line ends included: together they are the stream, so it can be handed on as it came.
Data stays bytes: UTF-8 that is split between pieces is never looked at before it is whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from genwright.errors import Upstream

MAX_EVENT_BYTES = 16_000_000
_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """`name` is empty where the stream gave none; `data` holds no line end but those between data lines.

    Without data it is a comment, a `retry:` or an empty line, which say nothing and are only handed on.
    """

    name: str
    data: bytes
    raw: bytes = b""


class Parser:
    """`feed(bytes)` gives the events that are complete so far; pieces may be cut anywhere."""

    __slots__ = ("_any_cr", "_first", "_rest", "_searched")

    def __init__(self) -> None:
        self._rest = bytearray()  # the event that has no end yet
        self._searched = 0
        self._any_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[Event]:
        """Raises Upstream (code upstream_too_large) for an event over MAX_EVENT_BYTES."""
        rest = self._rest
        rest += piece
        self._any_cr = self._any_cr or b"\r" in piece
        events: list[Event] = []
        start, end = 0, self._end(self._searched)
        while end:
            events.append(self._event(bytes(rest[start:end])))
            start, end = end, self._end(end)
        if start:
            del rest[:start]
        self._searched = max(0, len(rest) - 3)
        if len(rest) > MAX_EVENT_BYTES:
            raise Upstream(
                f"The provider sent an event larger than {MAX_EVENT_BYTES} bytes. The stream was ended there.",
                code="upstream_too_large",
                retry="never",
            )
        return events

    def close(self) -> Event | None:
        """What came after the last whole event, read as if its empty line had come."""
        rest, self._rest = bytes(self._rest), bytearray()
        return self._event(rest) if rest else None

    def _end(self, at: int) -> int:
        """Where the next event ends, or 0."""
        rest = self._rest
        if not self._any_cr:
            found = rest.find(b"\n\n", at)
            return found + 2 if found >= 0 else 0
        match = _END.search(rest, at)
        if match is None or (match.end() == len(rest) and rest[-1] == 13):  # the LF of a CRLF may come with the next piece
            return 0
        return match.end()

    def _event(self, raw: bytes) -> Event:
        if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:  # nearly all are of this form
            self._first = False
            return Event("", raw[6:-2], raw)
        text = raw
        if self._first:
            self._first = False
            text = raw.removeprefix(_BOM)
        name, data = "", []
        for line in _LINE_END.split(text):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ").decode("utf-8", "replace")
        return Event(name, b"\n".join(data), raw)


def frame(data: bytes, name: str = "") -> bytes:
    """One event as bytes; data that has lines is sent as several data lines."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    if name:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    return b"data: %b\n\n" % data
