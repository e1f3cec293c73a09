"""Logic-less templates: a small part of Mustache, with no attribute access, no calls, no partials and no HTML escaping.

    {{name}}                    the value; numbers and lists as JSON
    {{#items}} … {{/items}}     once for each item of a list (its fields, or {{.}} for a plain item), or once if true
    {{^items}} … {{/items}}     once if the value is missing, empty or false
    {{! a note }}               nothing

Values are data: they are never read as templates. Source of the syntax: mustache(5).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from genwright.errors import Invalid, TooLarge

MAX_OUTPUT = 1_000_000
MAX_DEPTH = 8
_TAG = re.compile(r"\{\{([#^/!]?)\s*([^{}]*?)\s*\}\}")
_NAME = re.compile(r"^(\.|[A-Za-z_][A-Za-z0-9_-]{0,63})$")
_BLOCK_LINE = re.compile(r"(?m)^[ \t]*(\{\{[#^/!][^{}]*\}\})[ \t]*\n")

# A parsed template: text, ("value", name) or ("section"|"inverted", name, nodes).
Node = str | tuple[str, str] | tuple[str, str, tuple[Any, ...]]


@lru_cache(maxsize=512)
def parse(text: str) -> tuple[Node, ...]:
    """The template as nodes. Raises Invalid with the line of the first mistake."""
    source = _BLOCK_LINE.sub(r"\1", text)  # a tag alone on its line takes the line's end with it, as in Mustache
    stack: list[tuple[str, str, list[Node]]] = [("", "", [])]
    at = 0
    for match in _TAG.finditer(source):
        if match.start() > at:
            stack[-1][2].append(source[at : match.start()])
        at = match.end()
        sign, name = match.groups()
        if sign == "!":
            continue
        if not _NAME.match(name):
            raise Invalid(
                f"{{{{{name}}}}} in the template is not a variable name.{_line(text, match.group())}", code="bad_template"
            )
        if sign in ("#", "^"):
            if len(stack) > MAX_DEPTH:
                raise Invalid(f"The template nests more than {MAX_DEPTH} sections.", code="bad_template")
            stack.append(("section" if sign == "#" else "inverted", name, []))
        elif sign == "/":
            kind, opened, nodes = stack[-1]
            if opened != name or not kind:
                raise Invalid(
                    f"{{{{/{name}}}}} closes a section that is not open.{_line(text, match.group())}", code="bad_template"
                )
            stack.pop()
            stack[-1][2].append((kind, name, tuple(nodes)))
        else:
            stack[-1][2].append(("value", name))
    if len(stack) > 1:
        raise Invalid(f"The section {{{{#{stack[-1][1]}}}}} is never closed.", code="bad_template")
    stack[0][2].append(source[at:])
    return tuple(node for node in stack[0][2] if node)


def names(text: str) -> set[str]:
    """The variables a template uses at its top level and in conditions; not the fields of list items."""
    found: set[str] = set()
    for node in parse(text):
        if not isinstance(node, str):
            found.add(node[1])
            if node[0] == "inverted":
                found |= _names(node[2])  # type: ignore[misc]
    return found - {"."}


def _names(nodes: tuple[Node, ...]) -> set[str]:
    return {node[1] for node in nodes if not isinstance(node, str)}


def render(text: str, variables: dict[str, Any]) -> str:
    """The template with its variables put in; a name that is not given renders as nothing."""
    out: list[str] = []
    _render(parse(text), [variables], out, [0])
    return "".join(out)


def _render(nodes: tuple[Node, ...], scopes: list[Any], out: list[str], size: list[int]) -> None:
    for node in nodes:
        if isinstance(node, str):
            _emit(node, out, size)
        elif node[0] == "value":
            _emit(_text(_look(node[1], scopes)), out, size)
        else:
            value = _look(node[1], scopes)
            inner = node[2]  # type: ignore[misc]
            if node[0] == "inverted":
                if not value:
                    _render(inner, scopes, out, size)
            elif isinstance(value, list):
                for item in value:
                    _render(inner, [*scopes, item], out, size)
            elif value:
                _render(inner, [*scopes, value], out, size)


def _emit(text: str, out: list[str], size: list[int]) -> None:
    size[0] += len(text)
    if size[0] > MAX_OUTPUT:
        raise TooLarge(
            f"The rendered prompt is longer than {MAX_OUTPUT:,} characters. Nothing was sent. Pass fewer or shorter values."
        )
    out.append(text)


def _look(name: str, scopes: list[Any]) -> Any:
    if name == ".":
        return scopes[-1]
    for scope in reversed(scopes):
        if isinstance(scope, dict) and name in scope:
            return scope[name]
    return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _line(text: str, tag: str) -> str:
    return f" It is in line {text[: text.index(tag)].count(chr(10)) + 1}." if tag in text else ""
