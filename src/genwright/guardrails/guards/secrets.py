"""Credentials by their form: cloud and API keys, tokens, JWTs, private keys, passwords in assignments and addresses.

Knows no entropy and no vendor it has no row for; a bare password in prose is not found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from genwright.errors import Invalid
from genwright.guardrails.guards.pii import in_order
from genwright.guardrails.types import Hit


class _Form(NamedTuple):
    kind: str
    marks: tuple[str, ...]
    """One of these is in every text that has it."""
    pattern: re.Pattern[str]
    """What is found; its group 1, where it has one, is the secret itself."""
    name: str


def _form(kind: str, marks: str, pattern: str, name: str) -> _Form:
    return _Form(kind, tuple(marks.split()), re.compile(pattern), name)


_NAME = r"(?i:password|passwd|passphrase|pwd|secret|secret_?key|api_?key|access_?key|auth_?token)"
FORMS = (
    _form("aws_access_key", "AKIA ASIA", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])", "an AWS access key"),
    _form("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,255}", "a GitHub token"),
    _form("github_token", "github_pat_", r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{60,255}", "a GitHub token"),
    _form(
        "openai_key",
        "sk-",
        r"(?<![A-Za-z0-9_-])sk-(?:(?:proj|svcacct|admin|ant-api\d\d|or-v1)-[A-Za-z0-9_-]{32,256}|[A-Za-z0-9]{32,128})(?![A-Za-z0-9_-])",
        "a model provider's key",
    ),
    _form("slack_token", "xox", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{20,250}", "a Slack token"),
    _form("google_key", "AIza", r"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", "a Google API key"),
    _form("genwright_key", "gw_", r"(?<![A-Za-z0-9_])gw_[A-Za-z0-9_-]{24,128}(?![A-Za-z0-9_-])", "a Genwright key"),
    _form(
        "jwt",
        "eyJ",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,1024}\.eyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_-]{10,1024}",
        "a JSON web token",
    ),
    _form(
        "private_key",
        "-----BEGIN",
        r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----(?:(?:(?:(?:\\r)?\\n|\r?\n)[A-Za-z0-9+/=]{40,80}(?![.\w]))+"
        r"(?:(?:(?:\\r)?\\n|\r?\n)[A-Za-z0-9+/=]{1,80})?(?:(?:(?:\\r)?\\n|\r?\n)-----END [A-Z ]{0,40}-----)?)?",
        "a private key",
    ),
    _form("password", "://", r"://[^\s:/@\"']{1,64}:([^\s:/@\"']{3,128})@", "a password in an address"),
    _form("password", "= :", _NAME + r"[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']([^\s\"'(){}<>$%]{6,128})[\"']", "a password"),
    _form(
        "password",
        "= :",
        r"(?i:password|passwd|passphrase|pwd|secret)[ \t]{0,3}[:=][ \t]{0,3}"
        r"((?=[^\s\d]{0,64}\d)(?=[^\sA-Za-z]{0,64}[A-Za-z])[^\s\"'(){}\[\]<>$%,;]{6,64})(?![^\s,;])",
        "a password",
    ),
)  # fmt: skip
KINDS = tuple(dict.fromkeys(form.kind for form in FORMS))
_RUN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/=.:@!#*&?~^|\"'\\"
_MAX_RUN = 6400
_KEY_BEGUN = re.compile(r"-{1,5}(?:BEGIN [A-Z ]{0,40}(?:-{0,5})(?:[\r\n\\][A-Za-z0-9+/=\\\s]*)?(?:-{1,5}[A-Z ]{0,40}-{0,4})?)?\Z")


class Secrets:
    """`kinds`: which of KINDS to look for; all without. A change puts `[AWS_ACCESS_KEY]`, `[PASSWORD]` … in their place."""

    def __init__(self, kinds: Sequence[str] = KINDS):
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds:
            raise Invalid(f"The guard 'secrets' knows no kind {', '.join(unknown) or '(none given)'}. Kinds: {', '.join(KINDS)}.")
        self.kinds = tuple(kinds)
        self._forms = [form for form in FORMS if form.kind in kinds]

    def check(self, text: str) -> list[Hit]:
        found = []
        for kind, marks, pattern, name in self._forms:
            if any(mark in text for mark in marks):
                for match in pattern.finditer(text):
                    start, end = match.span(1 if pattern.groups else 0)
                    found.append(Hit(kind, f"The text holds {name}.", start, end, f"[{kind.upper()}]"))
        return in_order(found)

    def pending(self, text: str) -> int:
        """A secret is one run of token characters; only a private key has spaces and lines."""
        at = max(len(text.rstrip(_RUN)), len(text) - _MAX_RUN)
        begun = text.rfind("-----BEGIN")
        if begun >= 0 and _KEY_BEGUN.match(text, begun):
            at = min(at, begun)
        return at
