"""The verbs of retrieval: documents in, index versions built, passages out.

A document that cannot be read is listed with the reason and skipped; it never stops the others. An index version is immutable:
changing documents changes nothing until the next build. Knows no app and no prompt.
"""

from __future__ import annotations

import asyncio
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock, failpoints
from genwright.access.service import Actor
from genwright.blobs import Blobs
from genwright.db import Database
from genwright.errors import Invalid, Missing
from genwright.jobs import Job, Jobs
from genwright.registry.service import PROTECTED, Registry, Version
from genwright.retrieval import building, store
from genwright.retrieval.types import DEFAULT_MODEL, MODES, Document, IndexRow, IndexSpec, Parsed, Passage
from genwright.retrieval.worker import DEAD, SLOW, Failure, Workers
from genwright.settings import Settings
from genwright.vocab import DIGEST, INDEX, LABEL, NAME, Scope, digest_bytes, nearest

if TYPE_CHECKING:
    import numpy as np

    from genwright.retrieval.index import Index

PARSE_TIMEOUT_S = 60.0
MAX_NAME = 500
MAX_K = 100
SPARE = 10
"""Candidates more than asked for, to fill the places of equal texts."""
MAX_QUERY = 20_000
OPEN_INDEXES = 8
MAX_LIMIT = 500


class Retrieval:
    """`gateway` has `embed(actor, model, texts)`; `tracing` has `span`. Registers its job with `jobs`."""

    def __init__(
        self, database: Database, registry: Registry, tracing: Any, gateway: Any, blobs: Blobs, jobs: Jobs, settings: Settings
    ):
        self._database = database
        self._registry = registry
        self._tracing = tracing
        self._gateway = gateway
        self._blobs = blobs
        self._jobs = jobs
        self._settings = settings
        self._root = settings.path / "indexes"
        self._workers = Workers(settings.workers)
        self._open: OrderedDict[str, Index] = OrderedDict()
        self._opening = threading.Lock()
        self._adding: dict[tuple[str, ...], asyncio.Lock] = {}
        builder = building.Builder(database, registry, gateway, blobs, self._workers, self._root)
        jobs.handler(building.KIND, builder.run)

    def close(self) -> None:
        """End the worker processes."""
        self._workers.close()

    # -- documents

    async def add_document(self, actor: Actor, corpus: str, name: str, data: bytes, media_type: str = "") -> Document:
        """Put a document into a corpus, in place of one of that name. The same bytes again change nothing.

        What cannot be read is kept in the list as skipped, with the reason; look at `state`. Raises Invalid for a name that
        cannot be one.
        """
        actor.need("write")
        _check_names(corpus, name)
        digest = digest_bytes(data)
        known = await self._database.read(store.document, actor.scope, corpus, name)
        if known is not None and known.digest == digest and known.state != "failed":
            return known
        row = Document(
            workspace=actor.scope.workspace, project=actor.scope.project, corpus=corpus, name=name, digest=digest,
            media_type=media_type[:200], bytes=len(data), at_ns=clock.now_ns(),
        )  # fmt: skip
        row = await self._read(actor.scope, row, data)
        await self._database.write(store.put_document, actor.scope, row)
        return row

    async def skip_document(self, actor: Actor, corpus: str, name: str, size: int, code: str, reason: str) -> Document:
        """List a document that was not read at all (too large to be sent)."""
        actor.need("write")
        _check_names(corpus, name)
        row = Document(
            workspace=actor.scope.workspace, project=actor.scope.project, corpus=corpus, name=name, digest="", bytes=size,
            state="skipped", code=code, reason=reason, at_ns=clock.now_ns(),
        )  # fmt: skip
        await self._database.write(store.put_document, actor.scope, row)
        return row

    async def remove_document(self, actor: Actor, corpus: str, name: str) -> None:
        """Take a document out of a corpus; index versions that hold it stay as they are. Raises Missing."""
        actor.need("write")
        if not await self._database.write(store.remove_document, actor.scope, corpus, name):
            raise Missing(f"The corpus '{corpus}' has no document '{name}'. Nothing was removed.")

    async def documents(
        self, scope: Scope, corpus: str, *, state: str = "", cursor: str = "", limit: int = 100
    ) -> list[Document]:
        """Documents of a corpus by name; `cursor` is the last name seen."""
        return await self._database.read(store.page, scope, corpus, state, cursor, max(1, min(limit, MAX_LIMIT)))

    async def corpora(self, scope: Scope) -> list[dict[str, Any]]:
        """[{"name", "documents", "skipped", "bytes"}], by name."""
        return await self._database.read(store.corpora, scope)

    async def parsed(self, scope: Scope, digest: str, name: str = "") -> tuple[str, Parsed]:
        """(name, text with title and headings) of a document by the digest of its bytes, changed or removed ones too."""
        found = await self._database.read(store.parsed_text, scope, digest, name)
        if found is None:
            raise Missing(f"There is no document {digest[:100]} here.")
        data = await asyncio.to_thread(self._blobs.get, scope, found[1])
        return found[0], msgspec.json.decode(data, type=Parsed)

    async def document_text(self, scope: Scope, digest: str, name: str = "") -> str:
        """The text that offsets of chunks and passages count in."""
        return (await self.parsed(scope, digest, name))[1].text

    async def _read(self, scope: Scope, row: Document, data: bytes) -> Document:
        """The row with its parsed text stored, or with the reason why there is none."""
        limit = self._settings.max_document_bytes
        if len(data) > limit:
            return _skipped(row, "too_large", f"It has {len(data):,} bytes; {limit:,} is the most (max_document_bytes).")
        try:
            parsed: Parsed = await self._workers.call(
                "parse", data, row.name, row.media_type, timeout_s=PARSE_TIMEOUT_S, shape=Parsed
            )
        except Failure as failure:
            failed = failure.code in (SLOW, DEAD)
            return _skipped(row, failure.code, failure.message, state="failed" if failed else "skipped")
        failpoints.passing("ingest.after_parse")
        await asyncio.to_thread(self._blobs.put, scope, data)
        text_digest = await asyncio.to_thread(self._blobs.put, scope, msgspec.json.encode(parsed))
        return msgspec.structs.replace(row, text_digest=text_digest, chars=len(parsed.text), title=parsed.title[:500])

    # -- index versions

    async def build(self, actor: Actor, corpus: str, index: str, spec: IndexSpec | None = None, label: str = "") -> Job:
        """Start building a version of `index` from what `corpus` holds now. The job's result has its ref under `index`."""
        from genwright.retrieval import chunk

        actor.need("write")
        spec = spec or IndexSpec()
        if not NAME.match(index):
            raise Invalid(f"'{index[:100]}' cannot be the name of an index: letters, digits, '.', '_', '-' and '/'.")
        if label and not LABEL.match(label):
            raise Invalid(f"'{label[:100]}' cannot be a label: lower-case letters, digits, '_' and '-', a letter first.")
        if label in PROTECTED:
            actor.need("promote")
        chunk.check(spec.chunker, spec.embedding_model)
        if not await self._database.read(store.readable, actor.scope, corpus):
            known = [found["name"] for found in await self.corpora(actor.scope)]
            near = nearest(corpus, known) or known[:5]
            hint = f" Corpora: {', '.join(near)}." if near else ""
            raise Missing(f"The corpus '{corpus[:100]}' has no readable documents. Nothing was built.{hint}")
        order = building.Order(corpus, index, spec, label)
        return await self._jobs.start(actor.scope, building.KIND, msgspec.to_builtins(order), by=actor.id)

    async def indexes(self, scope: Scope, name: str = "") -> list[IndexRow]:
        """Versions of one index, or of all, newest first."""
        if name:
            names = [name]
        else:
            names = [artifact.name for artifact in (await self._registry.list(scope, "index", limit=MAX_LIMIT)).items]
        found = [version for known in names for version in await self._registry.versions(scope, "index", known, content=True)]
        rows = [
            IndexRow(
                name=version.name,
                number=version.number,
                digest=version.digest,
                labels=version.labels,
                created_ns=version.created_ns,
                content=version.content,
            )
            for version in found
        ]
        return sorted(rows, key=lambda row: -row.created_ns)

    # -- search

    async def search(
        self,
        actor: Actor,
        index: str | Version,
        query: str,
        *,
        mode: str = "hybrid",
        k: int = 5,
        parent: tuple[str, str] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> list[Passage]:
        """The k passages of an index version (a ref, or the version itself) that answer the query best, best first.

        `parent` (trace id, span id) and `attributes` go onto the retrieval span.
        """
        actor.need("call")
        _check_search(query, mode, k)
        version = await self._registry.get(actor.scope, index, "index") if isinstance(index, str) else index
        model = version.content["embedding"]["model"]
        with self._tracing.span(actor, f"retrieval {version.name}", operation="retrieval", parent=parent) as span:
            for key, value in (attributes or {}).items():
                span.set(key, value)
            span.input = query
            span.set(INDEX, version.ref)
            span.set("genwright.mode", mode)
            span.set("genwright.k", k)
            span.set("gen_ai.data_source.id", version.ref)
            opened = await self.opened(actor.scope, version)
            vector = None
            if mode != "text":
                span.set("genwright.embedding_model", model)
                vector = await self._embed_query(actor, span, model, query)
            hits = await asyncio.to_thread(opened.search, mode, query, vector, k + SPARE)
            passages = _distinct((_passage(opened, rank, hit) for rank, hit in enumerate(hits, 1)), k)
            span.set("gen_ai.retrieval.documents", [_on_span(passage, actor.capture) for passage in passages])
        return passages

    async def opened(self, scope: Scope, version: Version) -> Index:
        """The index version's folder, opened; the few used last are kept open. Raises Unavailable if it is damaged."""
        name = version.content["folder"]
        if not DIGEST.match(name):  # it becomes a path
            raise Invalid(f"{name[:100]!r} is no digest of an index's files. Nothing was read.", code="invalid_digest")
        folder = self._root / scope.workspace / name.removeprefix("sha256:")
        found = self._open.get(str(folder))
        if found is not None:
            self._open.move_to_end(str(folder))
            return found
        return await asyncio.to_thread(self._open_folder, folder)

    def _open_folder(self, folder: Any) -> Index:
        from genwright.retrieval.index import Index

        with self._opening:
            found = self._open.get(str(folder))
            if found is None:
                found = self._open[str(folder)] = Index(folder)
                while len(self._open) > OPEN_INDEXES:
                    self._open.popitem(last=False)
            return found

    async def _embed_query(self, actor: Actor, span: Any, model: str, query: str) -> np.ndarray:
        if model == DEFAULT_MODEL:
            from genwright import embed

            pieces = await asyncio.to_thread(embed.pieces, query)
            room = embed.MAX_TOKENS - 2
            if len(pieces) > room:  # said on the span: words beyond it still count for text search
                span.set("genwright.query_read_chars", pieces[room - 1][1])
                query = query[: pieces[room - 1][1]]
        vectors, _ = await self._gateway.embed(actor, model, [query])
        return _unit(vectors[0])


def _distinct(passages: Iterable[Passage], k: int) -> list[Passage]:
    """The first k passages with different texts: a text that stands in several documents would only take another's place."""
    by_text: dict[str, Passage] = {}
    for passage in passages:
        by_text.setdefault(passage.text, passage)
    return [msgspec.structs.replace(passage, n=n) for n, passage in enumerate(list(by_text.values())[:k], 1)]


def _unit(vector: np.ndarray) -> np.ndarray:
    import numpy as np

    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)


def _passage(index: Index, rank: int, hit: tuple[int, float, dict[str, float]]) -> Passage:
    chunk = index.chunks[hit[0]]
    return Passage(
        id=f"{chunk.document.removeprefix('sha256:')[:12]}:{chunk.start}-{chunk.end}", n=rank, document=chunk.document,
        name=chunk.name, title=chunk.title, heading=chunk.heading, start=chunk.start, end=chunk.end, score=hit[1], scores=hit[2],
        text=chunk.text,
    )  # fmt: skip


def _on_span(passage: Passage, capture: str) -> dict[str, Any]:
    shown = msgspec.to_builtins(passage)
    if capture != "full":
        del shown["text"]
    return shown


def _skipped(row: Document, code: str, reason: str, state: str = "skipped") -> Document:
    return msgspec.structs.replace(row, state=state, code=code, reason=reason)


def _check_names(corpus: str, name: str) -> None:
    if not NAME.match(corpus):
        raise Invalid(f"'{corpus[:100]}' cannot be the name of a corpus: letters, digits, '.', '_', '-' and '/'.")
    bad = not name.strip() or len(name) > MAX_NAME or any(unicodedata.category(letter)[0] == "C" for letter in name)
    if bad:
        raise Invalid(f"{name[:100]!r} cannot be a document's name: 1 to {MAX_NAME} printable characters. Nothing was added.")


def _check_search(query: str, mode: str, k: int) -> None:
    if mode not in MODES:
        raise Invalid(f"'{mode[:50]}' is not a way to search. Modes are: {', '.join(MODES)}.", code="unknown_mode")
    if not 1 <= k <= MAX_K:
        raise Invalid(f"k is 1 to {MAX_K}, not {k}.")
    if not query.strip():
        raise Invalid("The query is empty. Nothing was searched.")
    if len(query) > MAX_QUERY:
        raise Invalid(f"The query has {len(query):,} characters; {MAX_QUERY:,} is the most. Nothing was searched.")
