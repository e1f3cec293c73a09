"""Images, audio and rerank: what each asks, where it goes, and what its answer used. Pure.

Source: OpenAI API reference (images, audio) and Cohere's and Jina's rerank, November 2026. A request goes out as it was written,
with the model's name replaced; the answer comes back as it came.
"""

from __future__ import annotations

import base64
import contextlib
import io
import wave
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from genwright.gateway.media.form import Form, Upload, write_form
from genwright.gateway.wire.openai import bad
from genwright.messages import Media, Message, Text
from genwright.prices import Usage

Asked = dict[str, Any] | Form
"""A JSON body, or a form."""


class Served(NamedTuple):
    """What an answer used and said."""

    usage: Usage | None
    """None: the provider did not say, and it cannot be seen in the answer."""
    model: str = ""
    output: tuple[Message, ...] = ()


class Operation(NamedTuple):
    name: str
    """In spans (gen_ai.operation.name), in the ledger and in a key's allowed operations."""
    verb: str
    """Under which the dialect knows its path."""
    required: tuple[str, ...]
    asked: Callable[[Any], list[Message]]
    """What the span shows of the request."""
    served: Callable[[Any, str, bytes], Served]
    """(asked, content type, body of the answer)."""
    most: Callable[[Any], Usage]
    """What it can use at most, for a budget's reservation."""
    form: bool = False


def check(operation: Operation, asked: Asked) -> str:
    """The model's name. Raises Invalid naming the field that is missing or wrong."""
    for name in ("model", *operation.required):
        value = field(asked, name)
        if value is None or value in ("", []):
            raise bad(name, f"{name} is needed. Nothing was sent.")
    model = field(asked, "model")
    if not isinstance(model, str):
        raise bad("model", "model must be a text. Nothing was sent.")
    if str(field(asked, "stream")).lower() == "true" or field(asked, "stream_format") == "sse":
        raise bad("stream", "This operation is answered whole here, not streamed. Nothing was sent; leave out `stream`.")
    return model


def encode(asked: Asked, model: str) -> tuple[str, bytes]:
    """(content type, body) for the provider."""
    if isinstance(asked, Form):
        return write_form(asked.with_field("model", model))
    return "application/json", msgspec.json.encode({**asked, "model": model})


def field(asked: Asked, name: str) -> Any:
    """A field of the request: a text or a file of a form, anything of a JSON body; None where it is missing."""
    if isinstance(asked, Form):
        return asked.text(name) or asked.file(name) or asked.file(name + "[]")
    return asked.get(name)


# -- what is asked, for people


def _prompt(asked: Asked) -> list[Message]:
    files = [_media(file) for file in asked.files] if isinstance(asked, Form) else []
    return [Message("user", [Text(str(field(asked, "prompt") or "")), *files])]


def _speech(asked: dict[str, Any]) -> list[Message]:
    return [Message("user", [Text(str(asked["input"]))])]


def _moderated(asked: dict[str, Any]) -> list[Message]:
    given = asked["input"]
    return [Message("user", [Text(given if isinstance(given, str) else msgspec.json.encode(given).decode())])]


def _audio(asked: Form) -> list[Message]:
    return [Message("user", [_media(file) for file in asked.files])]


def _documents(asked: dict[str, Any]) -> list[Message]:
    texts = "\n".join(document_text(document) for document in asked["documents"][:20])
    return [Message("user", [Text(f"{asked['query']}\n\n{texts}")])]


def _media(file: Upload) -> Media:
    kind = file.content_type.partition("/")[0]
    return Media(kind if kind in ("image", "audio", "video") else "file", file.content_type, name=file.filename)  # type: ignore[arg-type]


def document_text(document: Any) -> str:
    """A document of a rerank request: a text, or an object with `text`."""
    if isinstance(document, str):
        return document
    if isinstance(document, dict) and isinstance(document.get("text"), str):
        return document["text"]
    raise bad("documents", "documents are texts, or objects with a text. Nothing was sent.")


# -- what was served


def _images(asked: Asked, content_type: str, body: bytes) -> Served:
    answer = msgspec.json.decode(body)
    items = answer.get("data") or []
    kind = "image/" + (answer.get("output_format") or "png")
    shown = [Media("image", kind, item.get("b64_json") or "", item.get("url") or "") for item in items]
    said = answer.get("usage") or {}
    usage = Usage(said.get("input_tokens") or 0, said.get("output_tokens") or 0, units={"image": len(items)})
    return Served(usage, answer.get("model") or "", (Message("assistant", list(shown)),))


def _spoken(asked: dict[str, Any], content_type: str, body: bytes) -> Served:
    audio = Media("audio", content_type.partition(";")[0], base64.b64encode(body).decode())
    return Served(Usage(units={"character": len(str(asked["input"]))}), "", (Message("assistant", [audio]),))


def _heard(asked: Form, content_type: str, body: bytes) -> Served:
    """Transcription and translation: tokens or seconds as the provider says, else the length of a WAV file."""
    answer: Any = None
    if "json" in content_type:
        answer = msgspec.json.decode(body)
    if not isinstance(answer, dict):
        answer = {"text": body.decode("utf-8", "replace")}
    said = answer.get("usage") or {}
    usage: Usage | None
    if said.get("type") == "tokens":
        usage = Usage(said.get("input_tokens") or 0, said.get("output_tokens") or 0)
    else:
        seconds = said.get("seconds") or answer.get("duration") or wav_seconds(asked.files[0].data if asked.files else b"")
        usage = Usage(units={"audio_second": float(seconds)}) if seconds else None
    return Served(usage, "", (Message("assistant", [Text(str(answer.get("text") or ""))]),))


def _ranked(asked: dict[str, Any], content_type: str, body: bytes) -> Served:
    answer = msgspec.json.decode(body)
    billed = (answer.get("meta") or {}).get("billed_units") or {}
    said = answer.get("usage") or {}
    tokens = said.get("prompt_tokens") or said.get("total_tokens") or billed.get("input_tokens") or 0
    usage = Usage(int(tokens), units={"search": billed.get("search_units") or 1})
    text = msgspec.json.encode([{"index": r["index"], "score": r["relevance_score"]} for r in answer["results"]]).decode()
    return Served(usage, answer.get("model") or "", (Message("assistant", [Text(text)]),))


def _judged(asked: dict[str, Any], content_type: str, body: bytes) -> Served:
    answer = msgspec.json.decode(body)
    flagged = [bool(result.get("flagged")) for result in answer["results"]]
    return Served(Usage(), answer.get("model") or "", (Message("assistant", [Text(f"flagged: {flagged}")]),))


# -- what it can come to


IMAGE_TOKENS = 8_192
"""Of one image made or read, at most (gpt-image-1 documents up to 6,240 made)."""
SLOWEST_AUDIO = 1_000
"""Bytes a second that no usual voice codec goes below (8 kbit/s): a longest time for audio of unknown kind."""


def _most_images(asked: Asked) -> Usage:
    count = int(field(asked, "n") or 1) if str(field(asked, "n") or 1).isdigit() else 10
    files = len(asked.files) if isinstance(asked, Form) else 1
    text = len(str(field(asked, "prompt") or "").encode())
    return Usage(text + 64 + files * IMAGE_TOKENS, count * IMAGE_TOKENS, units={"image": count})


def _most_speech(asked: dict[str, Any]) -> Usage:
    text = str(asked["input"])
    size = len(text.encode()) + len(str(asked.get("instructions") or "").encode())
    return Usage(size + 64, 8 * len(text) + 64, units={"character": len(text)})


def _most_heard(asked: Form) -> Usage:
    seconds = sum(wav_seconds(file.data) or len(file.data) / SLOWEST_AUDIO for file in asked.files)
    text = len(asked.text("prompt").encode())
    return Usage(round(seconds * 25) + text + 64, round(seconds * 25) + 64, units={"audio_second": seconds})


def _most_ranked(asked: dict[str, Any]) -> Usage:
    query = len(str(asked["query"]).encode())
    sizes = [len(document_text(document).encode()) for document in asked["documents"]]
    return Usage(sum(sizes) + query * (len(sizes) + 1) + 64, units={"search": -(-len(sizes) // 100) or 1})


def wav_seconds(data: bytes) -> float:
    """Length of a WAV file; 0 for anything else."""
    with contextlib.suppress(wave.Error, EOFError, ZeroDivisionError), wave.open(io.BytesIO(data)) as audio:
        return audio.getnframes() / audio.getframerate()
    return 0.0


OPERATIONS = {
    operation.verb: operation
    for operation in (
        Operation("image_generation", "images", ("prompt",), _prompt, _images, _most_images),
        Operation("image_edit", "image_edits", ("image", "prompt"), _prompt, _images, _most_images, form=True),
        Operation("speech", "speech", ("input", "voice"), _speech, _spoken, _most_speech),
        Operation("transcription", "transcriptions", ("file",), _audio, _heard, _most_heard, form=True),
        Operation("translation", "translations", ("file",), _audio, _heard, _most_heard, form=True),
        Operation("rerank", "rerank", ("query", "documents"), _documents, _ranked, _most_ranked),
        Operation("moderation", "moderations", ("input",), _moderated, _judged, lambda asked: Usage()),
    )
}
PATHS = {
    "/v1/images/generations": "images",
    "/v1/images/edits": "image_edits",
    "/v1/audio/speech": "speech",
    "/v1/audio/transcriptions": "transcriptions",
    "/v1/audio/translations": "translations",
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
}
"""Paths of the face; the last one is Cohere's own."""
