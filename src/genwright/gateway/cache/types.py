"""Records of the cache. They know nothing of storage, vectors or the wire."""

from __future__ import annotations

from typing import Literal

import msgspec

from genwright.gateway.types import Answer, Chunk

How = Literal["exact", "semantic", "miss"]


class About(msgspec.Struct, frozen=True):
    """What the flow knows of a call beside the call itself; every field is part of the hard scope."""

    target: str
    """What answers: PROVIDER/MODEL, route/NAME@sha256:… or an alias's target; never the name before it was resolved."""
    policy: str = ""
    """Ref with digest of the guardrail policy in force, as an answer is kept after the rails."""


class Found(msgspec.Struct):
    """Outcome of one look-up. A miss carries what `keep` needs, so that nothing is computed twice."""

    how: How
    key: bytes = b""
    """Digest of the whole scope and the question."""
    answer: Answer | None = None
    """Set on a hit: a copy of its own, with the tokens of the first time; the flow sets trace, span and cost."""
    entry: str = ""
    """Id of the entry that was hit."""
    rule: str = ""
    similarity: float = 0.0
    """Verified probability that both questions may share an answer; 1 on exact hits."""
    age_s: float = 0.0
    saved_nano_usd: int = 0
    """What the answer cost the first time."""

    @property
    def header(self) -> str:
        """Value of x-genwright-cache."""
        return {"exact": "hit", "semantic": "semantic", "miss": "miss"}[self.how]

    def chunks(self) -> list[Chunk]:
        """The answer as a stream: the provider's own events where it came as one."""
        return []
