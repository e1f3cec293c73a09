"""From spans to rows and back: fills the searchable columns, collects refs, compresses payloads. Pure; runs outside the writer.

What an attribute means is in `dialects.py`; SQL is in `store.py`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from typing import Any

import msgspec
import zstandard

from genwright.tracing import dialect_messages, dialects
from genwright.tracing.store import Bundle, Narrow, Prepared
from genwright.tracing.types import Event, Span
from genwright.vocab import Scope

SEARCH_CHARS = 200
"""So much of the input and of the output can be found by the list's text filter."""
MAX_NAME, MAX_ERROR, MAX_TEXT = 500, 2000, 300
"""Characters that a column keeps of a name, a failure, anything else; the payload has it whole."""
BUNDLE_BYTES = 256_000
"""Uncompressed; larger saves disk, smaller makes one trace quicker to read (a row is decompressed whole: about 1 ms)."""
MAX_INT = 2**63 - 1


class Payload(msgspec.Struct, omit_defaults=True):
    """What of a span is not searched by column."""

    input: Any = None
    output: Any = None
    attributes: dict[str, Any] = {}
    events: list[Event] = []
    kind: str = ""
    links: list[dict[str, Any]] = []
    resource: dict[str, Any] = {}
    library: str = ""
    capture: str = "full"


_encoder = msgspec.json.Encoder(enc_hook=str)
_bundle_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoder = msgspec.json.Decoder(Payload)
_local = threading.local()  # a zstd context belongs to one thread


def prepare(scope: Scope, spans: Iterable[Span], *, priced: bool = False) -> list[Prepared]:
    """Rows and compressed payloads, one item a trace; `priced` puts a price on model calls that came without.

    Traces share a payload row until it holds BUNDLE_BYTES: pages fill better and the compression has more to learn from.
    """
    groups: dict[str, list[Span]] = {}
    for span in spans:
        groups.setdefault(span.trace_id, []).append(span)
        dialects.fill(span)
        if priced:
            dialects.put_price(span)
    prepared: list[Prepared] = []
    bundle, size = Bundle(), 0
    parts: dict[str, msgspec.Raw] = {}
    for trace_id, members in groups.items():
        if size > BUNDLE_BYTES:
            bundle.data = _compress(_encoder.encode(parts))
            bundle, size, parts = Bundle(), 0, {}
        item, data = _prepare_trace(scope, trace_id, members, bundle)
        prepared.append(item)
        for span_id, part in data.items():
            parts[trace_id + span_id] = msgspec.Raw(part)
            size += len(part)
    bundle.data = _compress(_encoder.encode(parts))
    return prepared


def _prepare_trace(scope: Scope, trace_id: str, members: list[Span], bundle: Bundle) -> tuple[Prepared, dict[str, bytes]]:
    rows: list[Narrow] = []
    parts: dict[str, bytes] = {}
    refs: set[str] = set()
    search: dict[str, str] = {}
    roots = _candidates(members)
    for span in members:
        if span.capture != "full":
            strip(span)
        if span.status == "pending" and span.span_id in parts:
            continue  # the finished one came in the same message
        data = encode(_payload(span))
        rows.append(_narrow(scope, span, data))
        parts[span.span_id] = data
        refs |= dialects.refs(span)
        if span.span_id in roots:
            search[span.span_id] = _searchable(span)
    return Prepared(trace_id, rows, bundle, refs, search), parts


def _payload(span: Span) -> Payload:
    return Payload(
        span.input, span.output, span.attributes, span.events, span.kind, span.links, span.resource, span.library, span.capture
    )


def _narrow(scope: Scope, span: Span, data: bytes) -> Narrow:
    texts = [
        span.name, span.operation, span.app, span.release, span.model, span.provider, span.session, span.user, span.run,
        span.error,
    ]  # fmt: skip
    together = "".join(texts)
    if len(together) > MAX_TEXT or "\x00" in together or not together.isascii():
        texts = [text(texts[0], MAX_NAME), *(text(value) for value in texts[1:-1]), text(texts[-1], MAX_ERROR)]
    name, operation, app, release, model, provider, session, user, run, error = texts
    start_ns, duration_ns = min(span.start_ns, MAX_INT), min(span.duration_ns, MAX_INT)
    print_ = hashlib.blake2b(data, digest_size=8)
    print_.update(f"{span.parent_id}\0{name}\0{operation}\0{span.status}\0{start_ns}\0{duration_ns}\0{error}".encode())
    return Narrow(
        scope.workspace, scope.project, span.trace_id, span.span_id, span.parent_id, name, operation, span.status,
        start_ns, duration_ns, app, release, model, provider, session, user, run,
        _int(span.tokens_in), _int(span.tokens_out), _int(span.cost_nano_usd), error,
        int.from_bytes(print_.digest(), "big", signed=True),
    )  # fmt: skip


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """A column's text: PostgreSQL takes neither NUL nor half characters, and a column is short."""
    value = value if isinstance(value, str) else str(value)
    value = value[:limit]
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def _int(value: int | None) -> int | None:
    return None if value is None else max(0, min(int(value), MAX_INT))


def _candidates(members: list[Span]) -> set[str]:
    """Spans that may be the root as far as these members tell; else the ones with content that begin first."""
    if len(members) == 1:
        return {members[0].span_id}
    ids = {span.span_id for span in members}
    roots = {span.span_id for span in members if span.parent_id not in ids}
    models = sorted((span for span in members if dialects.is_model_call(span)), key=lambda span: span.start_ns)
    return roots | {span.span_id for span in models[:1]}


def _searchable(span: Span) -> str:
    given, made = dialect_messages.content(span)
    parts = [dialect_messages.readable(side, SEARCH_CHARS) for side in (given, made) if side]
    return text("\n".join(part for part in parts if part), 2 * SEARCH_CHARS + 1)


def encode(value: Any) -> bytes:
    """JSON bytes of anything: foreign objects by their `str`, half characters replaced, so that no span is lost for its form."""
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.json.encode(_plain(msgspec.to_builtins(value, enc_hook=str, str_keys=True), 60))


def _plain(value: Any, depth: int) -> Any:
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        return {_plain(str(key), 1): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return str(value).encode("utf-8", "replace").decode()


def _compress(data: bytes) -> bytes:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=3)
    return _local.compressor.compress(data)


def read_payloads(data: bytes) -> dict[str, msgspec.Raw]:
    """trace id + span id → payload, of one stored row."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    return _bundle_decoder.decode(_local.decompressor.decompress(bytes(data)))


def span_of(row: Narrow, data: msgspec.Raw) -> Span:
    """The record again, foreign content read into messages."""
    fields: dict[str, Any] = dict(zip(_COLUMNS, row[2:21], strict=True))
    span = Span(**fields, **msgspec.structs.asdict(_decoder.decode(data)))
    if span.input is None and span.output is None:
        span.input, span.output = dialect_messages.content(span)
    return span


_COLUMNS = Narrow._fields[2:21]


def strip(span: Span) -> None:
    """capture=metadata: take out what people and models said; names, numbers, ids and places stay."""
    span.input = span.output = None
    span.attributes = {key: _bare(key, value) for key, value in span.attributes.items() if not dialects.is_content(key)}
    span.events = [Event(event.name, event.at_ns) for event in span.events]


def _bare(key: str, value: Any) -> Any:
    if key != dialects.DOCUMENTS or not isinstance(value, list):
        return value
    return [{k: v for k, v in item.items() if k != "text"} for item in value if isinstance(item, dict)]
