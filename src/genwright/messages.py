"""The one message of the house, in the form of OpenTelemetry's gen_ai.input.messages and gen_ai.output.messages.

Every wire format converts to and from it by pure functions in the gateway; all other rooms use only this.
Source of the form: OpenTelemetry GenAI semantic conventions 1.41, gen-ai-input-messages.json (role, parts, type-tagged parts).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Text(msgspec.Struct, tag="text", frozen=True):
    content: str


class Media(msgspec.Struct, tag="media", frozen=True, omit_defaults=True):
    """An image, audio, video or file: inline base64, a URL that is never fetched by us unasked, or the digest of a blob."""

    modality: Literal["image", "audio", "video", "file"]
    mime_type: str = ""
    base64: str = ""
    url: str = ""
    blob: str = ""
    name: str = ""
    detail: str = ""
    """How closely an image is to be looked at: low or high, as OpenAI names it; empty: as the provider likes."""


class ToolCall(msgspec.Struct, tag="tool_call", frozen=True):
    """A call the model asks for. `arguments` is the decoded JSON, or the raw text where the model wrote no valid JSON."""

    id: str
    name: str
    arguments: Any = None


class ToolResult(msgspec.Struct, tag="tool_call_response", frozen=True):
    id: str
    response: Any = None


class Reasoning(msgspec.Struct, tag="reasoning", frozen=True, omit_defaults=True):
    """Reasoning shown by the model; `signature` must go back unchanged to the provider that made it."""

    content: str
    signature: str = ""


Part = Text | Media | ToolCall | ToolResult | Reasoning


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    role: Role
    parts: list[Part] = []
    name: str = ""
    finish_reason: str = ""

    @property
    def text(self) -> str:
        """All text parts together."""
        return "".join(part.content for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [part for part in self.parts if isinstance(part, ToolCall)]


def say(role: Role, text: str) -> Message:
    """A message of one text part."""
    return Message(role, [Text(text)])


def system(text: str) -> Message:
    return say("system", text)


def user(text: str) -> Message:
    return say("user", text)


def assistant(text: str) -> Message:
    return say("assistant", text)


def plain(messages: list[Message]) -> str:
    """The conversation as readable text, for search, hashing and display."""
    return "\n\n".join(f"{message.role}: {message.text}" for message in messages)
