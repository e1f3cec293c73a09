"""OTLP/HTTP trace intake: protobuf and JSON to spans and back to answers. No SQL, no meaning of attributes.

Source: OTLP specification 1.9 (encodings, partial success, retryable status codes), opentelemetry-proto trace/v1. In JSON, ids
are hex and field names lowerCamelCase; unknown fields are ignored. A malformed span is rejected alone and counted; a body that
cannot be read at all is a 400 with a google.rpc.Status in the caller's encoding. Protobuf and JSON take the same way through
one small reader each, so that both reject the same things.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from genwright.errors import Error, Invalid, TooLarge
from genwright.tracing.types import Event, Span, Status

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_INT = 2**63 - 1
MAX_DEPTH = 60
MAX_REASONS = 5
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_HEX = frozenset("0123456789abcdef")


class Batch(msgspec.Struct):
    """What a message held: good spans, and how many were refused with the first reasons."""

    spans: list[Span] = []
    rejected: int = 0
    reasons: list[str] = []

    def refuse(self, reason: str) -> None:
        self.rejected += 1
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(reason)


class Unsupported(Invalid):
    status = 415
    default_code = "unsupported_media_type"


def media_type(content_type: str) -> str:
    """PROTOBUF or JSON; raises Unsupported (415)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in (PROTOBUF, "application/protobuf"):
        return PROTOBUF
    if kind == JSON:
        return JSON
    raise Unsupported(f"'{kind[:80]}' is not taken here. Nothing was kept. Send {PROTOBUF} or {JSON}.")


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its compression; never more than `limit` bytes in memory. Raises Invalid, TooLarge."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Unsupported(f"Content-Encoding '{encoding[:40]}' is not taken here. Nothing was kept. Send gzip or none.")
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise Invalid(f"The body is not {encoding}: {error}. Nothing was kept.", code="bad_encoding") from error
    if len(data) > limit:
        raise TooLarge(f"The body unpacks to more than {limit:,} bytes. Nothing was kept. Send smaller batches.")
    if not stream.eof:
        raise Invalid("The body's compression ends in the middle. Nothing was kept. Send it again.", code="bad_encoding")
    return data


def read(body: bytes, kind: str, now_ns: int) -> Batch:
    """Spans of an ExportTraceServiceRequest. Raises Invalid where the message as a whole cannot be read."""
    batch = Batch()
    if kind == PROTOBUF:
        _read_protobuf(body, batch, now_ns)
    else:
        _read_json(body, batch, now_ns)
    return batch


# -- protobuf


def _read_protobuf(body: bytes, batch: Batch, now_ns: int) -> None:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not an ExportTraceServiceRequest: {error}. Nothing was kept.", code="bad_protobuf") from error
    for resource_spans in request.resource_spans:
        resource = _pairs(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            library = _library(scope_spans.scope.name, scope_spans.scope.version)
            for raw in scope_spans.spans:
                _take(batch, _protobuf_span, raw, resource, library, now_ns)


def _take(batch: Batch, make: Callable[..., Span], raw: Any, resource: dict[str, Any], library: str, now_ns: int) -> None:
    try:
        batch.spans.append(make(raw, resource, library, now_ns))
    except (_Bad, ValueError, TypeError, OverflowError, RecursionError) as error:
        batch.refuse(str(error))


class _Bad(Exception):
    """Why one span is refused."""


def _protobuf_span(raw: Any, resource: dict[str, Any], library: str, now_ns: int) -> Span:
    status = raw.status
    return _span(
        (raw.trace_id.hex(), raw.span_id.hex(), raw.parent_span_id.hex()),
        (raw.start_time_unix_nano, raw.end_time_unix_nano, now_ns),
        status.code == 2,
        status.message,
        name=raw.name,
        kind=_KINDS[raw.kind] if 0 <= raw.kind < len(_KINDS) else "",
        attributes=_pairs(raw.attributes),
        events=[Event(event.name, min(event.time_unix_nano, MAX_INT), _pairs(event.attributes)) for event in raw.events],
        links=[
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), "attributes": _pairs(link.attributes)}
            for link in raw.links
        ],
        resource=resource,
        library=library,
    )


def _pairs(attributes: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":  # nearly all are
        return value.string_value
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _pairs(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        return _finite(value.double_value)
    return None if kind is None else getattr(value, kind)


def _finite(number: float) -> float | str:
    """JSON has no NaN or infinity; they are kept as text."""
    return number if number - number == 0 else str(number)


# -- JSON


class _Scope(msgspec.Struct):
    scope: Any = None
    spans: list[msgspec.Raw] = []


class _Resource(msgspec.Struct, rename="camel"):
    resource: Any = None
    scope_spans: list[_Scope] = []


class _Message(msgspec.Struct, rename="camel"):
    resource_spans: list[_Resource] = []


def _read_json(body: bytes, batch: Batch, now_ns: int) -> None:
    """Spans are decoded one by one, so that a large message does not hold the interpreter; an odd message goes the loose way."""
    try:
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_loosely(body, batch, now_ns)
    for resource_spans in message.resource_spans:
        resource = _json_attributes(resource_spans.resource, batch)
        for scope_spans in resource_spans.scope_spans:
            library = _json_library(scope_spans.scope)
            for raw in scope_spans.spans:
                _take(batch, _raw_span, raw, resource, library, now_ns)


def _raw_span(raw: msgspec.Raw, resource: dict[str, Any], library: str, now_ns: int) -> Span:
    try:
        return _json_span(msgspec.json.decode(raw), resource, library, now_ns)
    except msgspec.DecodeError as error:
        raise _Bad(f"a span is not JSON: {error}") from None


def _json_library(scope: Any) -> str:
    return _library(str(scope.get("name") or ""), str(scope.get("version") or "")) if isinstance(scope, dict) else ""


def _read_loosely(body: bytes, batch: Batch, now_ns: int) -> None:
    try:
        message = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not JSON: {error}. Nothing was kept.", code="bad_json") from error
    if not isinstance(message, dict) or not isinstance(message.get("resourceSpans") or [], list):
        raise Invalid(
            "The body is not an ExportTraceServiceRequest: resourceSpans must be a list. Nothing was kept.", code="bad_json"
        )
    for resource_spans in _dicts(message, "resourceSpans", batch):
        resource = _json_attributes(resource_spans.get("resource"), batch)
        for scope_spans in _dicts(resource_spans, "scopeSpans", batch):
            library = _json_library(scope_spans.get("scope"))
            for raw in _list(scope_spans, "spans", batch):
                _take(batch, _json_span, raw, resource, library, now_ns)


def _list(holder: dict[str, Any], key: str, batch: Batch) -> list[Any]:
    found = holder.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        batch.refuse(f"{key} is not a list")
        return []
    return found


def _dicts(holder: dict[str, Any], key: str, batch: Batch) -> list[dict[str, Any]]:
    found = _list(holder, key, batch)
    for item in found:
        if not isinstance(item, dict):
            batch.refuse(f"an item of {key} is not an object")
    return [item for item in found if isinstance(item, dict)]


def _json_attributes(holder: Any, batch: Batch) -> dict[str, Any]:
    try:
        return _json_pairs(holder.get("attributes")) if isinstance(holder, dict) else {}
    except _Bad:
        return {}  # a resource's malformed attribute costs no span


def _json_span(raw: Any, resource: dict[str, Any], library: str, now_ns: int) -> Span:
    if not isinstance(raw, dict):
        raise _Bad("a span is not an object")
    status = raw.get("status") or {}
    if not isinstance(status, dict):
        raise _Bad("status is not an object")
    kind = _json_int(raw.get("kind"), "kind", _KIND_NAMES)
    start = _json_int(raw.get("startTimeUnixNano"), "startTimeUnixNano")
    end = _json_int(raw.get("endTimeUnixNano"), "endTimeUnixNano")
    return _span(
        (_json_id(raw, "traceId"), _json_id(raw, "spanId"), _json_id(raw, "parentSpanId")),
        (start, end, now_ns),
        _json_int(status.get("code"), "status.code", _STATUS_NAMES) == 2,
        str(status.get("message") or ""),
        name=_json_text(raw.get("name"), "name"),
        kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else "",
        attributes=_json_pairs(raw.get("attributes")),
        events=[_json_event(event) for event in _json_list(raw.get("events"), "events")],
        links=[_json_link(link) for link in _json_list(raw.get("links"), "links")],
        resource=resource,
        library=library,
    )


_KIND_NAMES = {f"SPAN_KIND_{name.upper() or 'UNSPECIFIED'}": number for number, name in enumerate(_KINDS)}
_STATUS_NAMES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def _json_event(event: Any) -> Event:
    if not isinstance(event, dict):
        raise _Bad("an event is not an object")
    at_ns = _json_int(event.get("timeUnixNano"), "timeUnixNano")
    return Event(_json_text(event.get("name"), "name"), min(at_ns, MAX_INT), _json_pairs(event.get("attributes")))


def _json_link(link: Any) -> dict[str, Any]:
    if not isinstance(link, dict):
        raise _Bad("a link is not an object")
    ids = {"trace_id": _json_id(link, "traceId"), "span_id": _json_id(link, "spanId")}
    return {**ids, "attributes": _json_pairs(link.get("attributes"))}


def _json_list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Bad(f"{what} is not a list")
    return value


def _json_id(holder: dict[str, Any], key: str) -> str:
    return _json_text(holder.get(key), key).lower()


def _json_text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Bad(f"{what} is not text")
    return value


def _json_int(value: Any, what: str, names: dict[str, int] | None = None) -> int:
    """64-bit numbers come as decimal text in JSON; plain numbers are taken too, and enum names where there are some."""
    if value is None or value == "":
        return 0
    if names and value in names:
        return names[value]
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 21:
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and 0 <= value < 2**64:
        return int(value)
    raise _Bad(f"{what} is not a number of at most 64 bits")


def _json_pairs(attributes: Any, depth: int = 0) -> dict[str, Any]:
    pairs = {}
    for pair in _json_list(attributes, "attributes"):
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise _Bad("an attribute is not {key, value}")
        pairs[pair["key"]] = _json_value(pair.get("value"), depth + 1)
    return pairs


def _json_value(value: Any, depth: int) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        raise _Bad("an attribute's value is not an AnyValue" if depth <= MAX_DEPTH else "an attribute is nested too deep")
    for kind, inner in value.items():
        if kind in ("stringValue", "boolValue", "bytesValue"):
            return inner
        if kind == "intValue":
            try:
                return int(inner)
            except (TypeError, ValueError, OverflowError):
                raise _Bad("intValue is not a number") from None
        if kind == "doubleValue":
            return _finite(float(inner)) if isinstance(inner, (int, float)) else str(inner)
        if kind == "arrayValue" and isinstance(inner, dict):
            return [_json_value(item, depth + 1) for item in _json_list(inner.get("values"), "arrayValue.values")]
        if kind == "kvlistValue" and isinstance(inner, dict):
            return _json_pairs(inner.get("values"), depth + 1)
    return None


# -- both


def _library(name: str, version: str) -> str:
    return f"{name} {version}".strip()


def _span(ids: tuple[str, str, str], times: tuple[int, int, int], failed: bool, message: str, **rest: Any) -> Span:
    trace_id, span_id, parent_id = ids
    for what, value, size in (("trace id", trace_id, 32), ("span id", span_id, 16)):
        if len(value) != size or not _HEX.issuperset(value) or not value.strip("0"):
            raise _Bad(f"a {what} is not {size // 2} bytes, or all zero: {value[:40]!r}")
    if len(parent_id) != 16 or not _HEX.issuperset(parent_id):
        if parent_id:
            raise _Bad(f"a parent span id is not 8 bytes: {parent_id[:40]!r}")
    elif not parent_id.strip("0"):
        parent_id = ""
    start, end, now_ns = times
    if max(start, end) > MAX_INT:
        raise _Bad("a span's time is beyond the year 2262")
    status: Status = "error" if failed else "ok" if end else "pending"
    start = start or end or now_ns
    span = Span(trace_id=trace_id, span_id=span_id, parent_id=parent_id, start_ns=start, duration_ns=max(0, end - start), **rest)
    span.status = status
    if failed:
        span.error = message or _exception(span.events)
    return span


def _exception(events: list[Event]) -> str:
    for event in reversed(events):
        if event.name == "exception":
            parts = (event.attributes.get("exception.type"), event.attributes.get("exception.message"))
            return ": ".join(str(part) for part in parts if part)
    return ""


# -- answers

Answer = tuple[int, dict[str, str], bytes]


def accepted(kind: str, batch: Batch, note: str = "") -> Answer:
    """200, with partial success where spans were refused."""
    message = note
    if batch.rejected:
        message = f"{batch.rejected} of {batch.rejected + len(batch.spans)} spans were refused: " + "; ".join(batch.reasons)
    if kind == PROTOBUF:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        response = ExportTraceServiceResponse()
        if message:
            response.partial_success.rejected_spans = batch.rejected
            response.partial_success.error_message = message.encode("utf-8", "replace").decode()
        return 200, {"content-type": PROTOBUF}, response.SerializeToString()
    partial = {"rejectedSpans": str(batch.rejected), "errorMessage": message.encode("utf-8", "replace").decode()}
    return 200, {"content-type": JSON}, msgspec.json.encode({"partialSuccess": partial} if message else {})


_RPC_CODES = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}


def refused(kind: str, error: Error) -> Answer:
    """An error as google.rpc.Status in the caller's encoding; Retry-After where it may be sent again."""
    headers = {"content-type": kind}
    if isinstance(error.retry, (int, float)):
        headers["retry-after"] = str(max(1, round(error.retry)))
    text = error.message.encode("utf-8", "replace").decode()
    code = _RPC_CODES.get(error.status, 13)
    if kind == PROTOBUF:
        return error.status, headers, _rpc_status(code, text.encode())
    return error.status, headers, msgspec.json.encode({"code": code, "message": text})


def _rpc_status(code: int, message: bytes) -> bytes:
    """google.rpc.Status in protobuf: code is field 1, message field 2 (its Python class is in no package we depend on)."""
    size, length = len(message), b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((8, code, 18)) + length + bytes((size,)) + message
