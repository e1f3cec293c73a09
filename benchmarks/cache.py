"""The semantic cache: what it finds and what it finds wrongly, and how long a look-up takes beside the embedding.

Pairs: QQP's development set in two halves by hash of the first question; the verifier and every threshold come from the one half
(tools/fit_cache_verifier.py), figures from the other. GPTCache's 999 pairs are looked at here and nowhere else: all 999 questions
are kept, their rewordings are asked, and a hit is right if it is the entry of the same number (as GPTCache counts; 35 questions
are in the set twice, so that no cache can have all of them right).
"""

import asyncio
import hashlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import SHARED, Figure, figure
from genwright import embed
from genwright.gateway.cache import pairs
from genwright.gateway.cache.index import Shelf
from genwright.gateway.cache.verify import shipped

FOLDER = SHARED / "semantic-cache" / "gptcache"
CANDIDATES = 8
REAL, ASKED = 4000, 300
"""Real questions behind the entries of a large cache, and rewordings looked up in it."""
Pair = tuple[str, str, int]


def figures() -> Iterator[Figure]:
    yield from on_999()
    yield from on_qqp()
    yield lookup(100_000)


def qqp() -> tuple[list[Pair], list[Pair]]:
    """(training half, test half) of (question, question, 1 where they may share an answer)."""
    found = [json.loads(line) for line in (FOLDER / "qqp_dev.jsonl").read_text().splitlines()]
    every = [(row["text_a"], row["text_b"], int(row["label"])) for row in found]
    test = [pair for pair in every if _half(pair[0])]
    seen = {text for pair in test for text in pair[:2]}
    return [pair for pair in every if not _half(pair[0]) and pair[0] not in seen and pair[1] not in seen], test


def _half(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0] & 1


class Read:
    """Questions as they come back from the store, each embedded once."""

    def __init__(self) -> None:
        self._known: dict[str, pairs.Question] = {}

    def __call__(self, text: str) -> pairs.Question:
        if text not in self._known:
            made = embed.embed_tokens(text)
            self._known[text] = pairs.question(text, made.vector, made.ids, pairs.packed(made.rows))
        return self._known[text]


def features_of(texts: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Features of every pair in both orders; zeros where a question has no word piece."""
    read = Read()
    rows = np.zeros((2, len(texts), len(pairs.NAMES)), np.float32)
    for at, (left, right) in enumerate(texts):
        a, b = read(left), read(right)
        if len(a.ids) and len(b.ids):
            rows[0, at], rows[1, at] = pairs.features(a, b), pairs.features(b, a)
    return rows[0], rows[1]


def on_qqp() -> Iterator[Figure]:
    _, test = qqp()
    read, verifier = Read(), shipped()
    scores = np.array([verifier.probability(read(a), read(b)) for a, b, _ in test])
    plain = np.array([float(read(a).vector @ read(b).vector) for a, b, _ in test])
    same = np.array([label for *_, label in test])
    yield Figure(
        "cache.qqp_tpr_at_5fpr",
        tpr(scores, same),
        "share",
        len(test),
        peers={"plain cosine": tpr(plain, same)},
        note=_at(scores, same),
    )


def _at(scores: np.ndarray, same: np.ndarray) -> str:
    """What a rule with the default target would serve of these pairs."""
    hits = scores >= shipped().threshold(0.1)
    return f"at a target of 10 % false hits: {hits[same == 1].mean():.2f} found, {1 - same[hits].mean():.3f} of the hits wrong"


def tpr(scores: np.ndarray, same: np.ndarray, false_share: float = 0.05) -> float:
    """Share of the right pairs above the score that `false_share` of the wrong ones pass."""
    wrong = np.sort(scores[same == 0])[::-1]
    return float((scores[same == 1] > wrong[int(false_share * len(wrong))]).mean())


def on_999() -> Iterator[Figure]:
    mock = json.loads((FOLDER / "mock_data.json").read_text())
    read, verifier, shelf = Read(), shipped(), Shelf()
    for number, row in enumerate(mock):
        if embed.fits(row["origin"]):  # one is too long to be compared by meaning
            shelf.add(str(number), read(row["origin"]).vector)
    threshold, right, wrong, twins = verifier.weights.balanced, 0, 0, 0
    for number, row in enumerate(mock):
        if not embed.fits(row["similar"]):
            continue
        asked = read(row["similar"])
        near = [int(key) for key, _ in shelf.near(asked.vector, CANDIDATES, 0.0)]
        best = max(near, key=lambda at: pairs.closeness(asked, read(mock[at]["origin"])))
        if verifier.probability(asked, read(mock[best]["origin"])) < threshold:
            continue
        right, wrong = right + (best == number), wrong + (best != number)
        twins += best != number and mock[best]["origin"] == row["origin"]
    note = f"threshold {threshold:.2f}, where right and false hits weigh the same on the training half of QQP"
    yield Figure("cache.right_hits_999", right, "hits", len(mock), peers={"GPTCache": 904}, note=note)
    yield Figure(
        "cache.wrong_hits_999", wrong, "hits", len(mock), peers={"GPTCache": 92}, note=f"{twins} of them the same question"
    )


def lookup(count: int) -> Figure:
    """Milliseconds from the call to the answer, or to the miss, in one scope of so many entries on disk; embedding apart."""
    with tempfile.TemporaryDirectory() as folder:
        times, hits = asyncio.run(_lookups(Path(folder), count))
    runs = [1000 * statistics.median(times[part::3]) for part in range(3)]
    tail = 1000 * sorted(times)[int(0.95 * len(times))]
    note = f"{hits} of {len(times)} questions hit; 95 % within {tail:.1f} ms"
    return figure(f"cache.lookup_ms_{count // 1000}k", runs, "ms", note=note)


async def _lookups(home: Path, count: int) -> tuple[list[float], int]:
    from genwright.access.types import SYSTEM
    from genwright.gateway.cache import candidates
    from genwright.gateway.cache.rules import PutRule
    from genwright.gateway.cache.service import About, Cache
    from genwright.gateway.types import Call
    from genwright.messages import user
    from genwright.migrate import open_databases
    from genwright.vocab import Scope

    databases = open_databases(home)
    cache, actor, about = Cache(databases, None), SYSTEM(Scope()), About("bench/model")
    await cache.put_rule(actor, PutRule("all", mode="semantic", share="project", sample=0.0, max_entries=10 * count))
    found = random.Random(7).sample([pair for pair in qqp()[1] if pair[2]], REAL)
    read = Read()
    hard = (await cache.find(actor, Call("bench/model", [user("?")]), about)).notes.key.scope
    await _fill(databases["spans"], hard, [read(pair[0]) for pair in found], count)
    cache = Cache(databases, None)  # as after a start: it reads its index from disk
    asked = [read(pair[1]) for pair in found[:ASKED]]
    ready = {question.text.strip(): question for question in asked}
    candidates.pairs = _Ready(pairs, ready)
    while len(await cache._shelves.room(actor.scope)) < count:
        await asyncio.sleep(0.1)
    times, hits = [], 0
    for question in [*asked[:20], *asked]:
        call = Call("bench/model", [user(question.text)])
        begin = time.perf_counter()
        result = await cache.find(actor, call, about)
        times.append(time.perf_counter() - begin)
        hits += result.answer is not None
    candidates.pairs = pairs
    await cache.close()
    for database in databases.values():
        database.close()
    return times[20:], hits


class _Ready:
    """The module `pairs` with questions that were embedded before: what is measured is all but that."""

    def __init__(self, module: Any, ready: dict[str, pairs.Question]):
        self._module, self._ready = module, ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def read(self, text: str) -> pairs.Question:
        return self._ready[text]


async def _fill(database: Any, hard: str, real: list[pairs.Question], count: int) -> None:
    """Entries of real questions, and of others that lie near them as real ones do."""
    from genwright import clock
    from genwright.gateway.cache import candidates, replay, store
    from genwright.gateway.types import Answer
    from genwright.messages import assistant

    noise, now = np.random.default_rng(7), clock.now_ns()
    content = replay.pack(Answer(assistant("An answer of some length. " * 30), finish_reason="stop"), [])
    rows: list[dict[str, Any]] = []
    for number in range(count):
        question = real[number % len(real)]
        moved = question.vector + (noise.normal(0, 0.03, 384) if number >= len(real) else 0)
        kept = candidates.packed(str(number), question._replace(vector=moved / np.linalg.norm(moved)))
        rows.append(
            {
                "workspace": "default", "project": "default", "id": str(number), "scope": hard, "question": question.text,
                "rule": "all", "model": "bench/model", "trace": "", "key": "", "created_ns": now, "expires_ns": now + 10**14,
                "used_ns": now, "hits": 0, "nano_usd": 0, "duration_ns": 0, "bytes": len(content), "vector": kept.vector,
                "pieces": kept.pieces, "rows": kept.rows, "content": content,
            }
        )  # fmt: skip
        if len(rows) == 1000 or number == count - 1:
            await database.write(lambda connection, rows: connection.execute(store.entries.insert(), rows) and None, rows)
            rows = []
