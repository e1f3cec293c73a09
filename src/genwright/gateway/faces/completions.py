"""OpenAI's legacy completions as clients speak it: request → Call, Answer → body, Chunk → event. Pure.

A provider that has completions gets the body as it is; a chat model gets the prompt as a user's message.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import clock
from genwright.errors import Error
from genwright.gateway import sse
from genwright.gateway.faces.openai import Asked, StreamOptions, field_error, read_json, take_drop, write_error
from genwright.gateway.providers.completions import DIALECT
from genwright.gateway.providers.failures import own_words
from genwright.gateway.types import Answer, Call, Chunk, Wire
from genwright.gateway.wire import openai as wire
from genwright.gateway.wire.openai import bad
from genwright.messages import Message, Text
from genwright.vocab import new_id

_encode = msgspec.json.Encoder().encode


class CompletionRequest(msgspec.Struct):
    model: str
    prompt: Any
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    user: str | None = None


_KNOWN = frozenset(CompletionRequest.__struct_fields__)
DEFAULT_MAX_TOKENS = 16
"""What OpenAI's completions write at most where nothing is said; chat models would write on."""


def read_request(body: bytes, headers: dict[bytes, bytes] | None = None) -> Asked:
    """Raises Invalid naming the field."""
    del headers
    plain = read_json(body)
    drop = take_drop(plain)
    try:
        request = msgspec.convert(plain, CompletionRequest)
    except msgspec.ValidationError as error:
        raise field_error(error) from None
    prompts = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    if not prompts or not all(isinstance(prompt, str | int | list) for prompt in prompts):
        raise bad("prompt", "prompt must be text, a list of texts, or tokens. Nothing was sent.")
    parameters = {name: value for name, value in plain.items() if name in wire.PARAMETERS and value is not None}
    parameters.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    if (count := parameters.pop("logprobs", None)) is not None:
        parameters |= {"logprobs": True, "top_logprobs": count}
    extra = {name: value for name, value in plain.items() if name not in _KNOWN and value is not None}
    if len(prompts) > 1 or not isinstance(prompts[0], str):  # a chat has one prompt, and it is text
        extra["prompt"] = request.prompt
    texts = [prompt if isinstance(prompt, str) else wire.as_text(prompt) for prompt in prompts]
    call = Call(
        request.model,
        [Message("user", [Text(text)]) for text in texts],
        parameters,
        user=request.user or "",
        extra=extra,
        wire=Wire(DIALECT, plain, parts=("prompt",), names={"top_logprobs": "logprobs"}),
        drop_params=drop,
    )
    options = request.stream_options
    return Asked(call, bool(request.stream), bool(options and options.include_usage))


def write_answer(answer: Answer) -> bytes:
    """The body: the provider's own where it has completions and nothing was changed."""
    if answer.raw and answer.dialect == DIALECT:
        return answer.raw
    choices = []
    for index, message in enumerate([answer.message, *answer.others]):
        given = answer.logprobs[index] if index < len(answer.logprobs) else []
        choices.append(_choice(index, message.text, given, message.finish_reason or answer.finish_reason or "stop"))
    body = {
        "id": answer.response_id or new_id("cmpl"),
        "object": "text_completion",
        "created": clock.now_ns() // 1_000_000_000,
        "model": answer.model,
        "choices": choices,
        "usage": wire.write_usage(answer.usage),
    }
    return _encode(body | (answer.extra or {}))


def _choice(index: int, text: str, given: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": _logprobs(given) if given else None, "finish_reason": finish}


def _logprobs(given: list[dict[str, Any]]) -> dict[str, Any]:
    """As completions write them: lists side by side."""
    offsets, at = [], 0
    for token in given:
        offsets.append(at)
        at += len(token["token"])
    return {
        "tokens": [token["token"] for token in given],
        "token_logprobs": [token["logprob"] for token in given],
        "top_logprobs": [{top["token"]: top["logprob"] for top in token.get("top_logprobs") or []} for token in given],
        "text_offset": offsets,
    }


class StreamWriter:
    """Chunks of one stream → events."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: Asked):
        self._usage = asked.include_usage
        self._id, self._model = new_id("cmpl"), asked.call.model
        self._created = clock.now_ns() // 1_000_000_000
        self._made = self._usage_sent = False
        self._end = b""

    def chunk(self, chunk: Chunk) -> bytes:
        """Bytes to send; empty if the client is to get nothing."""
        if chunk.raw and (chunk.dialect == DIALECT or chunk.event == "comment"):
            if chunk.event == wire.USAGE:
                self._usage_sent = True
                return chunk.raw if self._usage else b""
            if chunk.event != wire.DONE and not self._end:
                return chunk.raw
            self._end += chunk.raw
            return b""
        self._id, self._model = chunk.response_id or self._id, chunk.model or self._model
        if not (chunk.text or chunk.finish_reason or chunk.logprobs or chunk.extra):
            return b""
        return self._event([_choice(chunk.index, chunk.text, chunk.logprobs, chunk.finish_reason or None)], chunk)

    def _event(self, choices: list[dict[str, Any]], chunk: Chunk) -> bytes:
        self._made = True
        data: dict[str, Any] = {
            "id": self._id, "object": "text_completion", "created": self._created, "model": self._model, "choices": choices,
        }  # fmt: skip
        if self._usage:
            data["usage"] = wire.write_usage(chunk.usage) if not choices else None
        return sse.frame(_encode(data | (chunk.extra or {})))

    def end(self, answer: Answer) -> bytes:
        """After the last chunk."""
        events = b""
        if self._usage and not self._usage_sent:
            events = self._event([], Chunk(usage=answer.usage))
        return events + (self._end or (b"data: [DONE]\n\n" if self._made else b""))

    def error(self, error: Error) -> bytes:
        """An error in the middle; the stream ends after it."""
        return own_words(error, DIALECT) or sse.frame(write_error(error))
