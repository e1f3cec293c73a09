"""What a provider must do, and what every provider that is reached over HTTP shares: send, translate errors, read events.

A dialect (openai_compatible.py, anthropic/) is three pure conversions: request, answer, chunk; this file knows none of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from genwright.errors import Invalid, StreamCut, Upstream
from genwright.gateway import sse
from genwright.gateway.providers.failures import Refused, in_own_words, refusal
from genwright.gateway.types import Answer, Call, Chunk
from genwright.gateway.wire.openai import UNSUPPORTED
from genwright.prices import Usage

if TYPE_CHECKING:
    from genwright.gateway.providers.reach import Reach
    from genwright.http import Http


class Endpoint(Protocol):
    """One configured provider. `name` is the first part of a model name; `dialect` the one whose `Call.wire` it takes."""

    name: str
    dialect: str
    address: str
    price_as: str

    async def complete(self, call: Call, model: str) -> Answer: ...

    def stream(self, call: Call, model: str) -> AsyncIterator[Chunk]: ...

    async def embed(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> Embedded: ...

    async def models(self) -> list[str]: ...


class Embedded(msgspec.Struct):
    """Vectors float32 (n, d) in the order given."""

    vectors: Any
    usage: Usage | None
    model: str = ""
    estimated: bool = False
    cost_nano_usd: int | None = None
    raw: bytes = b""
    """The provider's body, where it is in OpenAI's format with numbers as decimals."""


class Reader(Protocol):
    """Reads one stream's events in order. `done` once the dialect's own end was seen."""

    done: bool

    def read(self, event: sse.Event) -> Chunk | None: ...


class Dialect(Protocol):
    """Pure conversions of one wire format."""

    name: str
    paths: dict[str, str]
    """Verb (chat, stream, embeddings, models) → path under the service's address; {model} in it is the quoted model."""
    parser: Callable[[], Any]
    """Makes what cuts a stream's bytes into events: sse.Parser, or one with the same `feed`."""

    def headers(self, key: str) -> dict[str, str]: ...

    def request(self, call: Call, model: str, stream: bool) -> bytes: ...

    def answer(self, body: bytes) -> Answer: ...

    def reader(self) -> Reader: ...

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes: ...

    def embedded(self, body: bytes) -> Embedded: ...


class Speech(NamedTuple):
    """A dialect of a service, and where its verbs are."""

    dialect: Dialect
    reach: Reach


NONE: Mapping[str, Speech] = MappingProxyType({})


class Remote:
    """An Endpoint over HTTP. `own`: the dialect of its chats; `also`: further ones of the same service and key, by name."""

    def __init__(self, name: str, own: Speech, http: Http, *, timeout_s: float, price_as: str, also: Mapping[str, Speech] = NONE):
        self.name = name
        self.price_as = price_as
        self.dialect = own.dialect.name
        self.address = own.reach.address
        self._own = own
        self._also = also
        self._wire, self._reach = own
        self._http = http
        self._timeout_s = timeout_s
        self._lacks: set[str] = set()
        """Of `also`: what this server has turned out not to have."""

    def _speech(self, call: Call) -> Speech:
        """The dialect the caller speaks, if this service has it; else the service's own."""
        if call.wire is None or call.wire.dialect in self._lacks:
            return self._own
        return self._also.get(call.wire.dialect, self._own)

    def _is_lacking(self, speech: Speech, error: Refused) -> bool:
        """Whether its own dialect may know what it did not find in this one: services of one kind are not all alike."""
        return speech is not self._own and error.upstream_status in (404, 405)

    async def complete(self, call: Call, model: str) -> Answer:
        speech = self._speech(call)
        try:
            return await self._complete(speech, call, model)
        except Refused as error:
            if not self._is_lacking(speech, error):
                raise
        answer = await self._complete(self._own, call, model)
        self._lacks.add(speech.dialect.name)
        return answer

    async def _complete(self, speech: Speech, call: Call, model: str) -> Answer:
        wire, reach = speech
        body = fitted(wire, call, model, False)
        url = reach.url("chat", model)
        sent = await _headers(wire, reach, call, url, body)
        status, headers, data = await self._http.request("POST", url, sent, body, timeout_s=call.timeout_s or self._timeout_s)
        if status != 200:
            raise refusal(self.name, status, headers, data, wire.name)
        answer: Answer = self._read(wire.answer, data)
        answer.model = answer.model or model  # Bedrock does not say it
        return answer

    async def stream(self, call: Call, model: str) -> AsyncIterator[Chunk]:
        speech = self._speech(call)
        try:
            async with aclosing(self._stream(speech, call, model)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except Refused as error:
            if not self._is_lacking(speech, error):
                raise
        async with aclosing(self._stream(self._own, call, model)) as chunks:
            async for chunk in chunks:
                yield chunk
        self._lacks.add(speech.dialect.name)

    async def _stream(self, speech: Speech, call: Call, model: str) -> AsyncGenerator[Chunk]:
        wire, reach = speech
        body = fitted(wire, call, model, True)
        url = reach.url("stream", model)
        sent = await _headers(wire, reach, call, url, body)
        events, reader = _Events(wire.parser()), wire.reader()
        async with self._http.stream("POST", url, sent, body, timeout_s=call.timeout_s or self._timeout_s) as answer:
            status, headers, pieces = answer
            if status != 200:
                raise refusal(self.name, status, headers, await _all(pieces), wire.name)
            async for piece in pieces:
                for event in events.feed(piece):
                    if not event.data:
                        yield Chunk(raw=event.raw, dialect=wire.name, event="comment")
                        continue
                    try:
                        chunk = self._read(reader.read, event)
                    except Upstream as error:
                        raise in_own_words(error, event.raw, wire.name) from error
                    if chunk is not None:
                        yield chunk
            last = events.close()
            if last is not None and reader.done:  # a server that leaves out the empty line at its very end
                yield Chunk(raw=last.raw, dialect=wire.name, event="done" if last.data else "comment")
        if not reader.done:
            if (problem := getattr(reader, "problem", None)) is not None:  # it said so, and then ended without its last word
                raise problem
            raise StreamCut(f"{self.name} ended its stream before the answer was complete; what came is kept.")

    async def embed(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> Embedded:
        """In as many requests as the service needs, in order. One that fails fails them all."""
        most = getattr(self._wire, "embeds_at_once", None)
        step = most(model) if most is not None else 0
        made = [
            self._read(self._wire.embedded, await self._posted("embeddings", model, body, self._timeout_s))
            for body in [
                self._wire.embed_request(model, texts[at : at + step] if step else texts, options)
                for at in range(0, max(len(texts), 1), step or max(len(texts), 1))
            ]
        ]
        return made[0] if len(made) == 1 else _together(made)

    async def models(self) -> list[str]:
        """Ask the provider for its models; also the test of address and key."""
        url = self._reach.url("models")
        status, headers, data = await self._http.request("GET", url, await self._reach.headers("GET", url), timeout_s=20)
        if status != 200:
            raise refusal(self.name, status, headers, data, self.dialect)
        return self._read(_model_ids, data)

    async def count_tokens(self, call: Call, model: str) -> int | None:
        """Input tokens as the provider counts them, without an answer; None where its dialect has no such thing."""
        count = getattr(self._wire, "count_request", None)
        if count is None:
            return None
        return self._read(self._wire.counted, await self._posted("count", model, count(call, model), 30, call))  # type: ignore[attr-defined]

    async def forward(self, path: str, body: bytes, timeout_s: float = 0.0) -> bytes:
        """A JSON body to another path of the same service, its answer as it came. Raises as `complete`."""
        return await self._posted(path, "", body, timeout_s or self._timeout_s)

    async def _posted(self, verb: str, model: str, body: bytes, timeout_s: float, call: Call | None = None) -> bytes:
        url = self._reach.url(verb, model)
        sent = await _headers(self._wire, self._reach, call, url, body)
        status, headers, data = await self._http.request("POST", url, sent, body, timeout_s=timeout_s)
        if status != 200:
            raise refusal(self.name, status, headers, data, self.dialect)
        return data

    async def serve(self, verb: str, model: str, content_type: str, body: bytes, timeout_s: float = 0.0) -> tuple[str, bytes]:
        """A verb beside chats (images, audio, rerank): (content type, body) of the answer as it came. Raises as `complete`."""
        try:
            url = self._reach.url(verb, model)
        except KeyError:
            raise Invalid(
                f"{self.name} has no {verb} here. Nothing was sent.", code="unsupported_operation", param="model"
            ) from None
        sent = {**await self._reach.headers("POST", url, body), "content-type": content_type}
        status, headers, data = await self._http.request("POST", url, sent, body, timeout_s=timeout_s or self._timeout_s)
        if status != 200:
            raise refusal(self.name, status, headers, data, self.dialect)
        return headers.get("content-type", "application/json"), data

    async def resource(self, method: str, verb: str, id: str, suffix: str = "", body: bytes = b"") -> Any:
        """Something the provider keeps under an id (a video, a batch, a file): (status, headers, body). Raises as `complete`."""
        address, _, query = self._reach.url(verb).partition("?")
        more, _, own = suffix.partition("?")
        asked = "&".join(part for part in (query, own) if part)
        url = f"{address}/{quote(id, safe='')}{more}" + (f"?{asked}" if asked else "")
        answer = await self._http.request(
            method, url, await self._reach.headers(method, url, body), body, timeout_s=self._timeout_s
        )
        if answer.status != 200:
            raise refusal(self.name, answer.status, answer.headers, answer.body, self.dialect)
        return answer

    def _read(self, convert: Any, data: Any) -> Any:
        return understood(self, convert, data)


def understood(endpoint: Endpoint, convert: Callable[[Any], Any], data: Any) -> Any:
    """`convert(data)`; what cannot be read is the provider's failure and says so."""
    try:
        return convert(data)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Upstream(
            f"{endpoint.name} answered something that is no answer in {endpoint.dialect}'s format ({type(error).__name__}: "
            f"{str(error)[:200]}). What came before is kept.",
            code="upstream_malformed",
        ) from error


def _together(made: Sequence[Embedded]) -> Embedded:
    import numpy as np

    counted = [one.usage for one in made if one.usage is not None]
    usage = sum(counted[1:], counted[0]) if len(counted) == len(made) else None
    return Embedded(np.concatenate([one.vectors for one in made]), usage, made[0].model)


class _Events:
    """A stream's events; what says nothing before the first word stays with it: until then another provider may be asked."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._held: bytes | None = b""

    def feed(self, piece: bytes) -> list[sse.Event]:
        events = self._parser.feed(piece)
        if self._held is None:
            return events
        for number, event in enumerate(events):
            if event.data:
                first, self._held = event._replace(raw=self._held + event.raw), None
                return [first, *events[number + 1 :]]
            self._held += event.raw
        return []

    def close(self) -> sse.Event | None:
        return self._parser.close()


async def _headers(wire: Dialect, reach: Reach, call: Call | None, url: str, body: bytes) -> dict[str, str]:
    """The service's headers, with those of a client of the same dialect."""
    headers = await reach.headers("POST", url, body)
    if call is None or call.wire is None or not call.wire.headers or call.wire.dialect != wire.name:
        return headers
    return {**headers, **call.wire.headers}


HINTS = frozenset(("cache_control",))
"""Fields that change no answer: left out without asking where a dialect has none, and told like all that is left out."""


def fitted(dialect: Dialect, call: Call, model: str, stream: bool) -> bytes:
    """The request's body. What the dialect cannot say is refused, or left out and told where the caller allowed that."""
    dropped: list[str] = []
    while True:
        try:
            body = dialect.request(call, model, stream)
        except Invalid as error:
            name = str(error.details.get("param") or "")
            shown = _as_the_caller_says(error, name, call)
            if error.code != UNSUPPORTED or not (name in call.parameters or name in call.extra):
                raise
            if not call.drop_params and name not in HINTS:
                raise
            dropped.append(shown)
            call = _left_out(call, name)
            continue
        if call.told is not None:
            call.told.dropped = list(dict.fromkeys(dropped))
        return body


def _as_the_caller_says(error: Invalid, name: str, call: Call) -> str:
    """The field under the name that the caller's dialect has for it, in the error, too."""
    if call.wire is None:
        return name
    shown = call.wire.parts[0] if name == "messages" else call.wire.names.get(name, name)
    if shown != name:
        error.details["param"] = shown
        if error.message.startswith(name):
            error.message = shown + error.message.removeprefix(name)
    return shown


def _left_out(call: Call, name: str) -> Call:
    parameters, extra = ({k: v for k, v in fields.items() if k != name} for fields in (call.parameters, call.extra))
    wire = call.wire.without(name) if call.wire is not None else None
    return msgspec.structs.replace(call, parameters=parameters, extra=extra, wire=wire)


def _model_ids(data: bytes) -> list[str]:
    """Names in a list of models: OpenAI's and Anthropic's `data`, Google's `models`, Bedrock's `modelSummaries`, a bare list."""
    items = msgspec.json.decode(data)
    if isinstance(items, dict):
        items = items["data"] if "data" in items else items["models"] if "models" in items else items["modelSummaries"]
    names = (item.get("id") or item.get("modelId") or item["name"] for item in items)
    return sorted(str(name).removeprefix("models/").removeprefix("publishers/google/models/") for name in names)


async def _all(pieces: AsyncIterator[bytes]) -> bytes:
    data = b""
    async for piece in pieces:
        data += piece
        if len(data) > 100_000:
            break
    return data
