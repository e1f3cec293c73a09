"""One index version on disk: an immutable folder named by its own digest, and how it is searched.

    chunks.bin, chunks.npy      the chunks as msgpack, one after the other, and where each begins
    vectors.npy                 float32 (n, d), rows of L2 norm 1, in the order of the chunks
    vectors.faiss               only above EXACT chunks: IVF with 8-bit codes, its candidates are scored again on vectors.npy
    text/                       the BM25 matrix of bm25s (Lucene's formula, k1 = 1.2, b = 0.75)
    manifest.json               what it is and the SHA-256 of every file; the folder's digest is the digest of this

Equal chunks and vectors give equal bytes. Files are memory-mapped: an open index costs what is touched.
Knows no corpus, no registry and no model.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import failpoints
from genwright.blobs import sync_folder
from genwright.errors import NEVER, Invalid, Unavailable
from genwright.retrieval.terms import terms
from genwright.retrieval.types import Chunk
from genwright.vocab import canonical, digest_bytes

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
EXACT = 20_000
"""Up to so many chunks vectors are compared one by one, exactly."""
RECALL = 0.97
"""Recall@10 against exact search that the approximate index is set to reach."""
K1, B = 1.2, 0.75
VECTOR_WEIGHT = 0.8
"""Share of the vector score in hybrid search; the value of Bruch, Gai, Ingber 2023, not tuned by us."""
DEPTH = 100
"""Candidates that each side gives to hybrid search, at least."""

Hit = tuple[int, float, dict[str, float]]
"""Chunk number, score, scores by side."""


class Manifest(msgspec.Struct, frozen=True):
    """What a folder holds."""

    format: int
    chunks: int
    dimensions: int
    vector: dict[str, Any]
    """{"backend": "exact"} or {"backend": "faiss-ivf-sq8", "lists", "probe", "recall"}."""
    text: dict[str, Any]
    files: dict[str, dict[str, Any]]
    """Name → {"sha256", "bytes"}."""

    @property
    def digest(self) -> str:
        return digest_bytes(canonical(self))


# -- writing


def write_chunks(folder: Path, chunks: Iterable[Chunk]) -> int:
    """Begin an index in an empty folder; returns how many chunks were written."""
    import numpy as np

    offsets = [0]
    with open(folder / "chunks.bin", "wb") as file:
        for chunk in chunks:
            offsets.append(offsets[-1] + file.write(msgspec.msgpack.encode(chunk)))
    np.save(folder / "chunks.npy", np.array(offsets, np.uint64), allow_pickle=False)
    return len(offsets) - 1


def write_vectors(folder: Path, vectors: np.ndarray) -> None:
    """float32 (n, d); rows are brought to L2 norm 1."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", (vectors / np.maximum(norms, 1e-12)).astype(np.float32), allow_pickle=False)


def finish(folder: Path) -> str:
    """Build what is derived from chunks and vectors, sync every file, write the manifest; returns the digest. Slow."""
    import numpy as np

    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    chunks = _Chunks(folder)
    if len(chunks) != len(vectors):
        raise Invalid(f"There are {len(chunks)} chunks but {len(vectors)} vectors. Nothing was built.")
    text = _build_text(folder / "text", chunks)
    vector = {"backend": "exact"} if len(vectors) <= EXACT else _build_ivf(folder / "vectors.faiss", vectors)
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = {"sha256": found, "bytes": path.stat().st_size}
    manifest = Manifest(FORMAT, len(chunks), int(vectors.shape[1]), vector, text, files)
    with open(folder / "manifest.json", "wb") as file:
        file.write(canonical(manifest))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder / "text")
    sync_folder(folder)
    return manifest.digest


def publish(folder: Path, root: Path, digest: str) -> Path:
    """Move a finished folder to its name below `root`, at once or not at all. The same index again changes nothing."""
    target = root / digest.removeprefix("sha256:")
    failpoints.passing("index.before_rename")
    if target.exists():
        shutil.rmtree(folder)
    else:
        os.rename(folder, target)
        sync_folder(root)
    failpoints.passing("index.after_rename")
    return target


def _build_text(folder: Path, chunks: _Chunks) -> dict[str, Any]:
    import bm25s

    folder.mkdir(exist_ok=True)
    vocabulary: dict[str, int] = {}
    rows = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms(chunk.contextual)] for chunk in chunks]
    vocabulary.setdefault("", len(vocabulary))
    model = bm25s.BM25(k1=K1, b=B, method="lucene")
    model.index((rows, vocabulary), show_progress=False)
    model.save(folder, show_progress=False, allow_pickle=False)
    return {"backend": "bm25s", "k1": K1, "b": B, "terms": len(vocabulary)}


def _build_ivf(path: Path, vectors: np.ndarray) -> dict[str, Any]:
    """Inverted lists with 8-bit codes; probes are raised until the sample's recall is reached. Deterministic (fixed seeds)."""
    import faiss
    import numpy as np

    count, dimensions = vectors.shape
    lists = min(int(4 * count**0.5), count // 39)  # faiss wants 39 vectors a list to learn from
    quantizer = faiss.IndexFlatIP(dimensions)
    index = faiss.IndexIVFScalarQuantizer(quantizer, dimensions, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    data = np.ascontiguousarray(vectors)
    index.train(data)
    index.add(data)
    queries = _like_queries(data)
    exact = faiss.knn(queries, data, 10, metric=faiss.METRIC_INNER_PRODUCT)[1].tolist()
    probe, recall = 8, 0.0
    while recall < RECALL and probe < lists:
        probe = min(lists, probe * 3 // 2)
        index.nprobe = probe
        found = index.search(queries, 40)[1].tolist()  # search scores more candidates again than are asked for
        recall = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]))
    faiss.write_index(index, str(path))
    return {"backend": "faiss-ivf-sq8", "lists": lists, "probe": probe, "recall": round(recall, 4)}


def _like_queries(data: np.ndarray) -> np.ndarray:
    """200 vectors as far from the stored ones as questions are from their passages (cosine about 0.75)."""
    import numpy as np

    random = np.random.default_rng(0)
    chosen = data[np.sort(random.choice(len(data), min(200, len(data)), replace=False))]
    noise = random.normal(size=chosen.shape)
    moved = chosen + 0.9 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


# -- reading


class _Chunks:
    """The chunks of a folder, read one by one from mapped memory."""

    def __init__(self, folder: Path):
        import mmap

        import numpy as np

        self._offsets = np.load(folder / "chunks.npy", mmap_mode="r", allow_pickle=False)
        with open(folder / "chunks.bin", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._decoder = msgspec.msgpack.Decoder(Chunk)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> Chunk:
        return self._decoder.decode(self._data[int(self._offsets[number]) : int(self._offsets[number + 1])])

    def __iter__(self) -> Iterator[Chunk]:
        return (self[number] for number in range(len(self)))


class Index:
    """An open index version; safe to search from several threads. Raises Unavailable where files are missing or cut."""

    def __init__(self, folder: Path):
        import bm25s
        import numpy as np

        self.folder = folder
        self.manifest = read_manifest(folder)
        _check_sizes(folder, self.manifest)
        self.chunks = _Chunks(folder)
        self._vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        self._text = bm25s.BM25.load(folder / "text", mmap=True, load_corpus=False, show_progress=False)
        self._ivf: Any = None
        if "vectors.faiss" in self.manifest.files:
            import faiss

            self._ivf = faiss.read_index(str(folder / "vectors.faiss"))
            self._ivf.nprobe = self.manifest.vector["probe"]

    def search(self, mode: str, query: str, vector: np.ndarray | None, k: int) -> list[Hit]:
        """The k best chunks, best first. `vector` (float32, d) is needed for the modes vector and hybrid."""
        if not len(self.chunks):
            return []
        if mode == "text":
            words = self._word_scores(query)
            return [
                (number, float(words[number]), {"text": float(words[number])}) for number in _best(words, k) if words[number] > 0
            ]
        assert vector is not None
        if vector.shape != (self.manifest.dimensions,):
            raise Invalid(
                f"The query's vector has {vector.shape[0]} dimensions, the index {self.manifest.dimensions}: "
                "it was built with another embedding model. Nothing was searched."
            )
        if mode == "vector":
            return [(number, score, {"vector": score}) for number, score in self._nearest(vector, k)]
        return self._hybrid(query, vector, k)

    def verify(self) -> None:
        """Read every byte and compare the hashes. Raises Unavailable naming the damaged file."""
        for name, expected in self.manifest.files.items():
            with open(self.folder / name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:
                    raise _damaged(self.folder, f"{name} is not what was written")

    def _nearest(self, vector: np.ndarray, k: int) -> list[tuple[int, float]]:
        import numpy as np

        row = np.ascontiguousarray(vector, np.float32)
        if self._ivf is None:  # one product; faiss would wake its threads for each query
            scores = self._vectors @ row
            return [(number, float(scores[number])) for number in _best(scores, k)]
        found = self._ivf.search(row[None, :], max(2 * k, 40))[1][0]
        found = np.sort(found[found >= 0])
        scores = self._vectors[found] @ row
        return [(int(found[place]), float(scores[place])) for place in _best(scores, k)]

    def _word_scores(self, query: str) -> np.ndarray:
        import numpy as np

        known = [term for term in terms(query) if term in self._text.vocab_dict]
        if not known:
            return np.zeros(len(self.chunks), np.float32)
        return self._text.get_scores(known)

    def _hybrid(self, query: str, vector: np.ndarray, k: int) -> list[Hit]:
        """Convex combination of both scores, each brought to at most 1 by its theoretical minimum and the query's best hit.

        TM2C2 of Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (ACM TOIS 2023). Both scores of every
        candidate of either side are exact.
        """
        import numpy as np

        depth = max(DEPTH, 4 * k)
        words = self._word_scores(query)
        numbers = np.array(
            sorted({number for number, _ in self._nearest(vector, depth)} | {n for n in _best(words, depth) if words[n] > 0})
        )
        near = self._vectors[numbers] @ vector.astype(np.float32)
        held = words[numbers]
        vector_part = (near + 1) / (near.max() + 1)
        text_part = held / held.max() if held.max() > 0 else np.zeros_like(held)
        fused = VECTOR_WEIGHT * vector_part + (1 - VECTOR_WEIGHT) * text_part
        order = np.argsort(-fused, kind="stable")[:k]
        return [(int(numbers[i]), float(fused[i]), {"vector": float(near[i]), "text": float(held[i])}) for i in order]


def read_manifest(folder: Path) -> Manifest:
    """Raises Unavailable."""
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise _damaged(folder, f"its manifest cannot be read ({error})") from error
    if manifest.digest != f"sha256:{folder.name}":
        raise _damaged(folder, "its manifest is not the one it was named by")
    return manifest


def _check_sizes(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            raise _damaged(folder, f"{name} is missing or has another size")


def _damaged(folder: Path, what: str) -> Unavailable:
    return Unavailable(
        f"The index {folder.name[:12]} is damaged: {what}. Nothing was searched, the files were left alone. "
        "Build it again from its corpus, or restore the folder from a backup.",
        code="damaged",
        retry=NEVER,
    )


def _best(scores: np.ndarray, k: int) -> list[int]:
    """Numbers of the k highest scores, best first, the lower number first among equals."""
    import numpy as np

    if k < len(scores):
        border = np.partition(scores, -k)[-k]
        chosen = np.flatnonzero(scores >= border)
    else:
        chosen = np.arange(len(scores))
    return chosen[np.argsort(-scores[chosen], kind="stable")][:k].tolist()
