"""The faces and the provider dialects that are compared: how a request is read, and what writes it for a provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from genwright.gateway.faces import anthropic, gemini, openai, responses
from genwright.gateway.providers.base import Dialect
from genwright.gateway.providers.table import DIALECTS
from genwright.gateway.types import Call


def _encoded(read: Callable[[bytes], Any]) -> Callable[[dict[str, Any]], Call]:
    return lambda body: read(msgspec.json.encode(body)).call


FACES: dict[str, Callable[[dict[str, Any]], Call]] = {
    "openai": _encoded(openai.read_request),
    "responses": _encoded(responses.read_request),
    "anthropic": _encoded(anthropic.read_request),
    "gemini": _encoded(lambda body: gemini.read_request("p/m", body, False)),
}
"""Dialect → a decoded request body as a Call."""
TITLES = {
    "openai": "OpenAI Chat Completions",
    "responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini generateContent",
    "bedrock": "Bedrock Converse",
}


def providers() -> dict[str, Dialect]:
    """Provider dialects by name."""
    return {name: DIALECTS.make(name) for name in ("openai", "responses", "anthropic", "gemini", "bedrock")}
