"""The verbs of datasets: put rows, read rows, keep a trace as a test case. Versions live in the registry, rows in blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from genwright.access.types import Actor
from genwright.blobs import Blobs
from genwright.datasets import rows
from genwright.datasets.types import AddTrace, Manifest, RowPage
from genwright.errors import Conflict, Invalid, Missing
from genwright.messages import Message
from genwright.registry.service import Registry
from genwright.registry.types import Page, Version
from genwright.tracing.service import Tracing
from genwright.tracing.types import Span, Trace
from genwright.vocab import RELEASE, Ref, Scope, canonical

__all__ = ["Datasets", "Manifest"]

Rows = list[dict[str, Any]]  # in the class below, `list` is a verb
MAX_LIMIT = 500
_ATTEMPTS = 5


class Datasets:
    """`tracing` is needed by `add_trace` only."""

    def __init__(self, registry: Registry, blobs: Blobs, tracing: Tracing | None = None):
        self._registry, self._blobs, self._tracing = registry, blobs, tracing

    async def put(self, actor: Actor, name: str, items: Sequence[Any], note: str = "", *, expected: int | None = None) -> Version:
        """A new version with exactly these rows; the newest one if its rows are the same.

        Raises Invalid or TooLarge naming the row that does not fit, Conflict as `Registry.put`.
        """
        actor.need("write")
        packed = await asyncio.to_thread(self._store, actor.scope, items)
        content = msgspec.to_builtins(packed.manifest)
        return await self._registry.put(actor, "dataset", name, content, note=note, expected=expected)

    async def get(self, scope: Scope, ref: str) -> Version:
        """A version by ref (`dataset:` may be left out); the newest without a selector."""
        return await self._registry.get(scope, Ref.parse(ref, "dataset"))

    async def items(self, scope: Scope, ref: str, split: str | None = None) -> Rows:
        """All rows of a version in their order, or those of one split. Raises Missing for a split that it has not."""
        return (await self.read(scope, ref, split))[1]

    async def read(self, scope: Scope, ref: str, split: str | None = None) -> tuple[Version, Rows]:
        """The version with its rows."""
        version = await self.get(scope, ref)
        manifest = msgspec.convert(version.content, Manifest)
        if split and split not in manifest.splits:
            known = ", ".join(f"{name} ({count})" for name, count in manifest.splits.items()) or "none"
            raise Missing(
                f"dataset:{version.name}@{version.number} has no split '{split}'. Its splits: {known}.", code="no_split"
            )
        found = await asyncio.to_thread(self._load, scope, manifest.digest)
        return version, [row for row in found if row.get("split") == split] if split else found

    async def page(
        self, scope: Scope, ref: str, *, split: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> RowPage:
        """A part of a version's rows. With a ref that moves, go on with the `ref` of the first page."""
        start = _start(cursor)
        limit = max(1, min(limit, MAX_LIMIT))
        version, found = await self.read(scope, ref, split)
        end = start + limit
        return RowPage(found[start:end], str(end) if end < len(found) else None, version.ref, version.number, len(found))

    async def list(self, scope: Scope, query: str = "", cursor: str | None = None, limit: int = 50) -> Page:
        """The datasets of a project."""
        return await self._registry.list(scope, "dataset", query, cursor=cursor, limit=limit)

    async def add_trace(self, actor: Actor, want: AddTrace) -> Version:
        """Keep a trace's question as a row: every bad answer can be turned into a test.

        The row with the same trace is replaced. Raises Missing (no such trace), Invalid (its texts were not recorded).
        """
        actor.need("write")
        if self._tracing is None:
            raise Invalid("This server keeps no traces. Nothing was kept.")
        row = row_of(await self._tracing.trace(actor.scope, want.trace), want)
        for attempt in range(_ATTEMPTS):
            newest, found = await self._newest(actor.scope, want.name)
            kept = [known for known in found if known["id"] != row["id"]]
            try:
                return await self.put(
                    actor, want.name, [*kept, row], want.note or f"row from trace {want.trace}", expected=newest
                )
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _newest(self, scope: Scope, name: str) -> tuple[int, Rows]:
        try:
            version, found = await self.read(scope, name)
        except Missing:
            return 0, []
        return version.number, found

    def _store(self, scope: Scope, items: Sequence[Any]) -> rows.Packed:
        packed = rows.pack(items)
        self._blobs.put(scope, packed.lines)
        self._blobs.put(scope, packed.row_digests)
        return packed

    def _load(self, scope: Scope, digest: str) -> Rows:
        return rows.unpack(self._blobs.get(scope, digest))


def row_of(trace: Trace, want: AddTrace) -> dict[str, Any]:
    """The row a trace makes: question and observed answer of its root, with what a person said should have come."""
    root = _root(trace)
    question = _question(root.input)
    if not question:
        raise Invalid(
            f"Trace {want.trace} has no question on record (capture={root.capture}), so it cannot be a row. Nothing was kept.",
            code="no_question",
        )
    row: dict[str, Any] = {"id": f"trace-{trace.row.trace_id[:16]}", "question": question, "trace": trace.row.trace_id}
    row |= {"observed": _text(root.output), "topics": want.topics, "split": want.split}
    if want.answer:
        row["answer"] = want.answer
    if root.attributes.get(RELEASE):
        row["release"] = root.attributes[RELEASE]
    return row


def _root(trace: Trace) -> Span:
    app = next((span for span in trace.spans if span.operation == "invoke_agent"), None)
    return app or next((span for span in trace.spans if not span.parent_id), trace.spans[0])


def _messages(value: Any) -> Rows | str:
    if isinstance(value, str):
        return value
    plain = msgspec.to_builtins(value or [])
    return plain if isinstance(plain, list) else canonical(plain).decode()


def _question(value: Any) -> str:
    """Text of the last user message."""
    found = _messages(value)
    if isinstance(found, str):
        return found
    users = [message for message in found if isinstance(message, dict) and message.get("role") == "user"]
    return _text(users[-1:])


def _text(value: Any) -> str:
    found = _messages(value)
    if isinstance(found, str):
        return found
    try:
        return "\n".join(message.text for message in msgspec.convert(found, list[Message]))
    except msgspec.ValidationError:
        return canonical(found).decode()


def _start(cursor: str | None) -> int:
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Invalid("This cursor is not one of ours. Begin again without a cursor.", field="cursor")
    return int(cursor)
