"""The verbs of the registry: put and get versions, move labels, follow edges; one service for every kind of artifact.

Knows nothing of what a kind's content must look like (its room checks that before it puts) and caches nothing: versions found by
digest never change, and who keeps what a label resolves to listens by `on_label`.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from genwright import failpoints
from genwright.access.service import Actor
from genwright.db import Database
from genwright.errors import Invalid, TooLarge
from genwright.registry import store
from genwright.registry.types import RELATIONS, Artifact, Edge, Label, LabelMove, Page, Version
from genwright.vocab import DIGEST, KINDS, LABEL, NAME, Ref, Scope

__all__ = ["Artifact", "Edge", "Label", "LabelMove", "Page", "Registry", "Version"]

LabelCallback = Callable[[Scope, str, str, str, Version], Awaitable[None] | None]
Tags = Sequence[str]
Versions = list[Version]  # in the class below, `list` is a verb
Labels = list[Label]
Moves = list[LabelMove]
Edges = list[Edge]
PROTECTED = frozenset({"production"})
"""Labels that only those who may promote can move."""
MAX_CONTENT_BYTES = 64_000_000
MAX_NOTE = 10_000
MAX_TAGS = 100
MAX_LIMIT = 500
MAX_DEPTH = 20

log = logging.getLogger(__name__)


class Registry:
    def __init__(self, database: Database):
        self._database = database
        self._on_label: list[LabelCallback] = []

    # -- versions

    async def put(
        self,
        actor: Actor,
        kind: str,
        name: str,
        content: dict[str, Any],
        *,
        note: str = "",
        edges: Sequence[Edge] = (),
        tags: Tags = (),
        expected: int | None = None,
    ) -> Version:
        """Store a version, or return the newest one if it has this content already.

        `expected`: the newest number the writer saw (0: none yet); another writer in between gives Conflict and nothing is
        written. Without it concurrent writers all get their own version. Raises Invalid, TooLarge, Conflict, Forbidden.
        """
        actor.need("write")
        _check_name(kind, name)
        plain = _plain(content)
        digest = store.content_digest(kind, plain)
        new = store.NewVersion(
            kind=kind,
            name=name,
            content=plain,
            digest=digest,
            note=_check_note(note),
            tags=_check_tags(tags),
            edges=[_check_edge(edge, digest) for edge in edges],
            expected=expected,
            by=actor.id,
        )
        version, _ = await self._database.write(store.put, actor.scope, new)
        failpoints.passing("registry.after_put")
        return version

    async def get(self, scope: Scope, ref: str | Ref, kind: str | None = None) -> Version:
        """The version a ref names; without selector the newest. Raises Missing with the nearest names.

        `kind` is used where the text names none: `get(scope, "docs-qa@3", "prompt")`.
        """
        parsed = Ref.parse(ref, kind) if isinstance(ref, str) else ref
        return await self._database.read(store.get, scope, parsed)

    async def by_digest(self, scope: Scope, digest: str) -> Version:
        """The first version that has this digest. Raises Missing."""
        return await self._database.read(store.by_digest, scope, _check_digest(digest))

    async def versions(self, scope: Scope, kind: str, name: str, *, content: bool = False) -> Versions:
        """All versions of an artifact, newest first; without their contents unless asked for. Raises Missing."""
        return await self._database.read(store.versions_of, scope, kind, name, content)

    # -- artifacts

    async def artifact(self, scope: Scope, kind: str, name: str) -> Artifact:
        """What is said about an artifact, with its labels. Raises Missing."""
        return await self._database.read(store.get_artifact, scope, kind, name)

    async def list(
        self, scope: Scope, kind: str | None = None, query: str = "", tag: str = "", cursor: str | None = None, limit: int = 50
    ) -> Page:
        """Artifacts by kind and name; `query` is looked for in name and description, `tag` on artifacts and versions."""
        if kind and kind not in KINDS:
            raise Invalid(f"'{kind}' is not a kind. Kinds are: {', '.join(KINDS)}.", field="kind")
        limit = max(1, min(limit, MAX_LIMIT))
        after = _read_cursor(cursor) if cursor else ("", "")
        items = await self._database.read(store.page, scope, kind or "", query, tag, after, limit + 1)
        more = len(items) > limit
        return Page(items[:limit], _write_cursor(items[limit - 1]) if more else None)

    async def describe(
        self, actor: Actor, kind: str, name: str, description: str | None = None, tags: Tags | None = None
    ) -> Artifact:
        """Change an artifact's description or tags; None leaves them. Raises Missing."""
        actor.need("write")
        if description is not None:
            _check_note(description, "description")
        checked = None if tags is None else _check_tags(tags)
        return await self._database.write(store.describe, actor.scope, kind, name, description, checked, actor.id)

    # -- labels

    async def label(
        self, actor: Actor, kind: str, name: str, label: str, number: int, *, expected: int | None = None, note: str = ""
    ) -> LabelMove:
        """Put a label on a version. `expected`: where the mover saw it (0: nowhere); if it is elsewhere, Conflict.

        `production` needs the permission promote. Listeners have run when this returns. A label that stands there already is
        left alone, and its last move is returned.
        """
        actor.need("promote" if label in PROTECTED else "write")
        if not LABEL.match(label):
            raise Invalid(
                f"'{label[:100]}' cannot be a label: small letters, digits, '_' and '-', a letter first.", field="label"
            )
        wanted = store.Wanted(kind, name, label, number, expected, _check_note(note), actor.id)
        move, version, moved = await self._database.write(store.move_label, actor.scope, wanted)
        if moved:
            await self._tell(actor.scope, kind, name, label, version)
        return move

    async def labels(self, scope: Scope, kind: str, name: str) -> Labels:
        """Labels of an artifact, by name."""
        return await self._database.read(store.labels_of, scope, kind, name)

    async def history(self, scope: Scope, kind: str, name: str, limit: int = MAX_LIMIT) -> Moves:
        """Moves of all its labels, newest first."""
        return await self._database.read(store.history, scope, kind, name, max(1, min(limit, MAX_LIMIT)))

    def on_label(self, callback: LabelCallback) -> None:
        """Call back (scope, kind, name, label, version) after each move in this process; it may be a coroutine function."""
        self._on_label.append(callback)

    async def _tell(self, scope: Scope, kind: str, name: str, label: str, version: Version) -> None:
        for callback in self._on_label:
            try:
                result = callback(scope, kind, name, label, version)
                if inspect.isawaitable(result):
                    await result
            except Exception:  # a plug call: the label has moved, whatever a listener makes of it
                log.exception("A listener failed after %s:%s@%s moved to version %d", kind, name, label, version.number)

    # -- edges

    async def edges_back(self, scope: Scope, digest: str, depth: int = 1) -> Edges:
        """What a version depends on, nearest first, `depth` steps far."""
        return await self._database.read(store.walk, scope, _check_digest(digest), False, min(depth, MAX_DEPTH))

    async def edges_forward(self, scope: Scope, digest: str, depth: int = 1) -> Edges:
        """What depends on a version or blob, nearest first, `depth` steps far."""
        return await self._database.read(store.walk, scope, _check_digest(digest), True, min(depth, MAX_DEPTH))


# -- checks


def _check_name(kind: str, name: str) -> None:
    if kind not in KINDS:
        raise Invalid(f"'{kind[:100]}' is not a kind. Nothing was written. Kinds are: {', '.join(KINDS)}.", field="kind")
    if not NAME.match(name):
        raise Invalid(
            f"'{name[:200]}' cannot be a name. Nothing was written. Use letters, digits, '.', '_', '-', and '/' for folders.",
            field="name",
        )


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """The content as it will be read back, so that its digest is that of what is stored."""
    try:
        data = msgspec.json.encode(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"The content is not plain data: {error}. Nothing was written.", field="content") from error
    if len(data) > MAX_CONTENT_BYTES:
        raise TooLarge(f"The content has {len(data):,} bytes of at most {MAX_CONTENT_BYTES:,}. Nothing was written.")
    plain = msgspec.json.decode(data)
    if not isinstance(plain, dict):
        raise Invalid("The content is not an object. Nothing was written.", field="content")
    return plain


def _check_note(note: str, field: str = "note") -> str:
    if len(note) > MAX_NOTE:
        raise TooLarge(f"The {field} is longer than {MAX_NOTE:,} characters. Nothing was changed.", field=field)
    if "\0" in note:
        raise Invalid(f"The {field} has a NUL character in it. Nothing was changed.", field=field)
    return note


def _check_tags(tags: Tags) -> list[str]:
    checked = sorted({tag.strip() for tag in tags})
    if len(checked) > MAX_TAGS or any(not 0 < len(tag) <= 100 or "\0" in tag for tag in checked):
        raise Invalid(f"Tags are at most {MAX_TAGS}, each of 1 to 100 characters. Nothing was changed.", field="tags")
    return checked


def _check_edge(edge: Edge, source: str) -> Edge:
    if edge.relation not in RELATIONS:
        raise Invalid(
            f"'{edge.relation}' is not a relation. Nothing was written. Relations: {', '.join(RELATIONS)}.", field="edges"
        )
    if edge.source not in ("", source):
        raise Invalid("An edge's source is the version being put: leave it empty. Nothing was written.", field="edges")
    _check_digest(edge.target)
    if len(edge.target_ref) > 1000 or "\0" in edge.target_ref:
        raise Invalid("An edge's target_ref is at most 1,000 characters, without NUL. Nothing was written.", field="edges")
    return msgspec.structs.replace(edge, source=source)


def _check_digest(digest: str) -> str:
    if not DIGEST.match(digest):
        raise Invalid(f"{digest[:100]!r} is not a digest; one looks like sha256:<64 hex digits>.", code="invalid_digest")
    return digest


def _write_cursor(last: Artifact) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([last.kind, last.name])).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[str, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Invalid("This cursor is not one of ours. Begin again without a cursor.", field="cursor") from error
