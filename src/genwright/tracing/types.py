"""The records of tracing: a span, a trace with its roll-up, a score, and the answers of why, impact and statistics."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Source = Literal["metric", "judge", "guard", "person", "user"]
Status = Literal["ok", "error", "pending"]


class Event(msgspec.Struct, omit_defaults=True):
    """Something that happened at one moment inside a span."""

    name: str
    at_ns: int
    attributes: dict[str, Any] = {}


class Span(msgspec.Struct, kw_only=True):
    """One piece of work. Columns first (searchable), then the payload (stored compressed).

    `input` and `output` of foreign spans are read from their attributes in whichever dialect they came; the attributes stay
    as they were sent.
    """

    trace_id: str
    """32 lower-case hex digits."""
    span_id: str
    """16 lower-case hex digits."""
    parent_id: str = ""
    name: str = ""
    operation: str = ""
    """chat, text_completion, embeddings, retrieval, execute_tool, invoke_agent, render_prompt, guard, evaluate, http, …"""
    status: Status = "ok"
    """pending: it has begun and its end has not been received."""
    start_ns: int = 0
    duration_ns: int = 0
    app: str = ""
    release: str = ""
    """release:NAME@sha256:…"""
    model: str = ""
    provider: str = ""
    session: str = ""
    user: str = ""
    run: str = ""
    """Evaluation run id."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_nano_usd: int | None = None
    """None: unknown, which is not the same as free."""
    error: str = ""
    """Type and message of the failure."""
    input: Any = None
    output: Any = None
    attributes: dict[str, Any] = {}
    events: list[Event] = []
    kind: str = ""
    """internal, server, client, producer, consumer; empty where not said."""
    links: list[dict[str, Any]] = []
    resource: dict[str, Any] = {}
    """What sent it: service.name and the like; empty for own spans."""
    library: str = ""
    """The instrumentation that made it."""
    capture: str = "full"
    """full, or metadata: input, output and events were not recorded."""


class Score(msgspec.Struct, kw_only=True):
    """A judgement on a trace or one of its spans. The same name by the same author replaces the earlier one."""

    trace_id: str
    span_id: str = ""
    """Empty: the whole trace."""
    name: str
    value: float | None = None
    text: str = ""
    """A label instead of a number ("correct", "off-topic")."""
    source: Source = "metric"
    comment: str = ""
    by: str = ""
    """Id of who gave it."""
    run: str = ""
    at_ns: int = 0


class TraceRow(msgspec.Struct, kw_only=True):
    """One line of the list: what is known of all spans of a trace together, exact also when spans come late."""

    trace_id: str
    name: str = ""
    """Name of the root; where it has not come, of the earliest span whose parent is not here."""
    status: Status = "ok"
    start_ns: int = 0
    duration_ns: int = 0
    spans: int = 0
    errors: int = 0
    """Spans that failed."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_nano_usd: int = 0
    """A span that repeats its children's usage is not counted twice: each span counts the larger of its own and theirs."""
    app: str = ""
    release: str = ""
    model: str = ""
    session: str = ""
    user: str = ""
    run: str = ""
    search: str = ""
    """Beginning of the root's input and output as text."""


class Trace(msgspec.Struct, kw_only=True):
    """One trace: roll-up, spans by start (parents first at equal times), scores."""

    row: TraceRow
    spans: list[Span]
    scores: list[Score]


class TraceFilter(msgspec.Struct, kw_only=True):
    """What to list. Empty fields do not filter."""

    app: str = ""
    model: str = ""
    status: str = ""
    release: str = ""
    """release:NAME@sha256:… or the digest alone."""
    session: str = ""
    user: str = ""
    run: str = ""
    text: str = ""
    """Part of the beginning (200 characters each) of the root's input or output. The case of ASCII letters is ignored; of others
    on PostgreSQL only."""
    since_ns: int = 0
    until_ns: int = 0
    min_cost_nano_usd: int = 0
    score: str = ""
    """`name`, or `name op value` with op one of < <= = >= >, e.g. `groundedness < 0.5`."""


class TracePage(msgspec.Struct):
    """`next` goes on where this page ends; a page may be short of `limit` and still have a next (the scan is bounded)."""

    items: list[TraceRow]
    next: str | None = None


class WhyNode(msgspec.Struct, kw_only=True):
    """One cause of an answer."""

    id: str
    kind: str
    """answer, release, prompt, index, corpus, passage, embedding_model, model, policy, guard, run, …"""
    title: str
    ref: str = ""
    href: str = ""
    """Page of it, relative to /w/{workspace}; empty where there is none."""
    facts: dict[str, Any] = {}


class WhyEdge(msgspec.Struct):
    """`source` follows from `target`."""

    source: str
    target: str
    relation: str


class WhyPassage(msgspec.Struct, kw_only=True):
    """A retrieved passage with its place in its document. `start` and `end` are character offsets."""

    n: int
    id: str = ""
    document: str = ""
    name: str = ""
    title: str = ""
    heading: str = ""
    start: int = 0
    end: int = 0
    score: float | None = None
    scores: dict[str, Any] = {}
    text: str = ""
    cited: bool = False


class Why(msgspec.Struct, kw_only=True):
    """Everything that led to an answer, as a graph and as flat sections."""

    trace: TraceRow
    input: Any = None
    output: Any = None
    release: dict[str, Any] | None = None
    """ref, number, created, promoted: [{label, by, at_ns, note}]"""
    prompts: list[dict[str, Any]] = []
    indexes: list[dict[str, Any]] = []
    """index version, its corpus and embedding model, mode, k, query"""
    passages: list[WhyPassage] = []
    models: list[dict[str, Any]] = []
    """One per model call: route, model, provider, parameters, tokens, cost, duration, status."""
    guards: list[dict[str, Any]] = []
    scores: list[Score] = []
    errors: list[dict[str, Any]] = []
    missing: list[str] = []
    """Parts that are not known, each with the reason."""
    nodes: list[WhyNode] = []
    edges: list[WhyEdge] = []


class ImpactVersion(msgspec.Struct, kw_only=True):
    """A version that depends on the thing asked about, directly (`depth` 1) or through others."""

    ref: str
    kind: str
    name: str
    number: int
    relation: str
    depth: int
    labels: list[str] = []


class Impact(msgspec.Struct, kw_only=True):
    """What a document, prompt, model … has touched."""

    ref: str
    versions: list[ImpactVersion]
    releases: list[ImpactVersion]
    traces: int
    """Answers (traces) in which it took part; counting stops at `counted_to`."""
    counted_to: int
    items: list[TraceRow]
    """Newest first."""
    next: str | None = None


class Hour(msgspec.Struct, kw_only=True):
    """Traffic of one hour. Durations in nanoseconds, exact quantiles (nearest rank) of finished traces."""

    start_ns: int
    calls: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_nano_usd: int = 0
    p50_ns: int = 0
    p95_ns: int = 0


class Traffic(msgspec.Struct, kw_only=True):
    """`by` is the app or the model."""

    name: str
    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0


class Stats(msgspec.Struct, kw_only=True):
    since_ns: int
    total: Hour
    hours: list[Hour]
    """Hours with traffic, oldest first."""
    models: list[Traffic]
    apps: list[Traffic]
