"""What a provider must do, and what every provider that is reached over HTTP shares: send, translate errors, read events.

A dialect (openai_compatible.py, anthropic/) is three pure conversions: request, answer, chunk; this file knows none of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from genwright.errors import Error, StreamCut, Upstream, UpstreamAuth, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from genwright.gateway import sse
from genwright.gateway.types import Answer, Call, Chunk
from genwright.prices import Usage

if TYPE_CHECKING:
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
    """Vectors float32 (n, d) in the order given, or a provider's body that was asked for as it is."""

    vectors: Any
    usage: Usage | None
    model: str = ""
    estimated: bool = False
    cost_nano_usd: int | None = None


class Reader(Protocol):
    """Reads one stream's events in order. `done` once the dialect's own end was seen."""

    done: bool

    def read(self, event: sse.Event) -> Chunk | None: ...


class Dialect(Protocol):
    """Pure conversions of one wire format."""

    name: str
    chat_path: str

    def headers(self, key: str) -> dict[str, str]: ...

    def request(self, call: Call, model: str, stream: bool) -> bytes: ...

    def answer(self, body: bytes) -> Answer: ...

    def reader(self) -> Reader: ...

    def embed_request(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> bytes: ...

    def embedded(self, body: bytes) -> Embedded: ...


class Remote:
    """An Endpoint over HTTP."""

    def __init__(self, name: str, base_url: str, key: str, dialect: Dialect, http: Http, *, timeout_s: float, price_as: str):
        self.name = name
        self.price_as = price_as
        self.dialect = dialect.name
        self.address = base_url
        self._wire = dialect
        self._http = http
        self._base = base_url.rstrip("/")
        self._chat = self._base + dialect.chat_path
        self._headers = {"content-type": "application/json", **dialect.headers(key)}
        self._timeout_s = timeout_s

    async def complete(self, call: Call, model: str) -> Answer:
        body = self._wire.request(call, model, False)
        status, headers, data = await self._http.request(
            "POST", self._chat, self._with(call), body, timeout_s=call.timeout_s or self._timeout_s
        )
        if status != 200:
            raise refusal(self.name, status, headers, data)
        return self._read(self._wire.answer, data)

    def _with(self, call: Call) -> dict[str, str]:
        """The headers, with those of a client of the same dialect."""
        if call.wire is None or not call.wire.headers or call.wire.dialect != self.dialect:
            return self._headers
        return {**self._headers, **call.wire.headers}

    async def stream(self, call: Call, model: str) -> AsyncIterator[Chunk]:
        body = self._wire.request(call, model, True)
        parser, reader = sse.Parser(), self._wire.reader()
        async with self._http.stream("POST", self._chat, self._with(call), body, timeout_s=call.timeout_s or self._timeout_s) as (
            status,
            headers,
            pieces,
        ):
            if status != 200:
                raise refusal(self.name, status, headers, await _all(pieces))
            async for piece in pieces:
                for event in parser.feed(piece):
                    chunk = self._read(reader.read, event)
                    if chunk is not None:
                        yield chunk
        if not reader.done:
            raise StreamCut(f"{self.name} ended its stream before the answer was complete; what came is kept.")

    async def embed(self, model: str, texts: Sequence[Any], options: dict[str, Any]) -> Embedded:
        body = self._wire.embed_request(model, texts, options)
        status, headers, data = await self._http.request(
            "POST", self._base + "/embeddings", self._headers, body, timeout_s=self._timeout_s
        )
        if status != 200:
            raise refusal(self.name, status, headers, data)
        return self._read(self._wire.embedded, data)

    async def models(self) -> list[str]:
        """Ask the provider for its models; also the test of address and key."""
        status, headers, data = await self._http.request("GET", self._base + "/models", self._headers, timeout_s=20)
        if status != 200:
            raise refusal(self.name, status, headers, data)
        return self._read(_model_ids, data)

    def _read(self, convert: Any, data: Any) -> Any:
        try:
            return convert(data)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise Upstream(
                f"{self.name} answered something that is no answer in {self.dialect}'s format ({type(error).__name__}: "
                f"{str(error)[:200]}). What came before is kept.",
                code="upstream_malformed",
            ) from error


def _model_ids(data: bytes) -> list[str]:
    decoded = msgspec.json.decode(data)
    items = decoded["data"] if isinstance(decoded, dict) else decoded
    return sorted(str(item["id"]) for item in items)


async def _all(pieces: AsyncIterator[bytes]) -> bytes:
    data = b""
    async for piece in pieces:
        data += piece
        if len(data) > 100_000:
            break
    return data


_KINDS: dict[int, type[Upstream]] = {
    400: UpstreamRefused, 404: UpstreamRefused, 405: UpstreamRefused, 409: UpstreamRefused, 413: UpstreamRefused,
    415: UpstreamRefused, 422: UpstreamRefused, 401: UpstreamAuth, 402: UpstreamAuth, 403: UpstreamAuth,
    408: UpstreamTimeout, 504: UpstreamTimeout, 429: UpstreamLimited,
}  # fmt: skip


def refusal(name: str, status: int, headers: dict[str, str], body: bytes) -> Error:
    """A provider's error answer as ours, by its status; its own words are kept, unless they may show a part of the key."""
    message, code, param, _ = error_words(body)
    kind = _KINDS.get(status, Upstream)
    details: dict[str, Any] = {"provider": name, "upstream_status": status}
    if kind is UpstreamAuth:
        return UpstreamAuth(
            f"{name} refused our credentials or their rights ({status}). Check the key: genwright providers test {name}",
            **details,
        )
    if param:
        details["param"] = param
    if code:
        details["upstream_code"] = code
    text = f"{name} answered {status}: {message or 'without a reason'}"
    if kind is UpstreamLimited or status == 503:
        return kind(text, retry=_retry_after(headers) or kind.default_retry, **details)
    return kind(text, **details)


def error_words(body: bytes) -> tuple[str, str, str, str]:
    """(message, code, param, type) of an error body of any provider, as far as it has them."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body[:300].decode("utf-8", "replace").strip(), "", "", ""
    if isinstance(decoded, list) and decoded:  # Google's compatible face
        decoded = decoded[0]
    error: Any = decoded.get("error", decoded) if isinstance(decoded, dict) else decoded
    if not isinstance(error, dict):
        return str(error)[:500], "", "", ""
    message = error.get("message") or error.get("detail") or ""
    code, param, kind = (error.get(name) for name in ("code", "param", "type"))
    code = code if isinstance(code, str) else ""  # OpenRouter and Google put the status there
    return str(message)[:500], code[:100], str(param or "")[:100], str(kind or "")[:100]


def stream_error(name: str, body: bytes) -> Error:
    """An error that came as an event in the middle of a stream."""
    message, code, _, name_of_kind = error_words(body)
    word = f"{code} {name_of_kind}"
    kind = UpstreamLimited if "rate_limit" in word or "overloaded" in word else Upstream
    return kind(
        f"{name} broke off with an error: {message or word.strip() or 'without a reason'}. What came is kept.", upstream_code=code
    )


def _retry_after(headers: dict[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
