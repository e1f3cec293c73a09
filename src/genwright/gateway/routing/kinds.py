"""Kinds of failures, as routes name them in `on`. Knows errors, no routes."""

from __future__ import annotations

import re

from genwright.errors import (
    Blocked,
    Error,
    Missing,
    StreamCut,
    Upstream,
    UpstreamAuth,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from genwright.gateway.routing.types import Outcome

KINDS = (
    "unavailable", "timeout", "rate_limit", "auth", "cut", "missing", "context_length", "content_policy", "refused", "blocked",
    "budget",
)  # fmt: skip
"""What can be written in `on`."""
USUAL = ("unavailable", "timeout", "rate_limit", "auth", "cut", "missing", "context_length")
"""On which a fallback goes on where it names none. A refused request would be refused elsewhere too; a policy is no outage."""
SKIPPED = "skipped"
"""Nobody was asked: breaker, retry budget, a condition or a rule on the model. Always goes on."""

# Source: the providers' documented error texts: OpenAI context_length_exceeded, Anthropic "prompt is too long", Gemini "exceeds
# the maximum number of tokens", Bedrock "Input is too long", vLLM "maximum context length", llama.cpp "context size".
_TOO_LONG = re.compile(
    r"context[_ ](length|window|size)|maximum (number of tokens|context)|(prompt|input) is too long|input too long"
    r"|too many (input )?tokens",
    re.IGNORECASE,
)
_POLICY = re.compile(r"content[_ ](policy|filter|management)|responsible ?ai|safety (system|settings)|flagged", re.IGNORECASE)


def kind(outcome: Outcome) -> str:
    """The kind of a failure; "" for an answer (an answer cut by the provider's content filter is `content_policy`)."""
    error = outcome.error
    if error is None:
        answer = outcome.answer
        return "content_policy" if answer is not None and getattr(answer, "finish_reason", "") == "content_filter" else ""
    if not isinstance(error, Error):
        return "cancelled"
    return _of(error)


def _of(error: Error) -> str:
    if error.code in ("breaker_open", "retry_budget", "condition", "model_rule"):
        return SKIPPED
    if error.code == "context_length_exceeded":
        return "context_length"
    if error.code == "deadline_exceeded":
        return "deadline"
    if isinstance(error, UpstreamRefused):
        return _refused(error)
    for cause, name in (
        (UpstreamTimeout, "timeout"),
        (UpstreamLimited, "rate_limit"),
        (UpstreamAuth, "auth"),
        (StreamCut, "cut"),
        (Upstream, "unavailable"),
        (Missing, "missing"),
    ):
        if isinstance(error, cause):
            return name
    if error.code in ("budget_exceeded", "no_price"):
        return "budget"
    return "blocked" if isinstance(error, Blocked) else "own"


def _refused(error: Error) -> str:
    words = f"{error.details.get('upstream_code', '')} {error.message}"
    if error.details.get("upstream_status") == 404:
        return "missing"
    if _TOO_LONG.search(words):
        return "context_length"
    return "content_policy" if _POLICY.search(words) else "refused"
