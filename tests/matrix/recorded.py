"""Real answers: which there are, how each is carried to a face by the gateway's conversions, and what came of it.

OpenAI's are read from the shared data (vercel/ai, Apache-2.0), Anthropic's lie beside this file (langchain-anthropic, MIT).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from genwright.gateway.faces import anthropic as anthropic_face
from genwright.gateway.faces import gemini as gemini_face
from genwright.gateway.faces import openai as openai_face
from genwright.gateway.faces import responses as responses_face
from genwright.gateway.faces.responses_stream import StreamWriter as ResponsesStream
from genwright.gateway.sse import frame
from genwright.gateway.types import Answer, Chunk, Collected
from genwright.prices import Usage
from matrix import facts
from matrix.columns import TITLES, providers
from matrix.features import BASE

OPENAI = Path(__file__).parents[3] / "shared" / "data" / "traces" / "provider-responses-openai"
ANTHROPIC = Path(__file__).parent / "recorded" / "anthropic"
CLOUDS = Path(__file__).parents[1] / "gateway" / "recorded"
FACES = ("openai", "responses", "anthropic", "gemini")
_PLAIN = {
    "anthropic": {"text", "thinking", "redacted_thinking", "tool_use"},
    "responses": {"message", "reasoning", "function_call"},
}
"""Parts that every face can show; others come only where they were asked for in the same dialect."""


class Recording(NamedTuple):
    name: str
    dialect: str
    stream: bool
    data: bytes


@cache
def recordings() -> list[Recording]:
    """Whole answers and streams; error answers and other operations are tested apart."""
    found = []
    for file in sorted(OPENAI.rglob("*")):
        name = str(file.relative_to(OPENAI))
        dialect = "responses" if "/responses/" in name else "openai" if "/chat/" in name else ""
        if not dialect or not file.is_file() or "error" in name:
            continue
        stream = not name.endswith(".json")
        found.append(Recording(name, dialect, stream, as_stream(file.read_bytes(), dialect) if stream else file.read_bytes()))
    for file in sorted(ANTHROPIC.glob("*")):
        if file.suffix in (".json", ".sse") and not file.name.endswith(".request.json"):
            found.append(Recording(f"anthropic/{file.name}", "anthropic", file.suffix == ".sse", file.read_bytes()))
    for dialect in ("gemini", "bedrock"):
        for file in sorted((CLOUDS / dialect).glob("*")):
            if not file.name.endswith(".request.json") and not any(word in file.name for word in ("error", "embeddings")):
                found.append(Recording(f"{dialect}/{file.name}", dialect, file.suffix != ".json", file.read_bytes()))
    return found


def as_stream(data: bytes, dialect: str) -> bytes:
    """A recording of one event's data a line as the stream it came from; a stream is given its missing end."""
    if data.startswith(b"data:"):
        return data if data.endswith(b"\n\n") else data + b"\n\n"
    lines = [line for line in data.splitlines() if line]
    if dialect == "responses":
        return b"".join(frame(line, json.loads(line)["type"]) for line in lines)
    return b"".join(frame(line) for line in lines) + b"data: [DONE]\n\n"


def asked(face: str, usage: bool = True) -> Any:
    """The smallest request; of a chat's usage where the recording has it, or can only come from us."""
    body = {**BASE[face], **({"stream_options": {"include_usage": usage}} if face == "openai" else {})}
    if face == "gemini":
        return gemini_face.read_request("p/m", msgspec.json.encode(BASE[face]), True)
    read = {"openai": openai_face, "responses": responses_face, "anthropic": anthropic_face}[face].read_request
    return read(msgspec.json.encode(body))


def carried(recording: Recording, face: str) -> bytes:
    """The body or stream that the face's client gets."""
    dialect = providers()[recording.dialect]
    if not recording.stream:
        answer = dialect.answer(recording.data)
        if face == "responses":
            return responses_face.write_answer(answer, asked(face))
        return {"openai": openai_face, "anthropic": anthropic_face, "gemini": gemini_face}[face].write_answer(answer)
    makers = {
        "openai": openai_face.StreamWriter,
        "responses": ResponsesStream,
        "anthropic": anthropic_face.StreamWriter,
        "gemini": gemini_face.StreamWriter,
    }
    usage = recording.dialect != "openai" or b'"usage":{' in recording.data
    writer, reader, collected, out = makers[face](asked(face, usage)), dialect.reader(), Collected(), b""
    parser = dialect.parser()
    for event in parser.feed(recording.data):
        chunk = reader.read(event)
        if chunk is not None:
            collected.add(chunk)
            out += writer.chunk(chunk)
    if recording.dialect != "bedrock" and (rest := parser.close()) is not None:
        out += writer.chunk(Chunk(raw=rest.raw, dialect=recording.dialect, event="comment"))
    message = collected.messages()[0]
    return out + writer.end(Answer(message, collected.finish, collected.usage or Usage(), collected.model))


def said(recording: Recording, data: bytes, dialect: str) -> dict[str, Any]:
    body = facts.WHOLE[dialect](data) if recording.stream else json.loads(data)
    return facts.READ[dialect](body)


def plain(recording: Recording) -> bool:
    """Whether any face can show it."""
    body = facts.WHOLE[recording.dialect](recording.data) if recording.stream else json.loads(recording.data)
    pieces = facts.responses_deltas(recording.data) if recording.dialect == "responses" and recording.stream else None
    if pieces is not None and pieces != facts.whole_deltas(body):
        return False  # whoever recorded it has taken pieces out
    items = body.get("content") if recording.dialect == "anthropic" else body.get("output")
    if recording.dialect not in _PLAIN:
        return True
    cited = any(item.get("citations") for item in items) or b'"citations_delta"' in recording.data
    noted = any(part.get("annotations") for item in items if isinstance(item.get("content"), list) for part in item["content"])
    return {item["type"] for item in items} <= _PLAIN[recording.dialect] and not cited and not noted


def outcome(recording: Recording, face: str) -> str:
    """as it came, yes, –, or what is wrong."""
    if face == recording.dialect:
        return "as it came" if carried(recording, face) == recording.data else "WRONG: bytes differ"
    if not plain(recording):
        return "–"
    expected, got = said(recording, recording.data, recording.dialect), said(recording, carried(recording, face), face)
    if recording.stream and face == "responses":
        out = carried(recording, face)
        assert facts.responses_deltas(out) == facts.whole_deltas(facts.responses_whole(out)), "the pieces and the end differ"
    if not expected["ids"]:  # Gemini may give none; then they are made
        expected["ids"] = got["ids"]
    wrong = [name for name in expected if expected[name] != got[name]]
    return f"WRONG: {wrong[0]}: {expected[wrong[0]]!r} became {got[wrong[0]]!r}" if wrong else "yes"


def table() -> str:
    """The last section of docs/matrix.md."""
    lines = [_HEAD, "", f"| recording | {' | '.join(TITLES[face] for face in FACES)} |", "|---" * (len(FACES) + 1) + "|"]
    for recording in recordings():
        cells = " | ".join(outcome(recording, face) for face in FACES)
        lines.append(f"| {recording.name.replace('openai/', '', 1)} | {cells} |")
    return "\n".join(lines)


_HEAD = """## Recorded answers

Real answers and streams of OpenAI, xAI and Azure (recorded by vercel/ai), Anthropic (by langchain-anthropic), Gemini, Vertex and
Bedrock (by OpenTelemetry, OpenInference and langchain-aws; tests/gateway/recorded/SOURCES.md), each carried to every face.
*as it came*: byte for byte. *yes*: text, reasoning, signatures, calls, why it ended and the tokens used are the same, read by
code that shares nothing with the gateway. *–*: it holds parts of tools that run at the provider, or citations, which only its own
dialect can ask for; or pieces were taken out of the recording."""
