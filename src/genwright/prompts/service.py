"""The verbs of prompts: put, get, render, compare. Versions live in the registry; no model is called here."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec

from genwright.access.types import Actor
from genwright.errors import Invalid
from genwright.messages import say
from genwright.prompts import template
from genwright.prompts.types import Change, FieldDiff, Prompt, Rendered, Variable
from genwright.registry.service import Registry
from genwright.registry.types import Version
from genwright.vocab import Ref, Scope

MAX_WORD_DIFF = 100_000
"""Characters of both texts together."""


class Prompts:
    def __init__(self, registry: Registry):
        self._registry = registry

    async def put(
        self,
        actor: Actor,
        name: str,
        content: dict[str, Any],
        *,
        note: str = "",
        expected: int | None = None,
        tags: tuple[str, ...] = (),
    ) -> Version:
        """A new version. Raises Invalid where the template cannot be parsed or uses a variable that is not declared."""
        prompt = check(content)
        plain = msgspec.to_builtins(prompt)
        return await self._registry.put(actor, "prompt", name, plain, note=note, expected=expected, tags=list(tags))

    async def get(self, scope: Scope, name: str, selector: str = "") -> Version:
        """A version by label, number or digest; the newest without."""
        return await self._registry.get(scope, Ref.parse(f"{name}@{selector}" if selector else name, "prompt"))

    async def render(self, scope: Scope, name: str, selector: str, variables: dict[str, Any]) -> Rendered:
        """A version with variables put in."""
        return render((await self.get(scope, name, selector)).content, variables)

    async def diff(self, scope: Scope, name: str, before: str, after: str) -> list[FieldDiff]:
        """What changed between two versions of a prompt, by word, field by field; equal fields are left out."""
        old, new = await self.get(scope, name, before), await self.get(scope, name, after)
        return diff(old.content, new.content)


def check(content: dict[str, Any]) -> Prompt:
    """The content as a Prompt. Raises Invalid naming the field, or the variables that are used but not declared."""
    try:
        prompt = msgspec.convert(content, Prompt)
    except msgspec.ValidationError as error:
        raise Invalid(f"This is not a prompt: {error}. Nothing was kept.", code="invalid_prompt") from error
    if not prompt.messages:
        raise Invalid("A prompt needs at least one message. Nothing was kept.", code="invalid_prompt")
    used = set().union(*(template.names(message.content) for message in prompt.messages))
    undeclared = sorted(used - set(prompt.variables))
    if undeclared:
        raise Invalid(
            f"The template uses {', '.join(undeclared)}, which 'variables' does not declare. Nothing was kept. Declare it.",
            code="undeclared_variable",
        )
    return prompt


def render(content: dict[str, Any], variables: dict[str, Any]) -> Rendered:
    """Messages and parameters of a prompt version with its variables put in. Pure.

    Raises Invalid for a missing required variable, an unknown one, or one of the wrong type.
    """
    prompt = msgspec.convert(content, Prompt)
    unknown = sorted(set(variables) - set(prompt.variables))
    if unknown:
        raise Invalid(f"The prompt has no variable {', '.join(unknown)}. It has: {', '.join(prompt.variables) or 'none'}.")
    values = {name: _value(name, variable, variables.get(name)) for name, variable in prompt.variables.items()}
    messages = [say(message.role, template.render(message.content, values)) for message in prompt.messages]
    return Rendered(messages, prompt.parameters)


_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "boolean": (bool,), "list": (list,)}


def _value(name: str, variable: Variable, given: Any) -> Any:
    value = variable.default if given is None else given
    if value is None:
        if variable.required:
            raise Invalid(f"The prompt needs a value for '{name}'{f' ({variable.description})' if variable.description else ''}.")
        return None
    if not isinstance(value, _TYPES[variable.type]) or (variable.type == "number" and isinstance(value, bool)):
        raise Invalid(f"'{name}' must be a {variable.type}, not {type(value).__name__}.")
    return value


def diff(before: dict[str, Any], after: dict[str, Any]) -> list[FieldDiff]:
    """Differences of two contents, field by field, by word."""
    old, new = _fields(before), _fields(after)
    return [
        FieldDiff(field, words(old.get(field, ""), new.get(field, "")))
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
    ]


def words(before: str, after: str) -> list[Change]:
    """Word diff: runs of equal, deleted and inserted text that join to both texts again."""
    long = len(before) + len(after) > MAX_WORD_DIFF  # matching is quadratic: long texts are compared by line
    pattern = r".*\n|.+" if long else r"\s+|\w+|[^\w\s]"
    left, right = re.findall(pattern, before), re.findall(pattern, after)
    changes = []
    for op, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=long).get_opcodes():
        if op == "equal":
            changes.append(Change("equal", "".join(left[a:b])))
            continue
        if b > a:
            changes.append(Change("delete", "".join(left[a:b])))
        if d > c:
            changes.append(Change("insert", "".join(right[c:d])))
    return changes


def _fields(value: Any, path: str = "") -> dict[str, str]:
    """Leaves of plain data by path, as text."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, part in value.items():
            found |= _fields(part, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        found = {}
        for number, part in enumerate(value):
            found |= _fields(part, f"{path}[{number}]")
        return found
    return {path: value if isinstance(value, str) else msgspec.json.encode(value).decode()}
