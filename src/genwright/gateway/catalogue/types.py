"""Records of the catalogue: a model's card, a rule on cards, and a canary's run."""

from __future__ import annotations

from typing import Any

import msgspec


class ModelCard(msgspec.Struct, frozen=True):
    """What is known of one model as this project reaches it. None or empty: not known. Conditions may ask for any field."""

    provider: str
    model: str
    operation: str = ""
    """chat or embeddings."""
    input: list[str] = []
    """Modalities it reads: text, image, audio, video, file."""
    output: list[str] = []
    """Modalities it makes: text, image, audio, video, embedding."""
    context: int | None = None
    """Tokens of input and output together."""
    max_output: int | None = None
    """Tokens of output at most."""
    usd_in: float | None = None
    """US dollars for a million input tokens, at the first price step."""
    usd_out: float | None = None
    licence: str = ""
    """Of the weights, as SPDX names it where it can; proprietary."""
    region: str = ""
    """Where it runs, as its cloud writes it (eu-central-1), or local."""
    area: str = ""
    """Of the region: eu, us, uk, asia, cn, global, local."""
    retention_days: int | None = None
    """Longest that the service keeps inputs and outputs by its standard terms; 0: not at all."""
    trains: bool | None = None
    """Whether the service may train on what is sent, by its standard terms."""
    retires: str = ""
    """Day it ends, 2026-01-05."""
    retired: bool | None = None
    """Whether that day is over; None where no day is known."""
    note: str = ""
    sources: dict[str, str] = {}
    """Field → where its value is from: own, rows, list (genai-prices), address."""


class ModelRule(msgspec.Struct, frozen=True):
    """Only models whose card says so may be called in this project."""

    name: str
    models: str
    """Names it is for, PROVIDER/MODEL with `*`."""
    condition: dict[str, Any]
    """On a card's fields, as routes write conditions: {"area": "eu", "retention_days": {"lte": 30}}."""
    created_ns: int = 0
    created_by: str = ""


class CanaryAnswer(msgspec.Struct, frozen=True):
    """One fixed prompt's answer."""

    prompt: str
    """Its name in canaries.toml."""
    text: str
    digest: str
    """sha256 of the text."""
    similarity: float | None = None
    """To the answer of the run compared with: 1 the same, 0 nothing in common; None at the first run."""
    error: str = ""


class CanaryRun(msgspec.Struct, frozen=True):
    """One run of the fixed prompts at temperature 0, compared with the run before."""

    id: str
    provider: str
    model: str
    at_ns: int
    by: str
    fingerprint: dict[str, str]
    """What the provider says it is: model (its name in answers), system_fingerprint."""
    answers: list[CanaryAnswer]
    similarity: float | None
    """Lowest of the answers'."""
    verdict: str
    """first, same, changed (its fingerprint or answers differ clearly) or failed (no answer came)."""
    why: str = ""
    """What differs, in a sentence."""
