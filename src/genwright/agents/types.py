"""What an app is, what a release resolves it to, and what a replay reports. The content of an app version is an `App`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from genwright.registry.types import Version


class GuardStep(msgspec.Struct, tag="guard", frozen=True, forbid_unknown_fields=True):
    """Run the policy's rail on what stands at this point: the question, the passages or the answer."""

    id: str
    rail: Literal["input", "passages", "output"]


class RetrieveStep(msgspec.Struct, tag="retrieve", frozen=True, forbid_unknown_fields=True):
    """Find passages for the question."""

    id: str
    index: str
    """Ref of an index version, e.g. `index:python-docs@production`."""
    mode: Literal["vector", "text", "hybrid"] = "hybrid"
    k: int = 5
    """How many passages, 1–50."""


class PromptStep(msgspec.Struct, tag="prompt", frozen=True, forbid_unknown_fields=True):
    """Hand a prompt with `question`, `passages` and `history` to the model step; rendered once per attempt."""

    id: str
    prompt: str


class ModelStep(msgspec.Struct, tag="model", frozen=True, forbid_unknown_fields=True):
    """Ask a model, through the gateway."""

    id: str
    model: str
    parameters: dict[str, Any] = {}


Step = GuardStep | RetrieveStep | PromptStep | ModelStep


class App(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A chain as data. Steps run in their order; each is a span."""

    steps: list[Step]
    description: str = ""
    policy: str = ""
    """Ref of the policy that guard steps apply; empty: they let everything pass."""


class Resolved(msgspec.Struct, frozen=True):
    """An app with every ref pinned: what a call runs."""

    ref: str
    """`release:NAME@sha256:…`, or `app:NAME@sha256:…` for a draft."""
    digest: str
    name: str
    number: int
    app: App
    app_ref: str
    pins: dict[str, Version]
    """Ref as the app writes it → the version it stands for."""


class Passage(msgspec.Struct, frozen=True):
    """A passage as the caller sees it, numbered as it is cited."""

    n: int
    title: str
    name: str
    heading: str
    start: int
    end: int
    document: str
    text: str


class ReplayRun(msgspec.Struct, frozen=True):
    """One run of a replay, and how it differs from the recording."""

    trace_id: str
    text: str
    equal: bool
    """Whether the text is byte for byte the recorded one."""
    similarity: float
    """Share of words in common with the recorded answer (token F1), 0–1."""
    grounded: float | None
    """Share of the answer's words that stand in its passages, 0–1; None without passages."""
    cost_nano_usd: int | None
    duration_ms: float
    passages: list[str]
    """Names of the documents of the passages used."""
    error: str = ""


class Spread(msgspec.Struct, frozen=True):
    """Distribution of one figure over the runs, with a 95 % interval of its mean where there are at least two."""

    mean: float
    smallest: float
    largest: float
    low: float | None = None
    high: float | None = None


class ReplayReport(msgspec.Struct, frozen=True):
    """What a replay found. `recorded` never calls anything; `changed` and `live` do."""

    trace_id: str
    mode: Literal["recorded", "changed", "live"]
    release: str
    recorded: str
    """The recorded answer."""
    runs: list[ReplayRun]
    changes: dict[str, str]
    fed: list[str]
    """Steps that were fed their recorded output."""
    called: list[str]
    """Steps that ran again."""
    distinct: int
    """How many different texts came out."""
    spread: dict[str, Spread]
    """similarity, grounded, duration_ms over the runs."""
    notes: list[str]
    """What was missing or assumed, in words."""


class PutApp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new app version as REST takes it."""

    name: str
    content: App
    note: str = ""
    expected: int | None = None


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to replay a trace."""

    mode: Literal["recorded", "changed", "live"] = "recorded"
    n: int = 1
    set: dict[str, str] = {}
    """Changes: prompt, index, model, policy, mode, k, or STEP.FIELD → new value."""
