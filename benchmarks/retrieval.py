"""Retrieval: quality on XQuAD and CovidQA, time to build an index and to answer, speed of the bundled embedding model.

Quality is of whole pipelines: text → chunks → bundled model and word index → ranking of passages (XQuAD) or of places that hold
the answer (CovidQA). Speed at 10,000 and 100,000 chunks: vectors of real sentences moved a little at random, so that they lie as
real ones do, with texts put together from the same corpora; the approximate index's recall is measured on questions.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import SHARED, Figure, figure

XQUAD = SHARED / "retrieval" / "xquad-en" / "xquad.en.json"
COVID = SHARED / "retrieval" / "covid-qa" / "200423_covidQA.json"
MODES = {"dense": "vector", "text": "text", "hybrid": "hybrid"}
QUERIES = 200


def figures() -> Iterator[Figure]:
    yield first_embedding()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        passages, questions = xquad()
        vectors = embed_all([question for question, _ in questions])
        yield from embedding_speed([question for question, _ in questions])
        yield from quality(root / "xquad", passages, questions, vectors)
        yield covid(root / "covid")
        texts = [text for text, _ in passages]
        for count in (10_000, 100_000):
            yield from speed(root / str(count), count, texts, [question for question, _ in questions], vectors)


def xquad() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """([(passage, id)], [(question, id of its passage)])."""
    passages, questions = [], []
    for article in json.loads(XQUAD.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            name = str(len(passages))
            passages.append((paragraph["context"], name))
            questions += [(item["question"], name) for item in paragraph["qas"]]
    return passages, questions


def embed_all(texts: list[str]) -> np.ndarray:
    from genwright import embed

    return embed.embed_texts(texts)


def build(root: Path, chunks: list[Any], vectors: np.ndarray) -> Any:
    """An index from chunks and vectors, opened."""
    from genwright.retrieval.index import Index, finish, publish, write_chunks, write_vectors

    folder = root / ".building"
    folder.mkdir(parents=True)
    write_chunks(folder, chunks)
    write_vectors(folder, vectors)
    return Index(publish(folder, root, finish(folder)))


def quality(root: Path, passages: list, questions: list, vectors: np.ndarray) -> Iterator[Figure]:
    from genwright.retrieval.chunk import chunk
    from genwright.retrieval.types import Chunker, Parsed

    chunks = [found for text, name in passages for found in chunk(Parsed(text, ""), "sha256:0", name, Chunker())]
    index = build(root, chunks, embed_all([found.contextual for found in chunks]))
    note = f"{len(passages)} passages in {len(chunks)} chunks, {len(questions)} questions"
    for label, mode in MODES.items():
        gains, found_at_10 = [], 0
        for (question, wanted), vector in zip(questions, vectors, strict=True):
            hits = index.search(mode, question, vector, 40)
            names = list(dict.fromkeys(index.chunks[hit[0]].name for hit in hits))[:10]
            gains.append(1 / np.log2(2 + names.index(wanted)) if wanted in names else 0.0)
            found_at_10 += wanted in names
        yield Figure(f"retrieval.ndcg10_xquad.{label}", float(np.mean(gains)), "", len(questions), note=note)
        yield Figure(f"retrieval.recall10_xquad.{label}", found_at_10 / len(questions), "", len(questions))


def covid(root: Path) -> Figure:
    """Share of questions for which one of the first five chunks, over all articles, overlaps the answer's place."""
    from genwright.retrieval.chunk import chunk
    from genwright.retrieval.types import Chunker, Parsed

    articles = [paragraph for item in json.loads(COVID.read_text())["data"] for paragraph in item["paragraphs"]]
    articles = random.Random(0).sample(articles, 20)
    chunks = [
        found
        for number, article in enumerate(articles)
        for found in chunk(Parsed(article["context"], ""), "sha256:0", str(number), Chunker())
    ]
    questions = [
        (item["question"], str(number), answer["answer_start"], answer["answer_start"] + len(answer["text"]))
        for number, article in enumerate(articles)
        for item in article["qas"]
        for answer in item["answers"][:1]
    ]
    index = build(root, chunks, embed_all([found.contextual for found in chunks]))
    vectors = embed_all([question[0] for question in questions])
    hits = 0
    for (question, name, start, end), vector in zip(questions, vectors, strict=True):
        found = [index.chunks[hit[0]] for hit in index.search("hybrid", question, vector, 5)]
        hits += any(item.name == name and item.start < end and start < item.end for item in found)
    note = f"{len(articles)} of 147 articles in {len(chunks)} chunks, all searched together; hybrid, default chunker"
    return Figure("retrieval.recall5_covidqa", hits / len(questions), "", len(questions), note=note)


def speed(root: Path, count: int, texts: list[str], questions: list[str], asked: np.ndarray) -> Iterator[Figure]:
    from genwright.retrieval.types import Chunk

    random_numbers, words = np.random.default_rng(0), random.Random(0)
    sentences = [sentence for text in texts for sentence in text.split(". ") if len(sentence) > 30]
    base = embed_all(sentences)
    chosen = random_numbers.integers(0, len(base), count)
    noise = random_numbers.normal(size=(count, base.shape[1])).astype(np.float32)
    vectors = base[chosen] + 0.5 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chunks = [
        Chunk("sha256:0", f"{n}", "", "", 0, 1, ". ".join([sentences[at], *words.choices(sentences, k=4)]))
        for n, at in enumerate(chosen)
    ]
    begin = time.perf_counter()
    index = build(root, chunks, vectors)
    seconds = time.perf_counter() - begin
    size = f"{count // 1000}k"
    yield Figure(f"retrieval.index_s_{size}", seconds, "s", 1, note=f"{index.manifest.vector}; embedding apart")
    pairs = list(zip(questions, asked, strict=True))[:QUERIES]
    runs = []
    for _ in range(3):
        times = []
        for question, vector in pairs:
            begin = time.perf_counter()
            index.search("hybrid", question, vector, 10)
            times.append(1e3 * (time.perf_counter() - begin))
        runs.append(statistics.median(times))
    yield figure(f"retrieval.query_ms_{size}", runs, "ms", note="hybrid, k = 10, embedding apart, one thread")
    yield Figure(f"retrieval.queries_per_s_{size}", 1e3 / statistics.median(runs), "1/s", 3, note="one caller")
    recall = []
    for _, vector in pairs:
        exact = set(np.argpartition(-(vectors @ vector), 10)[:10].tolist())
        recall.append(len(exact & {hit[0] for hit in index.search("vector", "", vector, 10)}) / 10)
    yield Figure(f"retrieval.recall10_{size}", float(np.mean(recall)), "", len(pairs), note="of the vector index, against exact")


def embedding_speed(questions: list[str]) -> Iterator[Figure]:
    from genwright import embed

    rates, singles = [], []
    for _ in range(3):
        begin = time.perf_counter()
        embed.embed_texts(questions)
        rates.append(len(questions) / (time.perf_counter() - begin))
        for question in questions[:50]:
            begin = time.perf_counter()
            embed.embed_one(question)
            singles.append(1e3 * (time.perf_counter() - begin))
    yield figure("embed.texts_per_s", rates, "1/s", note=f"{len(questions)} XQuAD questions")
    yield Figure("embed.single_ms", statistics.median(singles), "ms", len(singles))


def first_embedding() -> Figure:
    """Seconds from an empty process to the first vector, the interpreter's start apart."""
    program = (
        "import time; t = time.perf_counter(); from genwright import embed; embed.embed_one('x'); print(time.perf_counter() - t)"
    )
    values = [float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout) for _ in range(3)]
    return figure("embed.first_s", values, "s")
