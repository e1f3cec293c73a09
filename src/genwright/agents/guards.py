"""The guard steps of a chain: what the app's policy says of question, passages and answer, each a span.

An app without a policy lets everything pass, and its guard spans say so. Knows no steps but guards.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import vocab
from genwright.access.types import Actor
from genwright.agents.types import GuardStep
from genwright.errors import Blocked
from genwright.guardrails.service import Guardrails, StreamGuard, Verdict, blocked
from genwright.messages import Message, Text
from genwright.registry.types import Version
from genwright.tracing.service import Tracing

Here = tuple[str, str]
"""(trace id, span id) of the app's root span."""


class Guards:
    """One policy (or none) for one run."""

    def __init__(self, tracing: Tracing, guardrails: Guardrails, actor: Actor, policy: Version | None):
        self._tracing, self._guardrails, self._actor = tracing, guardrails, actor
        self._policy: dict[str, Any] = policy.content if policy else {}
        self._ref = policy.ref if policy else ""

    def text(self, step: GuardStep, text: str, here: Here) -> str:
        """The text as the rail lets it pass. Raises Blocked."""
        with self.span(step, here) as span:
            span.input = text
            verdict = self._check(step.rail, text)
            _note(span, verdict.action, verdict.findings)
            span.output = verdict.text
            if verdict.action == "block":
                raise blocked(step.rail, verdict, self._ref)
            return verdict.text

    def history(self, messages: list[Message]) -> list[Message]:
        """The conversation so far, as the input rail lets it pass; an earlier message that it blocks is left out."""
        kept = []
        for message in messages:
            verdict = self._check("input", message.text) if message.role == "user" else Verdict("allow", message.text)
            if verdict.action == "allow":
                kept.append(message)
            elif verdict.action == "change":
                parts = [part for part in message.parts if not isinstance(part, Text)]
                kept.append(msgspec.structs.replace(message, parts=[Text(verdict.text), *parts]))
        return kept

    def passages(self, step: GuardStep, passages: list[dict[str, Any]], here: Here) -> list[dict[str, Any]]:
        """The passages that pass, numbered anew; a bad one is dropped, the answer goes on without it."""
        with self.span(step, here) as span:
            kept: list[dict[str, Any]] = []
            findings, actions = [], {"allow"}
            for passage in passages:
                verdict = self._check("passages", passage["text"])
                actions.add(verdict.action)
                findings += [{**msgspec.to_builtins(found), "passage": passage["n"]} for found in verdict.findings]
                if verdict.action != "block":
                    kept.append({**passage, "text": verdict.text, "n": len(kept) + 1})
            _note(span, next(action for action in ("block", "change", "allow") if action in actions), findings)
            span.set("genwright.dropped", len(passages) - len(kept))
            span.output = kept
            return kept

    def stream(self, step: GuardStep, here: Here) -> Stream | None:
        """Hold-back for an answer that streams; None where the policy has no `stream` rail."""
        if not self._policy.get("rails", {}).get("stream"):
            return None
        return Stream(self, step, here, self._guardrails.stream(self._policy))

    def span(self, step: GuardStep, here: Here, rail: str = "") -> Any:
        rail = rail or step.rail
        span = self._tracing.span(self._actor, f"guard {rail}", operation="guard", parent=here)
        span.set(vocab.STEP, step.id)
        span.set("genwright.rail", rail)
        if self._ref:
            span.set(vocab.POLICY, self._ref)
        return span

    def _check(self, rail: str, text: str) -> Verdict:
        return self._guardrails.check(self._policy, rail, text) if self._policy else Verdict("allow", text)


class Stream:
    """The stream rail over one answer. Its span is written when the answer ends or is refused."""

    def __init__(self, guards: Guards, step: GuardStep, here: Here, guard: StreamGuard):
        self._guards, self._step, self._here, self._guard = guards, step, here, guard

    def feed(self, text: str) -> str:
        """What may go out now. Raises Blocked."""
        try:
            return self._guard.feed(text)
        except Blocked as error:
            self._report(error)
            raise

    def close(self) -> str:
        """The rest. Raises Blocked."""
        try:
            rest = self._guard.close()
        except Blocked as error:
            self._report(error)
            raise
        self._report(None)
        return rest

    def _report(self, error: Blocked | None) -> None:
        findings = self._guard.findings
        changed = any(finding.action == "change" for finding in findings)
        with self._guards.span(self._step, self._here, "stream") as span:
            _note(span, "block" if error else "change" if changed else "allow", findings)
            if error:
                span.fail(error)


def _note(span: Any, action: str, findings: list[Any]) -> None:
    span.set("genwright.action", action)
    span.set("genwright.findings", msgspec.to_builtins(findings))
