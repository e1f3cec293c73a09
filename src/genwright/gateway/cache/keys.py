"""What must be equal for an answer to be used again: the hard scope of a call, as a digest.

Everything of a call is part of it but the words of the last user message: workspace, project, who shares with whom, what
answers, policy, prompt version, all earlier messages, media, tools, parameters, and the caller's own body with every field that
has no neutral name. What concerns only the form of the answer or the caller's book-keeping is left out (ASIDE).
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from genwright.access.types import Actor
from genwright.gateway.cache.types import About
from genwright.gateway.types import Call
from genwright.messages import Text
from genwright.vocab import canonical

FORM = 1
"""Raise it when an answer kept by an older program must not be found any more."""
ASIDE = frozenset(
    ("model", "stream", "stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key", "store")
)  # fmt: skip
"""Fields of a body that change no answer."""


class Key(NamedTuple):
    """Where an answer belongs."""

    scope: str
    """Hex of SHA-256: what no semantic hit may cross."""
    id: str
    """Hex of SHA-256 over scope and question: an exact hit."""
    question: str
    """Text of the last user message; empty where that is none, and then only the same call hits."""


def key(actor: Actor, call: Call, about: About, share: str) -> Key:
    """Raises nothing; calls that differ in anything that may change the answer have different keys."""
    texts: list[str] = []
    messages: list[Any] = list(call.messages)
    if messages and messages[-1].role == "user":
        last = messages[-1]
        texts = [part.content for part in last.parts if isinstance(part, Text)]
        bare = [Text("") if isinstance(part, Text) else part for part in last.parts]
        messages[-1] = msgspec.structs.replace(last, parts=bare)
    equal = [
        *(FORM, actor.scope.workspace, actor.scope.project, sharers(actor, call, share), about.target, about.policy),
        *(call.prompt.version.ref if call.prompt is not None else "", call.rails, messages, call.tools),
        *(call.parameters, call.overrides, call.extra, call.drop_params, _body(call, texts)),
    ]
    scope = hashlib.sha256(canonical(equal)).hexdigest()
    return Key(scope, hashlib.sha256(canonical([scope, texts])).hexdigest(), "\n".join(texts).strip())


def sharers(actor: Actor, call: Call, share: str) -> list[str]:
    """Whose answers these are."""
    if share == "project":
        return []
    if share == "team":
        teams = [node for node in actor.nodes if node.startswith("team:")]
        return teams or [f"key:{actor.id}"]
    return [f"key:{actor.id}", call.user] if share == "user" else [f"key:{actor.id}"]


def _body(call: Call, texts: list[str]) -> Any:
    """The caller's body without what is aside, the question's own words blanked wherever its messages stand."""
    if call.wire is None:
        return None
    words = frozenset(texts)
    fields = {
        name: _blanked(value, words) if name in call.wire.parts else value
        for name, value in call.wire.body.items()
        if name not in ASIDE
    }
    return [call.wire.dialect, call.wire.headers, fields]


def _blanked(value: Any, words: frozenset[str]) -> Any:
    if isinstance(value, str):
        return None if value in words else value
    if isinstance(value, list):
        return [_blanked(item, words) for item in value]
    if isinstance(value, dict):
        return {name: _blanked(item, words) for name, item in value.items()}
    return value
