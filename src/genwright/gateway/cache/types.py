"""Records of the cache. They know nothing of storage, vectors or the wire."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from genwright.gateway.types import Answer, Chunk

How = Literal["exact", "semantic", "miss"]
Mode = Literal["exact", "semantic"]
Share = Literal["key", "user", "team", "project"]
"""Who gets whose answers: the same key's; the same key and end user's; the same team's (a key without one: its own); all."""
Verdict = Literal["", "right", "wrong"]


class About(msgspec.Struct, frozen=True):
    """What the flow knows of a call beside the call itself."""

    target: str
    """What answers, PROVIDER/MODEL; never the name before it was resolved."""
    policy: str = ""
    """Ref with digest of the guardrail policy in force, as an answer is kept after the rails."""
    trace: str = ""
    """Trace of this call; for the records, no part of the scope."""


class Found(msgspec.Struct):
    """Outcome of one look-up. A miss carries what `keep` needs, so that nothing is computed twice."""

    how: How
    answer: Answer | None = None
    """Set on a hit: a copy of its own, with the tokens of the first time; the flow sets trace, span and cost."""
    similarity: float = 0.0
    """Verified probability that both questions may share an answer; 1 on exact hits."""
    age_s: float = 0.0
    saved_nano_usd: int = 0
    """What the answer cost the first time."""
    kept: list[Chunk] = []
    """The stream as the first caller got it; empty where the answer came whole."""
    notes: Any = None
    """The cache's own, for `keep`."""

    @property
    def header(self) -> str:
        """Value of x-genwright-cache."""
        return {"exact": "hit", "semantic": "semantic", "miss": "miss"}[self.how]

    def chunks(self) -> list[Chunk]:
        """The answer as a stream: the provider's own events where it came as one."""
        from genwright.gateway.cache.replay import chunks

        if self.kept or self.answer is None:
            return self.kept
        return chunks(self.answer)


class Rule(msgspec.Struct, frozen=True):
    """Switches the cache on for some models. A setting with history: each change is a row with the next number."""

    workspace: str
    project: str
    name: str
    number: int
    """1, 2, 3 …: the newest holds."""
    models: str = "*"
    """Which PROVIDER/MODEL, `*` for any letters; the first rule by name that covers a call holds."""
    mode: Mode = "exact"
    share: Share = "key"
    ttl_s: int = 86_400
    target: float = 0.1
    """Largest share of semantic hits that may be wrong: the threshold is fitted to it, and a rule that misses it ends itself."""
    threshold: float = 0.0
    """Verified probability from which an entry is served; 0: fitted to the target."""
    sample: float = 0.05
    """Share of semantic hits judged in the background."""
    judge: str = ""
    """Model that judges them; empty: a fresh answer is asked for and compared."""
    sampled: bool = False
    """Also calls with a temperature above 0."""
    tools: bool = False
    """Also answers that call tools."""
    max_entries: int = 100_000
    enabled: bool = True
    note: str = ""
    """Why it was changed."""
    created_ns: int = 0
    created_by: str = ""


class Entry(msgspec.Struct, frozen=True):
    """A kept answer, without its content. Order of fields = order of columns."""

    workspace: str
    project: str
    id: str
    """Hex of SHA-256 over scope and question: what an exact hit is."""
    scope: str
    """Hex of SHA-256 over everything that must be equal."""
    question: str
    """Text of the last user message."""
    rule: str
    model: str
    trace: str
    key: str
    created_ns: int
    expires_ns: int
    used_ns: int
    """Last hit; what was used longest ago is forgotten first."""
    hits: int
    nano_usd: int
    """Cost of the first time; 0 where it is not known."""
    duration_ns: int
    """Time that it took the first time."""
    bytes: int


class Hit(msgspec.Struct, frozen=True):
    """One answer served from the cache. Order of fields = order of columns."""

    workspace: str
    project: str
    id: str
    at_ns: int
    entry: str
    rule: str
    number: int
    """The rule's number then: a changed rule is measured anew."""
    how: str
    """exact or semantic."""
    model: str
    trace: str
    """Of the call that was served."""
    key: str
    asked: str
    """The question as asked now; empty on exact hits."""
    question: str
    """The question as kept; empty on exact hits."""
    similarity: float
    saved_nano_usd: int
    saved_ns: int
    verdict: str
    """right, wrong or empty: not judged."""
    judged_by: str
    """Model, `fresh answer`, or id of a person."""
    judged_ns: int


class Label(msgspec.Struct, frozen=True):
    """A pair of questions of which somebody said whether they may share an answer."""

    workspace: str
    project: str
    id: str
    asked: str
    question: str
    same: bool
    score: float
    """The verifier's probability when it was labelled."""
    at_ns: int
    by: str


class Quality(msgspec.Struct, frozen=True):
    """How a rule does."""

    rule: Rule
    threshold: float
    """In force now."""
    fitted_on: str
    """`own labels` or the verifier's name."""
    entries: int
    bytes: int
    exact_hits: int
    semantic_hits: int
    saved_nano_usd: int
    saved_ns: int
    judged: int
    """Semantic hits under this number of the rule that were judged."""
    wrong: int
    false_hit_rate: float | None
    """Of those judged; None where none was."""
    low: float | None
    """95 % interval (Wilson)."""
    high: float | None


class Trial(msgspec.Struct, frozen=True):
    """What the verifier says about two questions."""

    probability: float
    cosine: float
    closeness: float
    veto: str
    """numbers, negation, names or empty."""
    threshold: float
    serves: bool
