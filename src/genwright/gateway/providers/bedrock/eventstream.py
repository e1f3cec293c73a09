"""The AWS event stream: bytes in any pieces → messages, each length and checksum looked at. Knows no service.

Source: Smithy, "application/vnd.amazon.eventstream": a message is total length, length of headers, CRC-32 of those eight bytes,
headers (name, type, value), payload, and the CRC-32 of everything before it; all numbers big-endian.
"""

from __future__ import annotations

import struct
from zlib import crc32

from genwright.errors import Upstream
from genwright.gateway.sse import MAX_EVENT_BYTES, Event

_PRELUDE = struct.Struct(">III")
_TAIL = 4
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; 6 and 7 (bytes, text) say their length."""


class Parser:
    """`feed(bytes)` gives the messages that are complete so far, as events named by their type; raw is the whole message.

    An exception in the stream is named "!" and its type: a reader raises it.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[Event]:
        """Raises Upstream (upstream_malformed, upstream_too_large) for bytes that are no such stream."""
        rest = self._rest
        rest += piece
        events, at = [], 0
        while len(rest) - at >= _PRELUDE.size:
            total, headers, check = _PRELUDE.unpack_from(rest, at)
            if crc32(rest[at : at + 8]) != check:
                raise _malformed("the checksum of a message's lengths is wrong")
            if total > MAX_EVENT_BYTES:
                raise Upstream(
                    f"The provider sent an event larger than {MAX_EVENT_BYTES} bytes. The stream was ended there.",
                    code="upstream_too_large",
                    retry="never",
                )
            if total < _PRELUDE.size + headers + _TAIL:
                raise _malformed("a message's lengths contradict each other")
            if len(rest) - at < total:
                break
            events.append(_event(bytes(rest[at : at + total]), headers))
            at += total
        if at:
            del rest[:at]
        return events

    def close(self) -> Event | None:
        """Nothing is kept of a message that is not whole."""
        self._rest.clear()
        return None


def _event(message: bytes, headers_size: int) -> Event:
    if crc32(message[:-_TAIL]) != int.from_bytes(message[-_TAIL:], "big"):
        raise _malformed("the checksum of a message is wrong")
    begin = _PRELUDE.size
    headers = _headers(message[begin : begin + headers_size])
    kind = headers.get(":message-type", "event")
    name = headers.get(":event-type", "")
    if kind != "event":
        name = "!" + (headers.get(":exception-type") or headers.get(":error-code") or kind)
    payload = message[begin + headers_size : -_TAIL]
    if kind == "error" and not payload:
        payload = b'{"message":%b}' % _quoted(headers.get(":error-message", ""))
    return Event(name, payload or b"{}", message)


def _headers(data: bytes) -> dict[str, str]:
    """Text headers; others are stepped over."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name = data[at + 1 : at + 1 + data[at]].decode()
            at += 1 + data[at]
            kind = data[at]
            at += 1
            if kind in (6, 7):
                size = int.from_bytes(data[at : at + 2], "big")
                at += 2
            else:
                size = _SIZES[kind]
            if at + size > len(data):
                raise _malformed("a header is longer than its message")
            if kind == 7:
                found[name] = data[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError):
        raise _malformed("a message's headers cannot be read") from None
    return found


def _quoted(text: str) -> bytes:
    import msgspec

    return msgspec.json.encode(text)


def _malformed(why: str) -> Upstream:
    return Upstream(f"The provider sent no AWS event stream: {why}. What came before is kept.", code="upstream_malformed")
