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


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_split_at_every_byte(cut):
    parser = Parser()
    assert parser.feed(STREAM[:cut]) + parser.feed(STREAM[cut:]) == EVENTS


def test_byte_by_byte():
    parser = Parser()
    assert [event for byte in STREAM for event in parser.feed(bytes([byte]))] == EVENTS


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_cuts_any_line_end(sizes, end):
    text = STREAM.decode().replace("\r\n", "\n").replace("\r", "\n").replace("\n", end).encode()
    parser, events, at = Parser(), [], 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        events += parser.feed(text[at : at + size])
        at += size
    assert events == EVENTS


def test_large_event_in_small_pieces():
    data = b"x" * 1_000_000
    parser, events = Parser(), []
    whole = frame(data)
    for at in range(0, len(whole), 1000):
        events += parser.feed(whole[at : at + 1000])
    assert events == [Event("", data)]


def test_endless_event_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10_000)
    for piece in (b"data: " + b"x" * 6000, b"data: " + b"x" * 6000 + b"\n"):
        parser = Parser()
        parser.feed(piece)
        with pytest.raises(Upstream, match="larger than"):
            parser.feed(piece)


@given(st.text(alphabet=st.characters(exclude_characters="\r", exclude_categories=["Cs"])), st.sampled_from(["", "delta"]))
def test_frame_is_read_back(text, name):
    assert Parser().feed(frame(text.encode(), name)) == [Event(name, text.encode())]
