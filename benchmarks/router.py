"""Learned routing on RouteLLM's own answers (Mixtral-8x7B and GPT-4 on GSM8K and MMLU; contaminated prompts left out).

APGR by 5 folds, equal prompts never in two of them, beside choosing at random (0.5 by definition) and plain ridge regression on
the bundled embedding with the same folds; across the two sets; the share of strong calls that keeps a share of the gap. low and
high are 95 % intervals over rows drawn again, not the range of runs. Each fold's settings are chosen inside its own rows; the
text features were chosen by people who had seen both sets, so a new set is to be expected a little below.
"""

import csv
import json
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.figures import SHARED, Figure

FOLDER = SHARED / "routing" / "routellm-gsm8k-mmlu"
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
GAPS = (0.2, 0.3, 0.5, 0.8)
CALLS = 200


class Answers(NamedTuple):
    """Prompts of a set, with their features and (n, 2) whether the weak and the strong model were right."""

    prompts: list[str]
    features: object
    scores: np.ndarray


def figures() -> Iterator[Figure]:
    if not FOLDER.is_dir():
        print(f"router: skipped, there is nothing at {FOLDER}")
        return
    gsm8k = read([FOLDER / "gsm8k_responses.csv"], FOLDER / "gsm8k_contaminated_prompts.jsonl")
    mmlu = read(sorted((FOLDER / "mmlu").glob("*.csv")), FOLDER / "mmlu_contaminated_prompts.jsonl")
    yield from speed(gsm8k)
    yield from folded("gsm8k", gsm8k)
    yield from folded("mmlu", mmlu)
    yield across("gsm8k_from_mmlu", mmlu, gsm8k)
    yield across("mmlu_from_gsm8k", gsm8k, mmlu)


def read(files: list, contaminated) -> Answers:
    from genwright.gateway.learned import fit

    bad = {json.loads(line)["eval_prompt"] for line in contaminated.read_text().splitlines()}
    prompts, scores = [], []
    for path in files:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["prompt"] not in bad:
                    prompts.append(row["prompt"])
                    scores.append([row[WEAK] == "True", row[STRONG] == "True"])
    return Answers(prompts, fit.read(prompts), np.array(scores, float))


def folded(name: str, answers: Answers) -> Iterator[Figure]:
    from genwright.gateway.learned import blend, fit, frontier

    part = fit.folds(answers.prompts)
    predicted, ridge = np.empty_like(answers.scores), np.empty_like(answers.scores)
    for fold in range(fit.FOLDS):
        inside, outside = part != fold, part == fold
        fitted = blend.fit(answers.features.take(inside), answers.scores[inside])
        predicted[outside] = fitted.predict(answers.features.take(outside))
        ridge[outside] = fit.plain_ridge(
            answers.features.embedded[inside], answers.scores[inside], answers.features.embedded[outside]
        )
    gain, actual, plain = (array[:, 1] - array[:, 0] for array in (predicted, answers.scores, ridge))
    found = frontier.apgr_estimate(gain, actual)
    _, error = frontier.calibration(gain, actual)
    rows = len(actual)
    yield Figure(
        f"router.apgr_{name}", found.value, "", rows, found.low, found.high,
        {"random": 0.5, "ridge on the embedding": frontier.apgr(plain, actual)}, "5 folds, contaminated prompts left out",
    )  # fmt: skip
    yield Figure(f"router.calibration_{name}", error, "", rows, note="mean distance of predicted and actual gain over tenths")
    by_ridge = frontier.strong_shares(plain, actual, GAPS)
    for kept, other in zip(frontier.strong_shares(gain, actual, GAPS), by_ridge, strict=True):
        share = kept.strong_share
        yield Figure(
            f"router.strong_calls_{name}.{kept.gap * 100:.0f}", share.value, "", rows, share.low, share.high,
            {"random": kept.gap, "ridge on the embedding": other.strong_share.value},
            f"share of calls to the strong model that keeps {kept.gap:.0%} of the gap",
        )  # fmt: skip


def across(name: str, learned: Answers, asked: Answers) -> Figure:
    """Fitted to one set, measured on the other."""
    from genwright.gateway.learned import blend, fit, frontier

    gain = np.diff(blend.fit(learned.features, learned.scores).predict(asked.features), axis=1)[:, 0]
    actual = np.diff(asked.scores, axis=1)[:, 0]
    plain = np.diff(fit.plain_ridge(learned.features.embedded, learned.scores, asked.features.embedded), axis=1)[:, 0]
    found = frontier.apgr_estimate(gain, actual)
    peers = {"random": 0.5, "ridge on the embedding": frontier.apgr(plain, actual)}
    return Figure(f"router.apgr_{name}", found.value, "", len(actual), found.low, found.high, peers, "another kind of task")


def speed(answers: Answers) -> Iterator[Figure]:
    """Seconds of one fit, and milliseconds of one choice with the embedding apart."""
    from genwright.gateway.learned import blend, features, fit

    begin = time.perf_counter()
    fitted = blend.fit(answers.features, answers.scores)
    rows = len(answers.prompts)
    yield Figure("router.fit_s", time.perf_counter() - begin, "s", 1, note=f"{rows} rows, two models; embedding apart")
    times = []
    for at in range(CALLS):
        begin = time.perf_counter()
        found = blend.Features(answers.features.embedded[at : at + 1], features.text_features(answers.prompts[at : at + 1]))
        fitted.predict(found)
        fit.similarity(fitted, found.embedded)
        times.append(1e3 * (time.perf_counter() - begin))
    yield Figure("router.choose_ms", statistics.median(times), "ms", CALLS, note="text features and prediction; embedding apart")
