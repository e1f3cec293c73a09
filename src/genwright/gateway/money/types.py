"""Records of money: a ledger row, a limit, what was used of it, what happened to it. Knows no storage and no call."""

from __future__ import annotations

from typing import Literal

import msgspec

CostKind = Literal["inference", "embedding", "judge", "guard", "training", "gpu_second", "storage", "labelling"]
Metric = Literal["usd", "requests", "tokens", "concurrent"]
WindowKind = Literal["second", "minute", "hour", "day", "week", "month", "total"]


class LedgerRow(msgspec.Struct, frozen=True):
    """One attempt at a provider, or another cost: what it used and cost. Order of fields = order of columns."""

    workspace: str
    project: str
    id: str
    at_ns: int
    """Begin of the attempt."""
    key: str
    """Actor's id."""
    trace: str
    span: str
    provider: str
    model: str
    operation: str
    status: str
    """ok, cancelled, blocked, cached, lost (its server died: booked as reserved) or the error's code."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    nano_usd: int | None
    """None: the price is not known."""
    estimated: bool
    """Tokens or cost were counted by us, because the provider did not say."""
    first_chunk_ns: int
    """From the begin to the first piece; 0 on plain answers."""
    duration_ns: int
    cost_kind: str = "inference"
    team: str = ""
    member: str = ""
    """Id of the member or service."""
    app: str = ""
    route: str = ""
    session: str = ""
    user: str = ""
    price_source: str = ""
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    tags: dict[str, str] | None = None
    units: dict[str, float] | None = None
    """What is no token: images, seconds, characters …"""


class UsageLine(msgspec.Struct, frozen=True):
    """Sum over ledger rows of one provider and model."""

    provider: str
    model: str
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    nano_usd: int
    unpriced: int
    """Calls whose price is not known."""


class Limit(msgspec.Struct, frozen=True):
    """How much a node of the key tree, with all below it, may use of something in a window. A budget is one in usd."""

    workspace: str
    project: str
    id: str
    node: str
    """`workspace:…`, `project:…`, `team:…`, `member:…`, `service:…` or `key:…`."""
    metric: Metric
    window: WindowKind
    """Calendar windows in `timezone`; weeks begin on Monday; `total` never ends. Empty of meaning for `concurrent`."""
    amount: int
    """Nano-dollars for usd, else a count."""
    models: str = ""
    """Only calls of models so named, `*` for any letters; empty: all."""
    hard: bool = True
    """Refuse what would exceed it; else only tell."""
    warn_at: list[int] = []
    """Percent of the amount at which an event is written."""
    timezone: str = "UTC"
    created_ns: int = 0
    created_by: str = ""


class Burn(msgspec.Struct, frozen=True):
    """A limit and what is used of it in the window that is now."""

    limit: Limit
    begins_ns: int
    ends_ns: int
    """0: never."""
    used: int
    """Settled: nano-dollars, requests or tokens; calls under way for `concurrent`."""
    held: int
    """Reserved for calls under way."""
    left: int
    per_day: float
    """Used a day of this window so far."""
    empty_ns: int
    """When it is used up at that pace; 0: not in this window."""


class LedgerHealth(msgspec.Struct, frozen=True):
    """How the ledger fares at the server that answers, since it started."""

    ok: bool
    """Nothing is lost, nothing unmetered, and nothing waits for a ledger that is away."""
    waiting: int
    """Rows not on disk yet; more than a second's worth: the ledger is away."""
    lost: int
    """Rows that could not be written; each is in the log."""
    unmetered: int
    """Calls let pass while limits could not be checked (limits_fail_open)."""
    reason: str
    """Why the ledger takes nothing, if it does not."""


class LimitEvent(msgspec.Struct, frozen=True):
    """Something that happened to a limit or under it."""

    workspace: str
    project: str
    id: str
    at_ns: int
    kind: str
    """warning (a percentage was passed), reached, outlier (a request far beyond the key's usual), lost (a server died in a call),
    unmetered (let pass while the ledger could not be written)."""
    limit_id: str
    node: str
    window_ns: int
    percent: int
    used: int
    amount: int
    message: str
