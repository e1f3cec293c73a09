"""Records of routing: who is asked next (Candidate), how it went (Outcome), the walk between them, and what the pages show.

The flow of a call runs attempts and tells the walk how they ended; the walk says who is next. Knows no wire format and no money.

    walk = await router.walk(actor, "route/support", call)
    candidate = await walk.next(None)
    while candidate is not None:
        outcome = ... one attempt ...            # Outcome(candidate, answer or error, …)
        candidate = await walk.next(outcome)     # after a success: None, or a further candidate (a cascade escalates)
    if walk.result is None: raise walk.error     # never None then
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from genwright.gateway.types import Answer, Chunk


class Candidate(msgspec.Struct, frozen=True):
    """One provider and model to ask, and how."""

    provider: str
    model: str
    """As the provider names it."""
    step: str = "root"
    """Where in the route's tree it stands: `root.nodes[1].arms[0].node`."""
    parameters: dict[str, Any] = {}
    """Laid over the call's parameters, under OpenAI's names; None takes one away."""
    timeout_s: float | None = None
    """For this attempt; the call's deadline may be nearer."""
    first_chunk_s: float | None = None
    """Longest wait for the first piece; None: only `timeout_s` counts."""
    hold_back: bool = False
    """The answer is judged before the client gets a byte: collect it whole and put the chunks into the Outcome."""
    shadows: tuple[Candidate, ...] = ()
    """Asked beside this one, never awaited; each has its own span (genwright.shadow) and ledger row."""
    hedge: Candidate | None = None
    """Asked too if this one gave nothing for `hedge_after_s` and `walk.may_hedge(candidate)` allows; the first answer counts,
    the other is cancelled and both are billed. Only before the first chunk went out."""
    hedge_after_s: float = 0.0
    context: dict[str, Any] | None = None
    """Context policy for this attempt (gateway/context.py); None: the call as it is."""

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


class Outcome(msgspec.Struct):
    """How an attempt ended: with an answer or with an error. A cancelled attempt has the error Cancelled's code `cancelled`."""

    candidate: Candidate
    answer: Answer | None = None
    error: BaseException | None = None
    duration_s: float = 0.0
    first_chunk_s: float = 0.0
    """0 on plain answers."""
    chunks: list[Chunk] = []
    """What was held back, in order; given to the client if this outcome becomes the walk's result."""
    committed: bool = False
    """A piece already went to the client: nobody else can be asked."""
    cached: bool = False
    """The answer came from the cache: it says nothing about the provider."""


class Walk(Protocol):
    """One call's way through a route."""

    result: Outcome | None
    """After `next` gave None: the outcome whose answer the client gets (a cascade keeps the weak one if the strong one fails)."""
    error: BaseException | None
    """After `next` gave None without a result: what to raise, also where nobody could be asked (all breakers open)."""

    async def next(self, outcome: Outcome | None) -> Candidate | None:
        """Who is asked next; None: the walk is over. `outcome` is that of the candidate given before, None at the first call."""
        ...

    def attributes(self) -> dict[str, Any]:
        """For the route's span: genwright.route_ref, exposures (`genwright.exposure`), escalations, what was skipped and why."""
        ...

    def may_hedge(self, candidate: Candidate) -> bool:
        """Asked at the moment the hedge would start; takes from the budget (2 % of calls), never while a breaker is open."""
        ...

    def close(self) -> None:
        """The call is over, whatever became of it. Harmless twice."""
        ...


class RouteContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a route's version. `root` is a node: {"type": …, …}, or a text PROVIDER/MODEL or route/NAME."""

    root: Any
    description: str = ""
    context: dict[str, Any] | None = None
    """Context policy of the whole route; a node may have its own."""


class ExplainedStep(msgspec.Struct, frozen=True):
    """Whom a call would go to, in order: the first, and who would be asked if those before failed."""

    step: str
    model: str
    why: list[str]
    """What the nodes on the way decided, from the root."""
    parameters: dict[str, Any] = {}
    timeout_s: float | None = None
    hold_back: bool = False
    mirrored_to: list[str] = []
    hedged_to: str = ""
    hedge_after_s: float = 0.0


class Explanation(msgspec.Struct, frozen=True):
    """Which way a call would go, without anybody being asked."""

    route: str
    """The version's ref."""
    facts: dict[str, Any]
    """Of the call: tokens, modality, language, …"""
    steps: list[ExplainedStep]
    skipped: list[dict[str, str]]
    exposures: dict[str, str]
    error: str = ""
    """Why nobody would be asked."""


class RouteTest(msgspec.Struct, frozen=True):
    """What a route answered to one real call."""

    text: str
    provider: str
    model: str
    ms: float
    cost_nano_usd: int | None
    trace_id: str


class Alias(msgspec.Struct, frozen=True):
    """A bare model name that stands for another name."""

    workspace: str
    project: str
    name: str
    target: str
    """app/…, route/… or PROVIDER/MODEL."""
    created_ns: int
    created_by: str


class TargetHealth(msgspec.Struct, frozen=True):
    """How a provider's model does at present, as seen by this server process."""

    provider: str
    model: str
    state: str
    """ok, slow, failing, open (not asked), probing (half open) or idle (not asked lately)."""
    breaker: str
    """closed, open or half_open."""
    reason: str
    """Why it is open, or the last error; empty where all is well."""
    retry_in_s: float
    """Until it is asked again; 0 unless open."""
    in_flight: int
    calls: int
    """Attempts in the window."""
    failed: int
    share: float
    """Of the scope's attempts in the window, 0 … 1."""
    p50_s: float
    """Of whole answers; 0 where there is none."""
    p95_s: float
    first_chunk_p50_s: float
    first_chunk_p95_s: float
    retries_left: float
    """Tokens in its retry budget."""


class DrawnNode(msgspec.Struct, frozen=True):
    """A node as drawn: its place, kind, words, the line from its parent, and for models their health."""

    at: str
    parent: str
    kind: str
    title: str
    says: str
    edge: str
    model: str = ""
    ref: str = ""
    """Of another route."""
    health: TargetHealth | None = None
