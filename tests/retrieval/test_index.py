"""Index folders: deterministic, verified, exact and approximate search, fusion; quality on a public benchmark."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genwright import embed
from genwright.errors import Invalid, Unavailable
from genwright.retrieval import index as index_module
from genwright.retrieval.chunk import chunk
from genwright.retrieval.index import Index, finish, publish, write_chunks, write_vectors
from genwright.retrieval.types import Chunk, Chunker, Parsed

XQUAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "retrieval" / "xquad-en" / "xquad.en.json"


def make(root, chunks, vectors):
    folder = root / ".building"
    folder.mkdir(parents=True)
    write_chunks(folder, chunks)
    write_vectors(folder, vectors)
    return publish(folder, root, finish(folder))


def synthetic(count, dimensions=32, seed=0):
    """Chunks about numbered things, and clustered vectors as real embeddings are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(64, dimensions))
    vectors = (centres[random.integers(0, 64, count)] + 0.5 * random.normal(size=(count, dimensions))).astype(np.float32)
    chunks = [Chunk("sha256:" + "a" * 64, f"n{n}", "Things", "", 0, 10, f"thing number{n} colour{n % 7}") for n in range(count)]
    return chunks, vectors


def test_equal_input_gives_equal_bytes_in_any_process(tmp_path):
    chunks, vectors = synthetic(300)
    first = make(tmp_path / "a", chunks, vectors)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_index as t;"
        "print(t.make(Path(sys.argv[2]), *t.synthetic(300)).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path / "b")],
        capture_output=True, text=True, env={"PYTHONHASHSEED": "7"}, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == first.name, done.stderr
    assert make(tmp_path / "c", chunks, vectors * 4).name == first.name, "vectors are normalised"
    other = make(tmp_path / "d", [*chunks[:-1], Chunk("sha256:" + "a" * 64, "z", "Things", "", 0, 10, "another")], vectors)
    assert other.name != first.name


def test_the_same_index_again_leaves_the_folder_alone(tmp_path):
    chunks, vectors = synthetic(20)
    first = make(tmp_path, chunks, vectors)
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    assert make(tmp_path, chunks, vectors) == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_damage_is_found(tmp_path):
    chunks, vectors = synthetic(50)
    folder = make(tmp_path, chunks, vectors)
    opened = Index(folder)
    opened.verify()
    data = bytearray((folder / "vectors.npy").read_bytes())
    data[-1] ^= 1
    (folder / "vectors.npy").write_bytes(data)
    with pytest.raises(Unavailable, match=r"vectors\.npy is not what was written"):
        Index(folder).verify()
    (folder / "text" / "vocab.index.json").unlink()
    with pytest.raises(Unavailable, match="vocab"):
        Index(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "chunks": 49}))
    with pytest.raises(Unavailable, match="manifest"):
        Index(folder)


def test_vector_search_is_exact_below_the_border(tmp_path):
    chunks, vectors = synthetic(500)
    opened = Index(make(tmp_path, chunks, vectors))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in (0, 77, 499):
        expected = np.argsort(-(unit @ unit[number]), kind="stable")[:10].tolist()
        assert [hit[0] for hit in opened.search("vector", "", unit[number], 10)] == expected
    assert len(opened.search("vector", "", unit[0], 100)) == 100
    with pytest.raises(Invalid, match="another embedding model"):
        opened.search("vector", "", unit[0][:5], 3)


def test_text_search_ranks_by_words_and_gives_nothing_for_unknown_ones(tmp_path):
    chunks, vectors = synthetic(200)
    opened = Index(make(tmp_path, chunks, vectors))
    assert opened.search("text", "Which one is NUMBER42?", None, 3)[0][0] == 42
    assert len(opened.search("text", "colour3", None, 100)) == len([n for n in range(200) if n % 7 == 3])
    assert opened.search("text", "zebra", None, 3) == []
    assert opened.search("text", "the of and", None, 3) == []


def test_hybrid_finds_what_either_side_finds(tmp_path):
    chunks, vectors = synthetic(500)
    opened = Index(make(tmp_path, chunks, vectors))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    hits = opened.search("hybrid", "number400", unit[7], 20)
    assert {7, 400} <= {hit[0] for hit in hits}
    assert [hit[1] for hit in hits] == sorted((hit[1] for hit in hits), reverse=True)
    assert all(set(hit[2]) == {"vector", "text"} for hit in hits)
    assert opened.search("hybrid", "zebra", unit[7], 1)[0][0] == 7, "without known words the vectors decide"


def test_approximate_search_reaches_its_recall_and_is_deterministic(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "EXACT", 1000)
    chunks, vectors = synthetic(6000)
    folder = make(tmp_path / "a", chunks, vectors)
    assert make(tmp_path / "b", chunks, vectors).name == folder.name
    opened = Index(folder)
    opened.verify()
    assert opened.manifest.vector["backend"] == "faiss-ivf-sq8"
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    recalls = []
    for query in synthetic(50, seed=1)[1]:
        query = query / np.linalg.norm(query)
        exact = set(np.argsort(-(unit @ query), kind="stable")[:10].tolist())
        recalls.append(len(exact & {hit[0] for hit in opened.search("vector", "", query, 10)}) / 10)
    assert np.mean(recalls) >= 0.95
    assert opened.search("hybrid", "number5999", unit[3], 2)[0][0] in (3, 5999)


def test_an_empty_index_answers_nothing(tmp_path):
    opened = Index(make(tmp_path, [Chunk("d", "n", "t", "", 0, 1, "x")], np.ones((1, 4), np.float32)))
    assert len(opened.search("hybrid", "x", np.ones(4, np.float32) / 2, 10)) == 1


@pytest.mark.skipif(not XQUAD.exists(), reason="the shared data (retrieval/xquad-en) is not beside this repository")
def test_quality_on_xquad(tmp_path):
    """A part of it, to be quick; benchmarks/retrieval.py reads all."""
    paragraphs = [item for article in json.loads(XQUAD.read_text())["data"][:20] for item in article["paragraphs"]]
    chunks = [
        found
        for number, item in enumerate(paragraphs)
        for found in chunk(Parsed(item["context"], ""), "d", str(number), Chunker())
    ]
    questions = [(found["question"], str(n)) for n, item in enumerate(paragraphs) for found in item["qas"]][::4]
    opened = Index(make(tmp_path, chunks, embed.embed_texts([found.contextual for found in chunks])))
    vectors = embed.embed_texts([question for question, _ in questions])
    gains = dict.fromkeys(("vector", "text", "hybrid"), 0.0)
    for (question, wanted), vector in zip(questions, vectors, strict=True):
        for mode in gains:
            hits = opened.search(mode, question, vector, 30)
            names = list(dict.fromkeys(opened.chunks[hit[0]].name for hit in hits))[:10]
            gains[mode] += 1 / np.log2(2 + names.index(wanted)) if wanted in names else 0.0
    ndcg = {mode: total / len(questions) for mode, total in gains.items()}
    assert ndcg["hybrid"] >= 0.975, ndcg
    assert ndcg["hybrid"] >= max(ndcg["vector"], ndcg["text"]), ndcg
    assert min(ndcg.values()) >= 0.93, ndcg
