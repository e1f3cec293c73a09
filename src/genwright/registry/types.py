"""Records of the registry. Knows nothing of storage or HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.vocab import Ref

RELATIONS = ("uses", "built_from", "evaluated_on", "compared_with", "derived_from")
"""What an edge can say: the source (newer) uses, was built from, … the target."""


class Edge(msgspec.Struct, frozen=True):
    """Lineage: the source depends on the target. Followed back by *why*, forward by *impact*."""

    relation: str
    """One of RELATIONS."""
    source: str
    """Digest of the newer version; empty in `put` stands for the version being put."""
    target: str
    """Digest of what it depends on: a version or a blob."""
    target_ref: str = ""
    """How the source named the target, e.g. `prompt:docs-qa@production`."""
    source_ref: str = ""
    """`kind:name@sha256:…` of the source; filled in by the registry."""


class Version(msgspec.Struct, frozen=True):
    """One immutable version of an artifact."""

    workspace: str
    project: str
    kind: str
    name: str
    number: int
    """1, 2, 3 … without a gap, per artifact."""
    digest: str
    """SHA-256 over the canonical form of kind and content."""
    content: dict[str, Any]
    """Empty in lists."""
    note: str
    tags: list[str]
    created_ns: int
    created_by: str
    labels: list[str] = []
    """Labels that stood on it when it was read."""

    @property
    def ref(self) -> str:
        """`kind:name@sha256:…`: names this content for ever."""
        return str(Ref(self.kind, self.name, digest=self.digest))


class Artifact(msgspec.Struct, frozen=True):
    """A named thing of a kind, with its newest version's number."""

    workspace: str
    project: str
    kind: str
    name: str
    description: str
    tags: list[str]
    newest: int
    created_ns: int
    created_by: str
    updated_ns: int
    """When the newest version was put."""
    labels: dict[str, int] = {}
    """Label → version number."""


class Label(msgspec.Struct, frozen=True):
    """A movable name on one version."""

    workspace: str
    project: str
    kind: str
    name: str
    label: str
    number: int
    moved_ns: int
    moved_by: str


class LabelMove(msgspec.Struct, frozen=True):
    """One move of a label; moves are kept for ever."""

    workspace: str
    project: str
    kind: str
    name: str
    label: str
    move: int
    """1, 2, 3 … per label."""
    from_number: int | None
    """Version it stood on before; None when it was new."""
    to_number: int
    at_ns: int
    by: str
    note: str


class Page(msgspec.Struct, frozen=True):
    """A part of a list."""

    items: list[Artifact]
    next: str | None
    """Cursor of the next part; None at the end."""
