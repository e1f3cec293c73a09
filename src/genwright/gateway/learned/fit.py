"""Examples in, a fitted router with its card out. CPU for seconds to minutes: run it in a worker process, not on the loop.

What is measured is measured on rows that the predictor had not seen: 5 folds, equal prompts never in two of them; the settings of
each fold's predictor are chosen inside its own rows (blend.py, kernel.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from genwright import clock
from genwright.errors import Invalid
from genwright.gateway.learned import blend, features, frontier
from genwright.gateway.learned.blend import Blend, Features
from genwright.gateway.learned.frontier import Surface
from genwright.gateway.learned.types import Card, Cost, Example, Given, Lies

FOLDS = 5
MIN_ROWS = 100
"""Fewer rows say nothing that would be better than a guess."""
MIN_ANSWERS = 50
MAX_ROWS = 20_000
"""Of more rows so many are drawn: the fit's memory grows with them."""
GAPS = (0.2, 0.3, 0.5, 0.8)
FAR = 0.005
"""Share of the rows fitted that lie below `Lies.far` …"""
NEVER_FAR = 0.5
"""… which is at most this: among rows that are all much alike, a new one is not strange because it is not the same."""
RIDGE = 10.0
_BATCH = 256

Progress = Callable[[int, int, str], None]


class Rows(NamedTuple):
    """Examples as arrays. Unknown numbers are NaN."""

    prompts: list[str]
    models: list[str]
    scores: np.ndarray
    """(n, m)"""
    usd: np.ndarray
    seconds: np.ndarray
    dropped: int


class Fitted(NamedTuple):
    """What `fit` gives: the predictor, its card, and what points are computed from later."""

    blend: Blend
    card: Card
    surface: Surface


def prepare(examples: Sequence[Example], names: dict[str, str] | None = None) -> Rows:
    """Examples as arrays. `names`: a name in the rows → PROVIDER/MODEL. Raises Invalid where there is too little."""
    names = names or {}
    given = len(examples)
    if given > MAX_ROWS:
        chosen = np.random.default_rng(0).permutation(given)[:MAX_ROWS]
        examples = [examples[at] for at in sorted(chosen)]
    answers = [{names.get(model, model): _given(one) for model, one in example.answers.items()} for example in examples]
    counts: dict[str, int] = {}
    for row in answers:
        for model in row:
            counts[model] = counts.get(model, 0) + 1
    models = sorted(model for model, count in counts.items() if count >= MIN_ANSWERS)
    if len(models) < 2:
        raise Invalid(
            f"A router needs two models with at least {MIN_ANSWERS} scored answers each; there are: "
            f"{', '.join(f'{model} ({count})' for model, count in sorted(counts.items())) or 'none'}. Nothing was fitted.",
            code="too_few_rows",
        )
    kept = [at for at, row in enumerate(answers) if examples[at].prompt.strip() and any(model in row for model in models)]
    if len(kept) < MIN_ROWS:
        few = f"A router needs at least {MIN_ROWS} rows; {len(kept)} can be used. Nothing was fitted."
        raise Invalid(few, code="too_few_rows")
    scores, usd, seconds = (np.full((len(kept), len(models)), np.nan) for _ in range(3))
    for number, at in enumerate(kept):
        for column, model in enumerate(models):
            one = answers[at].get(model)
            if one is not None:
                scores[number, column] = one.score
                usd[number, column] = np.nan if one.cost_usd is None else one.cost_usd
                seconds[number, column] = np.nan if one.latency_s is None else one.latency_s
    if np.nanmin(scores) < 0 or np.nanmax(scores) > 1:
        raise Invalid("Scores must be between 0 (useless) and 1 (right). Nothing was fitted.", code="invalid_score")
    return Rows([examples[at].prompt for at in kept], models, scores, usd, seconds, given - len(kept))


def _given(answer: Given | float | bool) -> Given:
    return answer if isinstance(answer, Given) else Given(float(answer))


def folds(prompts: Sequence[str], count: int = FOLDS, seed: int = 0) -> np.ndarray:
    """(n,) fold of each row; prompts that are equal but for case and spaces share one."""
    keys = [" ".join(prompt.lower().split()) for prompt in prompts]
    unique = sorted(set(keys), key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest())
    place = {key: number % count for number, key in enumerate(unique)}
    return np.array([place[key] for key in keys])


def read(prompts: Sequence[str], progress: Progress = lambda *_: None) -> Features:
    """Features of prompts; most of a fit's time."""
    parts = []
    for start in range(0, len(prompts), _BATCH):
        parts.append(features.embeddings(prompts[start : start + _BATCH]))
        progress(min(start + _BATCH, len(prompts)), len(prompts), "reading prompts")
    return Features(np.concatenate(parts), features.text_features(prompts))


def fit(rows: Rows, costs: dict[str, tuple[float, str]], data: str, progress: Progress = lambda *_: None) -> Fitted:
    """`costs`: model → (dollars a call, where that is from), used where rows have none. Raises Invalid."""
    began = clock.monotonic()
    found = read(rows.prompts, progress)
    part = folds(rows.prompts)
    predicted, ridge = np.empty_like(rows.scores), np.empty_like(rows.scores)
    for fold in range(FOLDS):
        progress(fold, FOLDS + 1, "fitting")
        inside, outside = part != fold, part == fold
        predicted[outside] = blend.fit(found.take(inside), rows.scores[inside]).predict(found.take(outside))
        ridge[outside] = plain_ridge(found.embedded[inside], rows.scores[inside], found.embedded[outside])
    progress(FOLDS, FOLDS + 1, "fitting")
    final = blend.fit(found, rows.scores)
    predicted = np.clip(predicted, 0, 1)
    priced = _costs(rows, costs)
    surface = _surface(rows, predicted, priced)
    card = _card(rows, surface, ridge, priced, final, found)
    seconds = clock.monotonic() - began
    return Fitted(final, msgspec.structs.replace(card, data=data, seconds=round(seconds, 1)), surface)


def plain_ridge(embedded: np.ndarray, scores: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The plainest way, to compare with: ridge regression of each model's score on the embedding."""
    out = np.empty((len(asked), scores.shape[1]))
    for model in range(scores.shape[1]):
        known = ~np.isnan(scores[:, model])
        rows, target = embedded[known].astype(np.float64), scores[known, model]
        centre = rows.mean(0)
        apart = rows - centre
        weights = np.linalg.solve(apart.T @ apart + RIDGE * np.eye(apart.shape[1]), apart.T @ (target - target.mean()))
        out[:, model] = (asked - centre) @ weights + target.mean()
    return out


def _costs(rows: Rows, costs: dict[str, tuple[float, str]]) -> list[Cost]:
    found = []
    for column, model in enumerate(rows.models):
        own, seconds = rows.usd[:, column], rows.seconds[:, column]
        own, seconds = own[~np.isnan(own)], seconds[~np.isnan(seconds)]
        usd, source = (float(own.mean()), "rows") if len(own) else costs.get(model, (float("nan"), "none"))
        if usd != usd:
            raise Invalid(
                f"What a call to {model} costs is not known: not in the rows, and there is no price of it. Nothing was fitted. "
                f"Say it: --cost {model}=0.002 (dollars a call; only their ratio matters).",
                code="no_cost",
            )
        known = ~np.isnan(rows.scores[:, column])
        latency = float(seconds.mean()) if len(seconds) else None
        found.append(Cost(model, usd, source, latency, float(rows.scores[known, column].mean()), int(known.sum())))
    if all(cost.usd == found[0].usd for cost in found):
        raise Invalid("All models cost the same: there is nothing to save. Nothing was fitted.", code="no_cost")
    return found


def _surface(rows: Rows, predicted: np.ndarray, costs: list[Cost]) -> Surface:
    mean_usd = np.array([cost.usd for cost in costs])
    timed = all(cost.latency_s is not None for cost in costs)
    mean_seconds = np.array([cost.latency_s or 0.0 for cost in costs])
    return Surface(
        predicted,
        frontier.robust(predicted, rows.scores),
        np.where(np.isnan(rows.usd), mean_usd, rows.usd),
        np.where(np.isnan(rows.seconds), mean_seconds, rows.seconds) if timed else None,
        mean_usd,
        mean_seconds,
    )


def _card(rows: Rows, surface: Surface, ridge: np.ndarray, costs: list[Cost], final: Blend, found: Features) -> Card:
    strong, cheap = surface.strong, surface.cheap
    complete = not np.isnan(rows.scores).any()
    gain = surface.predicted[:, strong] - surface.predicted[:, cheap]
    actual = surface.scores[:, strong] - surface.scores[:, cheap]
    if strong == cheap or actual.sum() <= 0:
        raise Invalid(
            f"{rows.models[cheap]} is the cheapest and does at least as well as all others on these rows: no router is needed. "
            "Nothing was fitted.",
            code="no_gap",
        )
    bins, error = frontier.calibration(gain, actual)
    lies = _lies(final, found, gain)
    notes = _notes(rows, complete, surface.seconds is not None)
    plain = ridge[:, strong] - ridge[:, cheap]
    return Card(
        data="", rows=len(rows.prompts), dropped=rows.dropped,
        groups=len({" ".join(prompt.lower().split()) for prompt in rows.prompts}), complete=complete, at_ns=clock.now_ns(),
        seconds=0.0, features=["all-MiniLM-L6-v2 embedding, 384 numbers", f"{len(features.NAMES)} counts of the text"],
        method="kernel ridge {:.2f} + trees on counts {:.2f} + trees on both {:.2f}; ".format(*final.shares)
        + f"{FOLDS} folds, settings chosen by inner folds",
        models=costs, strong=rows.models[strong], cheap=rows.models[cheap], apgr=frontier.apgr_estimate(gain, actual),
        apgr_ridge=frontier.apgr(plain, actual), table=frontier.strong_shares(gain, actual, GAPS),
        frontier=frontier.sweep(surface), calibration=bins, calibration_error=error, lies=lies, notes=notes,
    )  # fmt: skip


def _lies(final: Blend, found: Features, gain: np.ndarray) -> Lies:
    near = similarity(final, found.embedded, itself=False)
    tenths = np.linspace(0, 1, 11)[1:-1]
    return Lies(
        [float(edge) for edge in np.quantile(gain, tenths)],
        [float(edge) for edge in np.quantile(near, tenths)],
        min(float(np.quantile(near, FAR)), NEVER_FAR),
    )


def similarity(fitted: Blend, embedded: np.ndarray, itself: bool = True) -> np.ndarray:
    """(n,) cosine of the nearest landmark. `itself` False: for rows that may be landmarks themselves, the nearest other one."""
    cosine = embedded @ fitted.kernel.landmarks[:, : embedded.shape[1]].T
    if not itself:
        cosine[cosine > 1 - 1e-5] = -1
    return cosine.max(1)


def _notes(rows: Rows, complete: bool, timed: bool) -> list[str]:
    notes = [
        "It knows prompts like those it was fitted to. Another language, another length or another kind of task makes it guess; "
        "prompts unlike all of them go to the strongest model, and a population that has moved is flagged as drift.",
        "It reads only the last message of the user: what the conversation before it makes hard, it does not see.",
        "It learns who was right, not why: where both models fail or both succeed, the choice does not matter and is noise.",
    ]
    if len(rows.prompts) < 1_000:
        notes.append(f"Cold start: {len(rows.prompts)} rows, so intervals are wide. Fit again when there are a thousand.")
    if not complete:
        notes.append(
            "Not every prompt has an answer of every model: the figures are doubly robust estimates, right only if which model "
            "was asked did not depend on how hard the prompt was."
        )
    if not timed:
        notes.append("No latencies were given: the choice is between cost and quality alone.")
    return notes
