"""What a prompt is. The content of a prompt version is a `Prompt` as plain data."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from genwright.messages import Message


class Variable(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A declared input of a prompt."""

    type: Literal["string", "number", "boolean", "list"] = "string"
    """What may be given; a list holds objects or strings and is used with `{{#name}}…{{/name}}`."""
    description: str = ""
    required: bool = True
    """Whether rendering is refused without it (a default makes it optional)."""
    default: Any = None
    example: Any = None


class PromptMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message; `content` is a template."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Messages with variables, and the model parameters they were written for."""

    messages: list[PromptMessage]
    variables: dict[str, Variable] = {}
    parameters: dict[str, Any] = {}
    """temperature, max_tokens, top_p, stop, seed, response_format: passed to the model unless the call says otherwise."""


class Rendered(msgspec.Struct, frozen=True):
    """A prompt with its variables put in."""

    messages: list[Message]
    parameters: dict[str, Any]


class Change(msgspec.Struct, frozen=True):
    """One run of a word diff: `op` is equal, insert or delete."""

    op: Literal["equal", "insert", "delete"]
    text: str


class FieldDiff(msgspec.Struct, frozen=True):
    """How one field differs between two versions; `field` is e.g. "messages[0].content" or "parameters.temperature"."""

    field: str
    changes: list[Change]


class PutPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new version as REST takes it."""

    name: str
    content: Prompt
    note: str = ""
    expected: int | None = None
    """The newest number that the writer saw; another one there is a conflict."""
    tags: list[str] = []


class RenderPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to render: which version, with which variables."""

    name: str
    selector: str = ""
    variables: dict[str, Any] = {}
