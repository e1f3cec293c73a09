"""The words of the house: kinds, scopes, refs, digests, ids and span attribute names. Knows nothing of storage or the web."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from typing import Any

import msgspec

from genwright import clock
from genwright.errors import Invalid

KINDS = (
    "prompt", "dataset", "corpus", "embedding_set", "index", "model", "price_book", "route", "policy", "tool", "app",
    "evaluator", "suite", "gate", "release",
)  # fmt: skip
"""Artifact kinds: a closed list."""

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,127}){0,7}\Z")
"""An artifact's name, with folders: `support/docs-qa`."""
LABEL = re.compile(r"^[a-z][a-z0-9_-]{0,62}\Z")
"""A label: never a number, so that it cannot be taken for a version."""
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}\Z")
IDENT = re.compile(r"^[A-Za-z0-9_-]{1,128}\Z")
"""What an id in a URL may look like; ids are made by the server."""


class Scope(msgspec.Struct, frozen=True):
    """Where a row lives. Every store function takes one; a workspace is a hard wall."""

    workspace: str = "default"
    project: str = "default"


class Ref(msgspec.Struct, frozen=True):
    """A name for a version: `kind:folder/name@label`, `…@3`, `…@sha256:<64 hex>`; no selector means the newest version."""

    kind: str
    name: str
    label: str | None = None
    number: int | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str, kind: str | None = None) -> Ref:
        """Read a ref; `kind` is used where the text names none. Raises Invalid with the form that is expected."""
        head, _, selector = text.strip().partition("@")
        named, colon, name = head.partition(":")
        if not colon:
            named, name = kind or "", head
        if named not in KINDS:
            near = difflib.get_close_matches(named, KINDS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else f" Kinds are: {', '.join(KINDS)}."
            raise Invalid(f"'{text}' is no reference: '{named or text}' is not a kind of artifact.{hint}", code="invalid_ref")
        if not NAME.match(name):
            raise Invalid(f"'{text}' is no reference: a name is letters, digits, '.', '_', '-' and '/'.", code="invalid_ref")
        if not selector:
            return cls(named, name)
        if DIGEST.match(selector):
            return cls(named, name, digest=selector)
        if selector.isascii() and selector.isdigit() and 0 < len(selector) < 10:
            return cls(named, name, number=int(selector))
        if LABEL.match(selector):
            return cls(named, name, label=selector)
        raise Invalid(f"'{text}' is no reference: after '@' comes a label, a number or sha256:<64 hex>.", code="invalid_ref")

    def __str__(self) -> str:
        selector = self.label or self.digest or (str(self.number) if self.number else "")
        return f"{self.kind}:{self.name}@{selector}" if selector else f"{self.kind}:{self.name}"


def canonical(value: Any) -> bytes:
    """Canonical JSON of plain data: sorted keys, no spaces, UTF-8, shortest floats. Equal data gives equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


def digest_bytes(data: bytes) -> str:
    """`sha256:<hex>` of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Digest of plain data (dicts, lists, strings, numbers, structs) over its canonical form."""
    return digest_bytes(canonical(value))


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """A server-made id that sorts by time: `run_0k3v…` (48 bits of milliseconds, 80 random bits, Crockford base 32)."""
    number = (clock.now_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    digits = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5))
    return f"{prefix}_{digits}"


def new_trace_id() -> str:
    """32 lower-case hex digits, as W3C trace context wants them."""
    return os.urandom(16).hex()


def new_span_id() -> str:
    """16 lower-case hex digits."""
    return os.urandom(8).hex()


def nearest(word: str, known: list[str], count: int = 3) -> list[str]:
    """The known names nearest to a mistyped one, best first."""
    return difflib.get_close_matches(word, known, count, cutoff=0.5)


# Span attributes of our own, beside OpenTelemetry's gen_ai.*; why and impact follow them.
RELEASE = "genwright.release"  # release:NAME@sha256:…
APP = "genwright.app"  # NAME
PROMPT = "genwright.prompt"  # prompt:NAME@sha256:…
INDEX = "genwright.index"  # index:NAME@sha256:…
POLICY = "genwright.policy"  # policy:NAME@sha256:…
DATASET = "genwright.dataset"  # dataset:NAME@sha256:…
ROUTE = "genwright.route"
ROUTE_REF = "genwright.route_ref"  # route:NAME@sha256:…
ROUTE_STEP = "genwright.route_step"  # place in the route's tree
RUN = "genwright.run"  # evaluation run id
STEP = "genwright.step"  # step id in the app
KEY = "genwright.key"  # id of the API key, never the key
COST = "genwright.cost_nano_usd"
REPLAY_OF = "genwright.replay_of"  # trace id of the recorded original
