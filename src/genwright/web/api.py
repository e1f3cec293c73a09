"""JSON in and out of management routes: one decoder with typed errors, one encoder. Knows no room."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from genwright.errors import Error, Invalid, TooLarge

T = TypeVar("T")

MAX_JSON_BYTES = 20_000_000
NOSNIFF = {"x-content-type-options": "nosniff"}
"""JSON may hold anything that anybody wrote: no browser is to take it for something else."""


def reply(value: Any, status: int = 200) -> Response:
    """The value (structs, lists, dicts) as a JSON response."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json", headers=NOSNIFF)


async def read_bytes(request: Request, limit: int = MAX_JSON_BYTES) -> bytes:
    """The whole body. Raises TooLarge as soon as the limit is passed, without reading on."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise TooLarge(
                    f"The body is larger than {limit:,} bytes. Nothing was kept. Send less, or raise the limit in the settings."
                )
            parts.append(part)
    except ClientDisconnect:
        raise Invalid("The body broke off. Nothing was changed.", code="cut_body") from None
    return b"".join(parts)


async def read_body(request: Request, shape: type[T]) -> T:
    """The JSON body as `shape`. Raises Invalid naming the field that does not fit; unknown fields are refused by name."""
    data = await read_bytes(request)
    if not data:
        data = b"{}"
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not JSON: {error}. Nothing was changed.", code="invalid_json") from error
    known = getattr(shape, "__struct_fields__", None)
    if known is not None and isinstance(plain, dict):
        unknown = sorted(set(plain) - set(getattr(shape, "__struct_encode_fields__", known)))
        if unknown:
            raise Invalid(
                f"Unknown field: {', '.join(unknown[:5])}. Known: {', '.join(known)}. Nothing was changed.", code="unknown_field"
            )
    try:
        return msgspec.convert(plain, shape)
    except msgspec.ValidationError as error:
        raise Invalid(f"The body does not fit: {error}. Nothing was changed.", code="invalid_body") from error


def error_reply(error: Error) -> Response:
    """An error as REST shows it: {"error": {"code", "message", "retry", "details"}}."""
    headers = dict(NOSNIFF)
    if isinstance(error.retry, (int, float)):
        headers["retry-after"] = str(max(1, round(error.retry)))
    body = msgspec.json.encode({"error": error.as_dict()}, enc_hook=str)
    return Response(body, status_code=error.status, headers=headers, media_type="application/json")
