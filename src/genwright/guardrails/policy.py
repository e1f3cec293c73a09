"""A policy compiled: the guards of each rail, made once, and the default policy with its reasons.

A guard is a signal, no security boundary: it catches what is common and cheap to catch. What must not happen is prevented by
permissions (which tools an app may call, which documents a key may read), not here.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from genwright import clock
from genwright.errors import Blocked, Invalid
from genwright.guardrails.types import Action, Finding, Guard, Hit, Limits, Policy, Rule, Verdict
from genwright.plugs import Table

log = logging.getLogger(__name__)

GUARDS = Table(
    "genwright.guards",
    {
        "size": "genwright.guardrails.guards.size:Size",
        "injection": "genwright.guardrails.guards.injection:Injection",
        "pii": "genwright.guardrails.guards.pii:Pii",
        "secrets": "genwright.guardrails.guards.secrets:Secrets",
        "toxicity": "genwright.guardrails.guards.toxicity:Toxicity",
        "canary": "genwright.guardrails.guards.canary:Canary",
        "egress": "genwright.guardrails.guards.egress:Egress",
    },
)

_OUTPUT: list[dict[str, Any]] = [
    # A key in an answer helps nobody who should have it: replaced, the rest of the answer stands.
    {"guard": "secrets", "action": "change"},
    # Cards, accounts and social security numbers never belong in an answer; addresses often are the answer: only noted.
    {"guard": "pii", "action": "change", "parameters": {"kinds": ["credit_card", "iban", "us_ssn"]}},
    {"guard": "pii", "action": "flag", "parameters": {"kinds": ["email", "phone", "ip_address"]}},
    # A word list sees no context, so rude words are noted; threats and slurs are refused.
    {"guard": "toxicity", "action": "block", "parameters": {"threshold": 1.0}},
    {"guard": "toxicity", "action": "flag", "parameters": {"threshold": 0.5}},
    # An address that carries text away is how injected instructions leak; an image is fetched without a click.
    {"guard": "egress", "action": "block", "parameters": {"kinds": ["image_with_data", "link_with_data"]}},
    {"guard": "egress", "action": "change", "parameters": {"kinds": ["image"]}},
]

DEFAULT_POLICY: dict[str, Any] = {
    "description": "Size limits, known injection patterns, structured personal data, secrets, a toxicity list, leaks by link. "
    "Guards are a signal, not a security boundary.",
    "limits": {"input_chars": 200_000, "output_chars": 200_000, "passage_chars": 50_000},
    "rails": {
        "input": [
            {"guard": "injection", "action": "block"},
            {"guard": "secrets", "action": "change"},  # the question stays readable, the key does not reach a provider
            {"guard": "pii", "action": "flag"},  # the user's own data in the user's own question is not mangled
        ],
        # A blocked passage is left out; the answer is made from the others.
        "passages": [{"guard": "injection", "action": "block"}, {"guard": "secrets", "action": "change"}],
        "tool_definition": [{"guard": "injection", "action": "block"}],
        # Arguments are not rewritten: a changed call is another call. A secret there is noted.
        "tool_call": [{"guard": "injection", "action": "block"}, {"guard": "secrets", "action": "flag"}],
        "output": _OUTPUT,
        "stream": _OUTPUT,
    },
}
"""What a new project starts with."""

_LIMIT_OF = {"input": "input_chars", "passages": "passage_chars", "output": "output_chars", "stream": "output_chars"}


class Step(msgspec.Struct, frozen=True):
    """One guard of a rail, made."""

    name: str
    action: Action
    guard: Any


class Compiled:
    """The guards of every rail of one policy."""

    def __init__(self, policy: Policy):
        self.rails: dict[str, list[Step]] = {
            rail: _limit(policy.limits, rail) + [_step(rule) for rule in rules] for rail, rules in policy.rails.items()
        }
        for rail in _LIMIT_OF:
            if rail not in self.rails and (steps := _limit(policy.limits, rail)):
                self.rails[rail] = steps
        if "stream" not in policy.rails and "output" in self.rails:
            self.rails["stream"] = self.rails["output"]


def read(content: dict[str, Any]) -> Policy:
    """The content as a Policy. Raises Invalid naming the field that does not fit."""
    try:
        return msgspec.convert(content, Policy)
    except msgspec.ValidationError as error:
        raise Invalid(f"This is not a policy: {error}. Nothing was kept.", code="invalid_policy") from error


def run(steps: list[Step], text: str) -> Verdict:
    """The steps in order, each on what the one before it left; the first that blocks ends it."""
    begin = clock.monotonic()
    findings: list[Finding] = []
    before = text
    for step in steps:
        hits = hits_of(step, text)
        if not hits:
            continue
        findings += [Finding(step.name, hit.kind, step.action, hit.reason, hit.start, hit.end) for hit in hits]
        if step.action == "block":
            return Verdict("block", "", findings, (clock.monotonic() - begin) * 1e3)
        if step.action == "change":
            text = replace(text, hits)
    return Verdict("allow" if text == before else "change", text, findings, (clock.monotonic() - begin) * 1e3)


def hits_of(step: Step, text: str) -> list[Hit]:
    """What the guard finds. A guard that breaks refuses the text: fail closed."""
    guard: Guard = step.guard
    try:
        return guard.check(text)
    except Exception:  # a plug call
        log.exception("The guard '%s' failed; the text counts as hit", step.name)
        return [Hit("failed", f"The guard '{step.name}' failed, so the text was not let through.", 0, len(text))]


def replace(text: str, hits: list[Hit]) -> str:
    """The text with every hit replaced; hits are in order and do not overlap."""
    parts, at = [], 0
    for hit in hits:
        parts += [text[at : hit.start], hit.replacement]
        at = hit.end
    return "".join(parts) + text[at:]


def blocked(rail: str, findings: list[Finding], policy: str = "") -> Blocked:
    """The error for a refused text: names rail, guard and kind, never what was found."""
    finding = next(finding for finding in findings if finding.action == "block")
    return Blocked(
        f"Blocked on the rail '{rail}' by the guard '{finding.guard}': {finding.reason} Nothing was sent on.",
        code=f"blocked_{finding.guard}",
        rail=rail,
        guard=finding.guard,
        kind=finding.kind,
        policy=policy,
    )


def _limit(limits: Limits, rail: str) -> list[Step]:
    chars = getattr(limits, _LIMIT_OF[rail]) if rail in _LIMIT_OF else 0
    return [Step("size", "block", GUARDS.make("size", chars=chars))] if chars else []


def _step(rule: Rule) -> Step:
    return Step(rule.guard, rule.action, GUARDS.make(rule.guard, **rule.parameters))
