"""How an index version comes to be: one durable job, every step of which can be interrupted and gone on with.

    corpus      freeze the corpus: an immutable version of what documents it has now
    chunk n     cut a group of documents (in worker processes), keep the chunks as a blob
    plan        which of their texts have never been embedded by this model
    embed n     embed a batch of those, keep the vectors as a blob and their places as rows
    write       put the folder together beside the others, sync it, rename it to its digest
    register    an index version that points to the folder, with its lineage; move the label

A text is embedded once for each model, whatever is built how often. Knows nothing of searching.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import failpoints
from genwright.access.service import SYSTEM, Actor
from genwright.blobs import Blobs
from genwright.db import Database
from genwright.errors import Invalid
from genwright.jobs import JobContext
from genwright.registry.service import Edge, Registry, Version
from genwright.retrieval import store
from genwright.retrieval.types import Chunk, Document, IndexSpec
from genwright.retrieval.worker import Failure, Workers
from genwright.vocab import Scope, digest_bytes

if TYPE_CHECKING:
    import numpy as np

KIND = "retrieval.build"
BATCH = 64
"""Texts embedded in one step."""
GROUP_CHARS = 500_000
"""Characters of documents chunked in one step."""
CHUNK_TIMEOUT_S = 120.0
FINISH_TIMEOUT_S = 3600.0
MAX_EDGES = 10_000


class Order(msgspec.Struct, frozen=True):
    """The job's arguments."""

    corpus: str
    index: str
    spec: IndexSpec
    label: str = ""


class Builder:
    """Builds index versions. `gateway` has `embed`; `root` is the folder of all index folders."""

    def __init__(self, database: Database, registry: Registry, gateway: Any, blobs: Blobs, workers: Workers, root: Path):
        self._database = database
        self._registry = registry
        self._gateway = gateway
        self._blobs = blobs
        self._workers = workers
        self._root = root

    async def run(self, job: JobContext) -> dict[str, Any]:
        """The job's handler."""
        order = msgspec.convert(job.arguments, Order)
        actor = _builder(job)
        frozen = await job.step("corpus", lambda: self._freeze(actor, order))
        rows = msgspec.json.decode(await self._get(job.scope, frozen["rows"]), type=list[Document])
        chunks, skipped = await self._chunk(job, order.spec, rows)
        await self._embed(job, actor, order.spec.embedding_model, chunks)
        await job.progress(len(chunks), len(chunks), "Writing the index")
        written = await job.step("write", lambda: self._write(job, order.spec.embedding_model, chunks))
        result = await job.step("register", lambda: self._register(actor, order, frozen, written))
        return {**result, "documents": len(rows) - len(skipped), "chunks": len(chunks), "skipped": skipped}

    async def _freeze(self, actor: Actor, order: Order) -> dict[str, Any]:
        rows = await self._database.read(store.readable, actor.scope, order.corpus)
        if not rows:
            raise Invalid(f"The corpus '{order.corpus}' has no readable documents. Nothing was built. Add some first.")
        content = {"documents": {row.name: row.digest for row in rows}}
        edges = [Edge("built_from", "", row.digest, row.name) for row in {row.digest: row for row in rows}.values()]
        version = await self._registry.put(actor, "corpus", order.corpus, content, edges=edges[:MAX_EDGES])
        blob = await self._put(actor.scope, msgspec.json.encode(rows))
        return {"digest": version.digest, "ref": version.ref, "rows": blob}

    # -- chunks

    async def _chunk(self, job: JobContext, spec: IndexSpec, rows: list[Document]) -> tuple[list[Chunk], list[dict[str, str]]]:
        chunks: list[Chunk] = []
        skipped: list[dict[str, str]] = []
        done = 0
        for number, group in enumerate(_groups(rows)):
            await job.progress(done, len(rows), "Chunking documents")
            made = await job.step(f"chunk {number}", partial(self._chunk_group, job.scope, spec, group))
            chunks += msgspec.msgpack.decode(await self._get(job.scope, made["blob"]), type=list[Chunk])
            skipped += made["skipped"]
            done += len(group)
        if not chunks:
            raise Invalid("No document gave a chunk. Nothing was built.", skipped=skipped)
        return chunks, skipped

    async def _chunk_group(self, scope: Scope, spec: IndexSpec, group: list[Document]) -> dict[str, Any]:
        options = msgspec.to_builtins(spec.chunker)

        async def one(row: Document) -> list[Chunk] | Failure:
            parsed = await self._get(scope, row.text_digest)
            try:
                return await self._workers.call(
                    "chunk", parsed, row.digest, row.name, options, timeout_s=CHUNK_TIMEOUT_S, shape=list[Chunk]
                )
            except Failure as failure:
                return failure

        results = await asyncio.gather(*(one(row) for row in group))
        chunks = [chunk for result in results if not isinstance(result, Failure) for chunk in result]
        skipped = [
            {"name": row.name, "code": result.code, "reason": result.message}
            for row, result in zip(group, results, strict=True)
            if isinstance(result, Failure)
        ]
        return {"blob": await self._put(scope, msgspec.msgpack.encode(chunks)), "skipped": skipped}

    # -- vectors

    async def _embed(self, job: JobContext, actor: Actor, model: str, chunks: list[Chunk]) -> None:
        texts = {digest_bytes(text.encode()): text for text in (chunk.contextual for chunk in chunks)}
        plan = await job.step("plan", lambda: self._plan(job.scope, model, sorted(texts)))
        missing = msgspec.json.decode(await self._get(job.scope, plan["blob"]), type=list[str])
        for number, start in enumerate(range(0, len(missing), BATCH)):
            await job.progress(start, len(missing), "Embedding chunks")
            batch = missing[start : start + BATCH]
            await job.step(f"embed {number}", partial(self._embed_batch, actor, model, batch, texts))
            failpoints.passing("ingest.after_batch")

    async def _plan(self, scope: Scope, model: str, digests: list[str]) -> dict[str, Any]:
        known = await self._database.read(store.places, scope, model, digests)
        missing = [digest for digest in digests if digest not in known]
        return {"blob": await self._put(scope, msgspec.json.encode(missing)), "missing": len(missing)}

    async def _embed_batch(self, actor: Actor, model: str, batch: list[str], texts: dict[str, str]) -> dict[str, Any]:
        known = await self._database.read(store.places, actor.scope, model, batch)
        missing = [digest for digest in batch if digest not in known]  # a crash after writing them leaves none
        if missing:
            vectors, _ = await self._gateway.embed(actor, model, [texts[digest] for digest in missing])
            blob = await self._put(actor.scope, _pack(vectors))
            await self._database.write(store.put_places, actor.scope, model, missing, blob)
        return {"embedded": len(missing)}

    async def _vectors(self, scope: Scope, model: str, chunks: list[Chunk]) -> np.ndarray:
        """float32 (n, d) in the order of the chunks."""
        import numpy as np

        digests = [digest_bytes(chunk.contextual.encode()) for chunk in chunks]
        places = await self._database.read(store.places, scope, model, sorted(set(digests)))
        tables = {blob: _unpack(await self._get(scope, blob)) for blob in {blob for blob, _ in places.values()}}
        width = next(iter(tables.values())).shape[1]
        vectors = np.empty((len(chunks), width), np.float32)
        for number, digest in enumerate(digests):
            blob, position = places[digest]
            vectors[number] = tables[blob][position]
        return vectors

    # -- the folder and its version

    async def _write(self, job: JobContext, model: str, chunks: list[Chunk]) -> dict[str, Any]:
        from genwright.retrieval import index

        vectors = await self._vectors(job.scope, model, chunks)
        root = self._root / job.scope.workspace
        beside = root / f".building-{job.id}"

        def begin() -> None:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            index.write_chunks(beside, chunks)
            index.write_vectors(beside, vectors)

        await asyncio.to_thread(begin)
        digest = await self._workers.call("finish", str(beside), timeout_s=FINISH_TIMEOUT_S, shape=str)
        folder = await asyncio.to_thread(index.publish, beside, root, digest)
        manifest = await asyncio.to_thread(index.read_manifest, folder)
        return {
            "folder": digest,
            "chunks": manifest.chunks,
            "dimensions": manifest.dimensions,
            "vector": manifest.vector,
            "text": manifest.text,
        }

    async def _register(self, actor: Actor, order: Order, frozen: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
        content = {
            "corpus": frozen["digest"],
            "chunker": msgspec.to_builtins(order.spec.chunker),
            "embedding": {"model": order.spec.embedding_model, "dimensions": written["dimensions"]},
            "chunks": written["chunks"],
            "folder": written["folder"],
            "backends": {"vector": written["vector"], "text": written["text"]},
        }
        edge = Edge("built_from", "", frozen["digest"], frozen["ref"])
        version: Version = await self._registry.put(actor, "index", order.index, content, edges=[edge])
        if order.label:
            await self._registry.label(actor, "index", order.index, order.label, version.number)
        return {"index": version.ref, "name": order.index, "number": version.number, "digest": version.digest}

    async def _put(self, scope: Scope, data: bytes) -> str:
        return await asyncio.to_thread(self._blobs.put, scope, data)

    async def _get(self, scope: Scope, digest: str) -> bytes:
        return await asyncio.to_thread(self._blobs.get, scope, digest)


def _pack(vectors: np.ndarray) -> bytes:
    """A batch of vectors as a blob: four bytes of width, then float32 rows, all little-endian."""
    return vectors.shape[1].to_bytes(4, "little") + vectors.astype("<f4").tobytes()


def _unpack(blob: bytes) -> np.ndarray:
    import numpy as np

    return np.frombuffer(blob, "<f4", offset=4).reshape(-1, int.from_bytes(blob[:4], "little"))


def _builder(job: JobContext) -> Actor:
    """Acts for who started the job; traces of its embedding calls keep no texts."""
    return msgspec.structs.replace(SYSTEM(job.scope), id=job.by or "system", capture="metadata")


def _groups(rows: list[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += row.chars
        if chars >= GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group
