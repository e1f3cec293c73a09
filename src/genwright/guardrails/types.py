"""What a policy, a verdict and a guard are. Knows nothing of storage, HTTP or single guards."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

Rail = Literal["input", "passages", "tool_definition", "tool_call", "output", "stream"]
RAILS: tuple[str, ...] = ("input", "passages", "tool_definition", "tool_call", "output", "stream")
"""Where guards run: what the user says, each retrieved passage, each tool's description, a tool call and its result,
the whole answer, the answer while it streams."""
Action = Literal["block", "change", "flag"]
"""What follows from a hit: refuse the text, replace the hit, or only note it."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One guard on one rail."""

    guard: str
    """A name in the table of guards."""
    action: Action
    parameters: dict[str, Any] = {}
    """What the guard's class takes."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Longest texts, in characters; longer ones are blocked before any guard runs. 0 is no limit."""

    input_chars: int = 0
    output_chars: int = 0
    passage_chars: int = 0


class Policy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Content of a policy version. A policy without a `stream` rail streams under its `output` rail."""

    limits: Limits = Limits()
    rails: dict[Rail, list[Rule]] = {}
    description: str = ""


class Hit(msgspec.Struct, frozen=True):
    """What a guard found in a text; the policy decides what follows from it."""

    kind: str
    """`email`, `override`, `image` …; of the guard's own list."""
    reason: str
    """A sentence for people. Never holds what was found: findings are kept in traces."""
    start: int
    """In characters; the span is what `change` replaces."""
    end: int
    replacement: str = "[REMOVED]"


class Finding(msgspec.Struct, frozen=True):
    """A hit and what followed from it. Offsets are in the text that this guard saw, after changes of guards before it."""

    guard: str
    kind: str
    action: Action
    reason: str
    start: int
    end: int


class Verdict(msgspec.Struct, frozen=True):
    """What the rail says about a text."""

    action: Literal["allow", "change", "block"]
    """allow: the text as it was; change: `text` differs; block: refused."""
    text: str
    """What may pass on; empty when blocked."""
    findings: list[Finding] = []
    ms: float = 0.0
    """Milliseconds that it took."""

    @property
    def reason(self) -> str:
        """Why it was blocked; empty when it was not."""
        return next((finding.reason for finding in self.findings if finding.action == "block"), "")


class Guard(Protocol):
    """A plug. Pure, in time linear in the text; parameters come by keyword at construction and are checked there.

    For streams it may have `pending(text) -> int`: where the earliest hit begins that further text could complete (the text's
    length: none), or `window`: how many characters to hold back instead. Without both, WINDOW is held back.
    """

    def check(self, text: str) -> list[Hit]:
        """Hits in order of `start`, not overlapping."""
        ...


WINDOW = 256
"""Characters a stream holds back for a guard that does not say."""


class PutPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new policy version as REST takes it."""

    name: str
    content: dict[str, Any]
    note: str = ""
    expected: int | None = None


class CheckText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text to try a policy on."""

    text: str
    rail: Rail = "input"
    policy: str = ""
    """`NAME[@label|@number]`; empty for the policy in force."""
