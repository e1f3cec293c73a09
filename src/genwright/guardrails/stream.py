"""A streamed answer under guard: text is held back just long enough that no hit gets out in part.

Each guard says from where on a hit may have begun that further text would complete (`pending`, or a fixed `window`): from there
on text waits. A hit that reaches the end of what has come may still grow, or turn out to be none: it waits too.
Guards that only flag hold nothing back; they read the whole answer at its end. Knows nothing of wire formats.
"""

from __future__ import annotations

from genwright.errors import Blocked
from genwright.guardrails.policy import Step, blocked, hits_of
from genwright.guardrails.types import WINDOW, Finding, Hit

CONTEXT = 64
"""Characters already sent that guards see before the held ones, so that word boundaries are known."""
MAX_HELD = 8192
"""A hit that grows longer than this is refused: it could not be replaced without waiting for ever."""


class StreamGuard:
    """For one answer: `feed` each piece, send what comes back, then `close`. Both raise Blocked: then send nothing more."""

    def __init__(self, steps: list[Step]):
        self.findings: list[Finding] = []
        self._limits = [step for step in steps if step.name == "size" and step.action == "block"]
        self._acting = [step for step in steps if step.action != "flag" and step.name != "size"]
        self._watching = [step for step in steps if step.action == "flag"]
        self._context = ""
        self._held = ""
        self._came = 0
        self._let_out = 0  # characters of the answer that left `held`
        self._sent: list[str] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is guarded: pieces come back at once."""
        return not (self._limits or self._acting or self._watching)

    def feed(self, text: str) -> str:
        """What may go out now. Raises Blocked."""
        self._came += len(text)
        for step in self._limits:
            if self._came > step.guard.chars:
                reason = f"The answer grew over {step.guard.chars:,} characters, which is what the policy allows."
                raise self._refuse(step, Hit("too_long", reason, step.guard.chars, self._came))
        if self._acting:
            self._held += text
            text = self._release(self._ready())
        if self._watching:
            self._sent.append(text)
        return text

    def close(self) -> str:
        """The rest, at the end of the answer. Raises Blocked."""
        text = self._release(len(self._held), last=True) if self._held else ""
        if self._watching:
            answer = "".join(self._sent) + text
            for step in self._watching:
                self.findings += [_finding(step, hit, 0) for hit in hits_of(step, answer)]
        return text

    def _ready(self) -> int:
        """How much of the held text no guard waits for."""
        text = self._context + self._held
        return min(_pending(step, text) for step in self._acting) - len(self._context)

    def _release(self, ready: int, last: bool = False) -> str:
        """Up to `ready` characters of what is held, hits replaced; less where a hit is cut or may still grow."""
        if ready <= 0 and len(self._held) < MAX_HELD:
            return ""
        hits = self._hits()
        for step, hit in hits:
            growing = hit.end >= len(self._held) and not last
            if growing and len(self._held) - hit.start > MAX_HELD:
                raise self._refuse(step, hit)
            if step.action == "block" and not growing:
                raise self._refuse(step, hit)
            if growing or hit.start < ready < hit.end:
                ready = min(ready, hit.start)
        ready = max(ready, 0)
        parts, at = [], 0
        for step, hit in hits:
            if hit.end <= ready:
                parts += [self._held[at : hit.start], hit.replacement]
                at = hit.end
                self.findings.append(_finding(step, hit, self._let_out))
        parts.append(self._held[at:ready])
        self._context = (self._context + self._held[:ready])[-CONTEXT:]
        self._held = self._held[ready:]
        self._let_out += ready
        return "".join(parts)

    def _hits(self) -> list[tuple[Step, Hit]]:
        """Hits in the held text, in order; of two changes that overlap the earlier stands. Offsets are in the held text."""
        skip, text = len(self._context), self._context + self._held
        found = [
            (step, Hit(hit.kind, hit.reason, max(0, hit.start - skip), hit.end - skip, hit.replacement))
            for step in self._acting
            for hit in hits_of(step, text)
            if hit.end > skip
        ]
        found.sort(key=lambda pair: (pair[1].start, -pair[1].end))
        kept: list[tuple[Step, Hit]] = []
        at = 0
        for step, hit in found:
            if step.action == "block":
                kept.append((step, hit))
            elif hit.start >= at:
                kept.append((step, hit))
                at = hit.end
            elif hit.end > at:  # the rest of an overlapping hit goes too
                kept.append((step, Hit(hit.kind, hit.reason, at, hit.end, "")))
                at = hit.end
        return kept

    def _refuse(self, step: Step, hit: Hit) -> Blocked:
        self._held = ""
        start, end = self._let_out + hit.start, self._let_out + hit.end
        self.findings.append(Finding(step.name, hit.kind, "block", hit.reason, start, end))
        return blocked("stream", self.findings)


def _pending(step: Step, text: str) -> int:
    guard = step.guard
    if hasattr(guard, "pending"):
        return guard.pending(text)
    return len(text) - getattr(guard, "window", WINDOW)


def _finding(step: Step, hit: Hit, offset: int) -> Finding:
    return Finding(step.name, hit.kind, step.action, hit.reason, offset + hit.start, offset + hit.end)
