"""What a page's form sends and where it goes next: urlencoded fields in, redirects and addresses out. Knows no room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from genwright.errors import Invalid
from genwright.web.api import read_bytes

MAX_FORM_BYTES = 2_000_000


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form (application/x-www-form-urlencoded), trimmed of nothing; of equal names the last counts.

    Line ends come as CRLF from browsers and are made LF. Raises Invalid, TooLarge.
    """
    data = await read_bytes(request, MAX_FORM_BYTES)
    try:
        fields = parse_qsl(
            data.decode(), keep_blank_values=True, strict_parsing=bool(data), errors="strict", max_num_fields=2_000
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise Invalid(f"The form cannot be read: {error}. Nothing was changed.", code="invalid_form") from error
    return {name: value.replace("\r\n", "\n") for name, value in fields}


def go(address: str) -> Response:
    """To another page, after a form was accepted."""
    return RedirectResponse(address, 303)


def address(path: str, fields: Mapping[str, Any]) -> str:
    """`path` with the fields that are not empty as its query."""
    query = urlencode({name: value for name, value in fields.items() if value not in ("", None)})
    return f"{path}?{query}" if query else path
