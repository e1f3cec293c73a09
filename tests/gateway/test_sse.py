"""Server-sent events: the same events wherever the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genwright.errors import Upstream
from genwright.gateway import sse
from genwright.gateway.sse import Event, Parser, frame

STREAM = (
    "\ufeff: comment\r\n\r\nevent: first\r\ndata: größe €\r\n\r\n: more\ndata:one\ndata: two\ndata:  three\nid: 7\n\n"
    'event:x\ndata: {"a": "日本 🎉"}\n\nretry: 5\r\rdata: last\r\rdata: incomplete'
).encode()
EVENTS = [
    Event("first", "größe €".encode()),
    Event("", b"one\ntwo\n three"),
    Event("x", '{"a": "日本 🎉"}'.encode()),
    Event("", b"last"),
]


def read(pieces):
    """The events with data, after a check that every byte is kept in its place."""
    parser, events = Parser(), []
    for piece in pieces:
        events += parser.feed(piece)
    rest = parser.close()
    assert b"".join(event.raw for event in events) + (rest.raw if rest else b"") == b"".join(pieces)
    return [Event(event.name, event.data) for event in events if event.data]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_split_at_every_byte(cut):
    assert read([STREAM[:cut], STREAM[cut:]]) == EVENTS


def test_byte_by_byte():
    assert read([bytes([byte]) for byte in STREAM]) == EVENTS


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_cuts_any_line_end(sizes, end):
    text = STREAM.decode().replace("\r\n", "\n").replace("\r", "\n").replace("\n", end).encode()
    pieces, at = [], 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    assert read(pieces) == EVENTS


def test_comments_come_at_once_and_in_their_place():
    parser = Parser()
    (comment,) = parser.feed(b": keep-alive\n\n")
    assert comment == Event("", b"", b": keep-alive\n\n")
    (event,) = parser.feed(b": note\ndata: 1\n\n")
    assert event == Event("", b"1", b": note\ndata: 1\n\n")
    assert parser.close() is None


def test_a_last_event_without_its_empty_line_is_there_at_the_close():
    parser = Parser()
    assert parser.feed(b"data: [DONE]\n") == []
    assert parser.close() == Event("", b"[DONE]", b"data: [DONE]\n")


def test_large_event_in_small_pieces():
    data = b"x" * 1_000_000
    whole = frame(data)
    assert read([whole[at : at + 1000] for at in range(0, len(whole), 1000)]) == [Event("", data)]


def test_endless_event_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10_000)
    for piece in (b"data: " + b"x" * 6000, b"data: " + b"x" * 6000 + b"\n"):
        parser = Parser()
        parser.feed(piece)
        with pytest.raises(Upstream, match="larger than"):
            parser.feed(piece)


@given(st.text(alphabet=st.characters(exclude_characters="\r", exclude_categories=["Cs"])), st.sampled_from(["", "delta"]))
def test_frame_is_read_back(text, name):
    whole = frame(text.encode(), name)
    assert Parser().feed(whole) == [Event(name, text.encode(), whole)]
