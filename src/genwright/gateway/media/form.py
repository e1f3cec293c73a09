"""multipart/form-data, in and out: fields in order, files with their names and types. Pure; everything is in memory."""

from __future__ import annotations

import io
import os
from typing import Any, NamedTuple

from genwright.gateway.wire.openai import bad


class Upload(NamedTuple):
    """A file of a form."""

    field: str
    filename: str
    content_type: str
    data: bytes


class Form(NamedTuple):
    """`fields`: name and text, a repeated name repeated; `files` in order."""

    fields: list[tuple[str, str]]
    files: list[Upload]

    def text(self, name: str, default: str = "") -> str:
        """The first field of that name."""
        return next((value for known, value in self.fields if known == name), default)

    def file(self, name: str) -> Upload | None:
        return next((file for file in self.files if file.field == name), None)

    def with_field(self, name: str, value: str) -> Form:
        """The same with one field set."""
        return Form([(known, old) for known, old in self.fields if known != name] + [(name, value)], self.files)


def read_form(body: bytes, content_type: str) -> Form:
    """Raises Invalid for a body that is no multipart form."""
    from python_multipart import parse_form
    from python_multipart.exceptions import FormParserError

    fields: list[tuple[str, str]] = []
    files: list[Upload] = []

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        name = (file.file_name or b"file").decode("utf-8", "replace")
        kind = file.content_type or "application/octet-stream"
        kind = kind.decode("latin-1") if isinstance(kind, bytes) else kind
        files.append(Upload(file.field_name.decode("utf-8", "replace"), name, kind, file.file_object.read()))
        file.close()

    def on_field(field: Any) -> None:
        fields.append((field.field_name.decode("utf-8", "replace"), (field.value or b"").decode("utf-8", "replace")))

    if not content_type.lower().startswith("multipart/form-data"):
        raise bad("", f"This takes multipart/form-data and got {content_type[:100] or 'no content type'!r}. Nothing was sent.")
    try:
        parse_form({"Content-Type": content_type.encode("latin-1", "replace")}, io.BytesIO(body), on_field, on_file)
    except (FormParserError, ValueError) as error:
        raise bad("", f"The form cannot be read: {error}. Nothing was sent.") from None
    return Form(fields, files)


def write_form(form: Form) -> tuple[str, bytes]:
    """(content type, body)."""
    boundary = "gw" + os.urandom(16).hex()
    parts: list[bytes] = []
    for name, value in form.fields:
        parts.append(_head(boundary, name) + b"\r\n\r\n" + value.encode())
    for file in form.files:
        more = f'; filename="{_quoted(file.filename)}"\r\ncontent-type: {_plain(file.content_type)}'
        parts.append(_head(boundary, file.field, more) + b"\r\n\r\n" + file.data)
    return f"multipart/form-data; boundary={boundary}", b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])


def _head(boundary: str, name: str, more: str = "") -> bytes:
    return f'--{boundary}\r\ncontent-disposition: form-data; name="{_quoted(name)}"{more}'.encode()


def _quoted(text: str) -> str:
    """As browsers write names (WHATWG HTML, multipart/form-data): nothing can end the header early."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _plain(content_type: str) -> str:
    return content_type if content_type.isprintable() and content_type.isascii() else "application/octet-stream"
