"""What the scripted provider answers beside chats: small real images, sounds, transcripts, rankings, videos; and their bill.

Shares no code with the gateway. Truth for tests: a transcription bills the seconds of the WAV it got, a rerank the words it
read, a video the seconds asked for once it is ready; the scripted provider keeps the counts in `Call.units`.
"""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import msgspec

PATHS = ("/v1/images/generations", "/v1/images/edits", "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations",
         "/v1/rerank", "/v1/videos")  # fmt: skip


class Media:
    """The state of one provider: its videos."""

    def __init__(self) -> None:
        self.videos: dict[str, dict[str, Any]] = {}
        self.fail_next_video = False

    def takes(self, method: str, path: str) -> bool:
        return path.startswith("/v1/videos/") or (method == "POST" and path in PATHS)

    def answer(self, method: str, path: str, content_type: str, body: bytes) -> tuple[str, dict[str, float], str, bytes]:
        """(model, billed units, content type, body). Raises KeyError for what is not there, ValueError for what is unreadable."""
        if path.startswith("/v1/videos/"):
            return self._video(method, path)
        asked, files = read(content_type, body)
        model = str(asked["model"])
        if path == "/v1/videos":
            return model, {}, "application/json", self._order(model, asked)
        units, kind, answer = _ANSWERS[path](asked, files)
        return model, units, kind, answer

    def _order(self, model: str, asked: dict[str, Any]) -> bytes:
        name = f"vid-{len(self.videos) + 1}"
        ends = "failed" if self.fail_next_video else "completed"
        self.fail_next_video = False
        self.videos[name] = {
            "id": name,
            "object": "video",
            "model": model,
            "status": "queued",
            "progress": 0,
            "seconds": str(asked.get("seconds", "4")),
            "prompt": asked["prompt"],
            "created_at": 1,
            "ends": ends,
        }
        return self._said(name)

    def _said(self, name: str) -> bytes:
        return msgspec.json.encode({key: value for key, value in self.videos[name].items() if key != "ends"})

    def _video(self, method: str, path: str) -> tuple[str, dict[str, float], str, bytes]:
        """Every look brings it one state on: queued, in progress, ended."""
        name, _, what = path.removeprefix("/v1/videos/").partition("/")
        video = self.videos[name]
        if method == "DELETE":
            del self.videos[name]
            return video["model"], {}, "application/json", msgspec.json.encode({"id": name, "deleted": True})
        if what.startswith("content"):
            return video["model"], {}, "video/mp4", b"\x00\x00\x00\x18ftypmp42" + name.encode()
        billed: dict[str, float] = {}
        if video["status"] == "queued":
            video.update(status="in_progress", progress=50)
        elif video["status"] == "in_progress":
            video.update(status=video["ends"], progress=100)
            billed = {"video_second": float(video["seconds"])} if video["ends"] == "completed" else {}
        return video["model"], billed, "application/json", self._said(name)


def read(content_type: str, body: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Fields and files of a JSON body or a form (by the standard library's mail parser)."""
    if not content_type.startswith("multipart/"):
        return msgspec.json.decode(body), {}
    message = message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name, data = str(part.get_param("name", header="content-disposition")), bytes(part.get_payload(decode=True))
        if part.get_filename():
            files[name] = data
        else:
            fields[name] = data.decode()
    return fields, files


def png(width: int, height: int, seed: int) -> bytes:
    """A real PNG of one colour."""
    row = b"\x00" + bytes([seed % 256, 80, 160]) * width

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")


def wav(seconds: float) -> bytes:
    """A real WAV of silence, 8 kHz, 16 bit."""
    data = io.BytesIO()
    with wave.open(data, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(b"\x00\x00" * round(8000 * seconds))
    return data.getvalue()


def _images(asked: dict[str, Any], files: dict[str, bytes]) -> tuple[dict[str, float], str, bytes]:
    count = int(asked.get("n") or 1)
    data = [{"b64_json": base64.b64encode(png(8, 8, number)).decode()} for number in range(count)]
    words = len(str(asked["prompt"]).split())
    usage = {"input_tokens": words, "output_tokens": 272 * count, "total_tokens": words + 272 * count,
             "input_tokens_details": {"text_tokens": words, "image_tokens": 0}}  # fmt: skip
    body = {"created": 1, "data": data, "output_format": "png", "usage": usage}
    return {"image": count, "input": words, "output": 272 * count}, "application/json", msgspec.json.encode(body)


def _speech(asked: dict[str, Any], files: dict[str, bytes]) -> tuple[dict[str, float], str, bytes]:
    return {"character": len(asked["input"])}, "audio/wav", wav(0.05 * len(asked["input"].split()))


def _transcript(asked: dict[str, Any], files: dict[str, bytes]) -> tuple[dict[str, float], str, bytes]:
    with wave.open(io.BytesIO(files["file"])) as audio:
        seconds = audio.getnframes() / audio.getframerate()
    text = f"{seconds:.2f} seconds were heard"
    if asked.get("response_format") == "text":
        return {"audio_second": seconds}, "text/plain; charset=utf-8", text.encode()
    body = {"text": text, "usage": {"type": "duration", "seconds": seconds}}
    return {"audio_second": seconds}, "application/json", msgspec.json.encode(body)


def _rerank(asked: dict[str, Any], files: dict[str, bytes]) -> tuple[dict[str, float], str, bytes]:
    words = set(str(asked["query"]).lower().split())
    texts = [document if isinstance(document, str) else document["text"] for document in asked["documents"]]
    scores = [len(words & set(text.lower().split())) / max(1, len(words)) for text in texts]
    order = sorted(range(len(texts)), key=lambda number: -scores[number])[: asked.get("top_n") or len(texts)]
    read_words = sum(len(text.split()) for text in texts)
    body = {"model": asked["model"], "results": [{"index": n, "relevance_score": scores[n]} for n in order],
            "usage": {"total_tokens": read_words}}  # fmt: skip
    return {"search": 1, "input": read_words}, "application/json", msgspec.json.encode(body)


_ANSWERS = {
    "/v1/images/generations": _images,
    "/v1/images/edits": _images,
    "/v1/audio/speech": _speech,
    "/v1/audio/transcriptions": _transcript,
    "/v1/audio/translations": _transcript,
    "/v1/rerank": _rerank,
}
