"""Scoring stored outputs, the paired bootstrap, and whether its intervals hold what they promise. No server, no model."""

import json
import random
import time
from collections.abc import Iterator
from importlib.resources import files

import numpy as np

from benchmarks.figures import SHARED, Figure, figure
from genwright.evals import measure
from genwright.evals.types import Passage, RunItem
from genwright.stats import paired_bootstrap

ITEMS = 10_000
WORDS = 110
EXPERIMENTS = 400
METRICS = ["token_f1", "rouge_l", "groundedness", "citation_correctness", "cited", "answered", "toxicity", "ndcg"]


def figures() -> Iterator[Figure]:
    yield figure("evals.bootstrap_s_10k", [bootstrap() for _ in range(3)], "s", note="5,000 paired replicates, 10,000 items")
    begin = time.perf_counter()
    measure.score_items(METRICS, outputs())
    note = f"{len(METRICS)} of the goal's 10 metrics, one thread: {', '.join(METRICS)}"
    yield Figure("evals.items_metrics_s_10k", time.perf_counter() - begin, "s", 1, note=note)
    cells = {(name, n): coverage(name, n) for name in ("binary", "skewed", "continuous") for n in (50, 200)}
    worst = max(cells, key=lambda name: abs(cells[name] - 95))
    for name, n in cells:
        print(f"   coverage {name} n={n}: {cells[name, n]:.1f} %")
    yield Figure(
        "evals.ci_coverage_pct", cells[worst], "%", EXPERIMENTS, min(cells.values()), max(cells.values()),
        note=f"small run, worst cell {worst[0]} n={worst[1]}; unclustered only",
    )  # fmt: skip


def bootstrap() -> float:
    generator = np.random.default_rng(1)
    a = generator.random(ITEMS)
    b = a + generator.normal(0, 0.1, ITEMS)
    begin = time.perf_counter()
    paired_bootstrap(a, b)
    return time.perf_counter() - begin


def texts() -> list[str]:
    """Real sentences: reference answers and evidence of the documentation questions, and XQuAD's paragraphs where it is there."""
    data = files("genwright").joinpath("data", "docs_qa", "questions.jsonl").read_text(encoding="utf-8")
    found = [row[field] for line in data.splitlines() if (row := json.loads(line)) for field in ("answer", "evidence")]
    for file in sorted((SHARED / "retrieval" / "xquad-en").glob("**/*.json*")):
        found += [piece.strip() + "." for piece in file.read_text(encoding="utf-8").split(". ") if 40 < len(piece) < 300][:3000]
    return found


def outputs() -> list[RunItem]:
    """Stored answers of at least 100 words with five passages, drawn by seed."""
    draw = random.Random(7)
    known = texts()
    made = []
    for number in range(ITEMS):
        parts, words = [], 0
        while words < WORDS:
            parts.append(draw.choice(known))
            words += len(parts[-1].split())
        passages = [Passage(n, f"doc-{draw.randrange(200)}.md", " ".join(draw.sample(parts, 2))) for n in range(1, 6)]
        made.append(
            RunItem(
                workspace="w", project="p", run="r", item=str(number), position=number, state="answered", question="?",
                answer=" ".join(f"{part} [{draw.randrange(1, 6)}]" for part in parts), passages=passages,
                reference=" ".join(draw.choices(known, k=2)), topics=[f"doc-{draw.randrange(200)}"],
            )
        )  # fmt: skip
    return made


def coverage(kind: str, n: int) -> float:
    """Per cent of experiments whose 95 % interval holds the true difference."""
    generator = np.random.default_rng(n)
    hits = 0
    for trial in range(EXPERIMENTS):
        if kind == "binary":
            a, b, truth = generator.random(n) < 0.7, generator.random(n) < 0.8, 0.1
        elif kind == "skewed":
            a, b, truth = generator.exponential(1, n), generator.exponential(1.2, n), 0.2
        else:
            a = generator.normal(0, 1, n)
            b, truth = a + generator.normal(0.1, 0.5, n), 0.1
        found = paired_bootstrap(a.astype(float), b.astype(float), replicates=2000, seed=trial)
        hits += found.low <= truth <= found.high
    return 100 * hits / EXPERIMENTS
