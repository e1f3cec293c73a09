"""A prompt as a page shows and edits it: templates in pieces, variables marked; forms to contents. Pure; knows no HTML."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.prompts import template

_TAG = re.compile(r"\{\{[^{}]*\}\}")
MAX_MESSAGES = 50


class Piece(msgspec.Struct, frozen=True):
    """A run of a template: plain text, a variable, or a section's mark."""

    text: str
    kind: str = ""
    """"" is text; variable; section."""


def pieces(text: str) -> list[Piece]:
    """The template in its order; joined, the pieces are the text again."""
    found, at = [], 0
    for match in _TAG.finditer(text):
        if match.start() > at:
            found.append(Piece(text[at : match.start()]))
        sign = match.group()[2:].lstrip()[:1]
        found.append(Piece(match.group(), "section" if sign and sign in "#^/!" else "variable"))
        at = match.end()
    if at < len(text):
        found.append(Piece(text[at:]))
    return found


def pretty(value: Any) -> str:
    """Plain data as JSON to read and edit."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def content_of(form: dict[str, str]) -> dict[str, Any]:
    """A prompt's content from the fields of its form: `role-N`, `content-N`, `variables`, `parameters`.

    Messages without text are left out. Variables the templates use and nobody declared are declared as plain strings.
    Raises Invalid naming the field whose JSON cannot be read.
    """
    messages = []
    for number in range(MAX_MESSAGES):
        text = form.get(f"content-{number}", "")
        if text.strip():
            messages.append({"role": form.get(f"role-{number}", "user"), "content": text})
    variables = _object(form.get("variables", ""), "variables")
    for message in messages:
        for name in sorted(template.names(message["content"])):
            variables.setdefault(name, {"type": "string"})
    return {"messages": messages, "variables": variables, "parameters": _object(form.get("parameters", ""), "parameters")}


def values_of(form: dict[str, str], variables: dict[str, Any]) -> dict[str, Any]:
    """Values for a rendering from the fields `variable-NAME`; empty ones are left out, lists and numbers are JSON."""
    values: dict[str, Any] = {}
    for name, declared in variables.items():
        given = form.get(f"variable-{name}", "")
        if not given.strip():
            continue
        if declared.get("type", "string") == "string":
            values[name] = given
        else:
            values[name] = _json(given, name)
    return values


def _object(text: str, field: str) -> dict[str, Any]:
    found = _json(text, field) if text.strip() else {}
    if not isinstance(found, dict):
        raise Invalid(f"'{field}' must be a JSON object, as in {{}}. Nothing was kept.", field=field)
    return found


def _json(text: str, field: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"'{field}' is not JSON: {error}. Nothing was kept.", field=field) from error
