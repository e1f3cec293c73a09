"""A kept answer as bytes and back, and as a stream where it came whole. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import zstandard

from genwright.gateway.types import Answer, Chunk, ToolDelta
from genwright.messages import Message, Reasoning, Text

WORDS = 8
"""Of one piece of a stream that is made from a whole answer."""


class Content(msgspec.Struct):
    """What is kept of an answer."""

    answer: Answer
    chunks: list[Chunk] = []


def pack(answer: Answer, chunks: list[Chunk]) -> bytes:
    """The answer without the first call's ids of trace and span."""
    bare = msgspec.structs.replace(answer, trace_id="", span_id="")
    return zstandard.compress(msgspec.msgpack.encode(Content(bare, chunks)), 3)


def unpack(data: bytes) -> Content:
    return msgspec.msgpack.decode(zstandard.decompress(data), type=Content)


def chunks(answer: Answer) -> list[Chunk]:
    """The pieces that a provider would have sent."""
    made: list[Chunk] = []
    for index, message in enumerate([answer.message, *answer.others]):
        made += [msgspec.structs.replace(piece, index=index) for piece in _pieces(message)]
        made.append(Chunk(finish_reason=message.finish_reason or answer.finish_reason or "stop", index=index))
    made[-1].usage = answer.usage
    for piece in made:
        piece.response_id, piece.model = answer.response_id, answer.model
    return made


def _pieces(message: Message) -> Iterator[Chunk]:
    for part in message.parts:
        if isinstance(part, Reasoning):
            yield Chunk(reasoning=part.content, signature=part.signature)
        elif isinstance(part, Text):
            words = part.content.split(" ")
            for start in range(0, len(words), WORDS):
                more = " " if start + WORDS < len(words) else ""
                yield Chunk(text=" ".join(words[start : start + WORDS]) + more)
    for number, call in enumerate(message.tool_calls):
        arguments = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode()
        yield Chunk(tool_calls=[ToolDelta(number, call.id, call.name, arguments)])
