"""The arithmetic of learned routing: folds, frontier, bootstrap, trees, kernel, weights as bytes; and a fit to real answers."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest

from genwright.errors import Invalid
from genwright.gateway.learned import blend, features, fit, forest, frontier, kernel, weights, worker
from genwright.gateway.learned.blend import Features
from genwright.gateway.learned.frontier import Surface
from genwright.gateway.learned.readings import stability
from genwright.gateway.learned.types import Example, Given

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "routing" / "routellm-gsm8k-mmlu" / "gsm8k_responses.csv"
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"


@pytest.fixture
def random():
    return np.random.default_rng(7)


def surface(random, rows=400, models=2):
    """Scores that predictions say something about; each model dearer and better than the one before."""
    hard = random.random(rows)
    chance = np.stack([1 - 0.95 * hard ** (1 + 2 * model) for model in range(models)], 1)
    scores = (random.random((rows, models)) < chance).astype(float)
    usd = np.array([10.0**model for model in range(models)]) / 1000
    return Surface(chance, scores, np.tile(usd, (rows, 1)), None, usd, np.zeros(models))


# -- folds


def test_equal_prompts_are_never_in_two_folds():
    prompts = [f"Question {number % 37}" for number in range(200)] + [f"  question   {number % 37} " for number in range(100)]
    part = fit.folds(prompts)
    keys = [" ".join(prompt.lower().split()) for prompt in prompts]
    assert all(len({fold for fold, key in zip(part, keys, strict=True) if key == wanted}) == 1 for wanted in set(keys))
    assert set(part) == {0, 1, 2, 3, 4}


# -- APGR and the frontier


def test_apgr_is_the_area_by_definition(random):
    gain, actual = random.normal(size=50), random.integers(-1, 2, 50).astype(float)
    actual[:5] = 1
    order = np.argsort(-gain, kind="stable")
    recovered = np.array([actual[order[:count]].sum() for count in range(51)]) / actual.sum()
    assert frontier.apgr(gain, actual) == pytest.approx(np.trapezoid(recovered, dx=1 / 50))


def test_choosing_at_random_gives_a_half_and_knowing_all_gives_the_most(random):
    actual = random.choice([-1.0, 0.0, 1.0], 4000, p=[0.1, 0.5, 0.4])
    assert frontier.apgr(random.normal(size=4000), actual) == pytest.approx(0.5, abs=0.05)
    best = frontier.apgr(actual, actual)
    assert all(frontier.apgr(actual + random.normal(size=4000), actual) < best for _ in range(5))


def test_the_interval_holds_the_value_and_narrows_with_rows(random):
    def width(rows):
        actual = random.choice([-1.0, 0.0, 1.0], rows, p=[0.1, 0.5, 0.4])
        found = frontier.apgr_estimate(actual + random.normal(size=rows), actual)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(4000) < width(250) / 2


def test_more_of_the_gap_needs_more_strong_calls(random):
    gain = random.normal(size=800)
    actual = (random.random(800) < 1 / (1 + np.exp(-gain))).astype(float)
    shares = [row.strong_share.value for row in frontier.strong_shares(gain, actual, (0.2, 0.5, 0.8))]
    assert shares == sorted(shares)
    assert all(share < gap for share, gap in zip(shares, (0.2, 0.5, 0.8), strict=True)), "fewer than choosing at random"


@pytest.mark.parametrize("models", [2, 3, 5])
def test_the_frontier_rises_from_always_cheap_and_a_point_is_what_its_choice_gives(random, models):
    found = surface(random, 600, models)
    points = frontier.sweep(found)
    assert points[0].shares[0] == 1.0
    assert [point.usd for point in points] == sorted(point.usd for point in points)
    assert [point.quality for point in points] == sorted(point.quality for point in points)
    assert all(any(point.shares[model] > 0.3 for point in points) for model in range(models)), "the middle ones are used too"
    picked = frontier.pick(points, {"gap": 0.5})
    choice = frontier.choose(found.predicted, found.mean_usd, picked.lam)
    assert found.scores[np.arange(600), choice].mean() == pytest.approx(picked.quality)
    chosen = frontier.chosen(found, picked.lam, {"gap": 0.5})
    assert chosen.gap.low < chosen.gap.value < chosen.gap.high
    assert chosen.saving.low <= 1 - picked.usd / found.mean_usd[found.strong] <= chosen.saving.high


def test_seconds_have_a_price_too(random):
    found = surface(random)._replace(mean_seconds=np.array([1.0, 30.0]), seconds=np.tile([1.0, 30.0], (400, 1)))
    assert frontier.point(found, 0.0).shares[1] > 0.9, "the strong one is better everywhere"
    assert frontier.point(found, 0.0, per_second=1.0).shares == [1.0, 0.0]


def test_a_point_that_cannot_be_is_refused_with_what_can(random):
    points = frontier.sweep(surface(random))
    for asked, words in [
        ({"keep": 5.0}, "the most is"),
        ({"usd": 1e-9}, "cheapest costs"),
        ({}, "one of"),
        ({"x": 1.0}, "one of"),
    ]:
        with pytest.raises(Invalid, match=words):
            frontier.pick(points, asked)


def test_estimates_for_models_that_were_not_asked_are_right_on_average(random):
    found = surface(random, 20_000)
    seen = found.scores.copy()
    asked = random.random(20_000) < 0.3
    seen[asked, 0], seen[~asked, 1] = np.nan, np.nan
    biased = np.clip(found.predicted + 0.2, 0, 1)  # a bad predictor is corrected by the answers that there are
    assert frontier.robust(biased, seen).mean(0) == pytest.approx(found.scores.mean(0), abs=0.02)
    assert frontier.robust(biased, found.scores) is found.scores


def test_calibration_is_measured_by_tenths(random):
    gain = random.random(5000)
    tenths, error = frontier.calibration(gain, (random.random(5000) < gain).astype(float))
    assert sum(one.rows for one in tenths) == 5000
    assert error < 0.03
    assert frontier.calibration(gain, np.zeros(5000))[1] == pytest.approx(gain.mean())


# -- learners


def test_trees_find_a_step_and_one_row_is_read_as_many_are(random):
    rows = random.normal(size=(600, 8)).astype(np.float32)
    target = np.where(rows[:, 3] > 0.2, 1.0, 0.0)
    grown = forest.fit(rows, target)
    told = grown.predict(rows)
    assert np.abs(told - target).mean() < 0.1
    assert grown.predict(rows[5:6])[0] == pytest.approx(told[5])
    assert forest.fit(rows, np.full(600, 0.25)).predict(rows) == pytest.approx(0.25)


def test_the_left_out_residual_is_that_of_a_fit_without_the_row(random, monkeypatch):
    monkeypatch.setattr(kernel, "RIDGES", (2.0,))
    mapped, target = random.normal(size=(40, 6)), random.normal(size=40)
    error, _, _ = kernel._ridge(kernel._turned(mapped), target)
    missed = []
    for row in range(40):
        rest = np.arange(40) != row
        _, found, offset = kernel._ridge(kernel._turned(mapped[rest]), target[rest])
        missed.append(target[row] - mapped[row] @ found - offset)
    # The formula keeps the mean of all rows where a refit has that of 39: equal but for a fortieth.
    assert error == pytest.approx(float(np.mean(np.square(missed))), rel=0.05)


def test_a_model_is_learned_from_the_rows_that_have_its_score(random):
    embedded = random.normal(size=(240, 384)).astype(np.float32)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    text = random.normal(size=(240, len(features.NAMES))).astype(np.float32)
    scores = np.stack([(text[:, 0] > 0), (text[:, 1] > 0), (text[:, 2] > 0)], 1).astype(float)
    scores[random.random((240, 3)) < 0.4] = np.nan
    told = blend.fit(Features(embedded, text), scores).predict(Features(embedded, text))
    for model in range(3):
        known = ~np.isnan(scores[:, model])
        assert np.corrcoef(told[known, model], scores[known, model])[0, 1] > 0.5


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "¿Qué?", "😀" * 50, "9" * 400, "1,2,3.4.5 %", "A. x\nB. y", "word " * 30_000, "\x00\x07", "١٢٣"]
)
def test_any_text_has_features(text):
    found = features.text_features([text])
    assert found.shape == (1, len(features.NAMES))
    assert np.isfinite(found).all()
    assert np.isfinite(features.embeddings([text])).all()


# -- rows


def rows_of(count, **more):
    return [Example(f"prompt {number}", {"a/x": number % 2, "b/y": 1.0, **more}) for number in range(count)]


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ([], "two models"),
        (rows_of(40), "two models"),
        (rows_of(60), "at least 100 rows"),
        ([Example(" ", {"a/x": 1, "b/y": 1})] * 200, "at least 100 rows"),
        ([Example(f"p {n}", {"a/x": 2.0, "b/y": 1}) for n in range(200)], "between 0"),
    ],
)
def test_too_few_or_wrong_rows_are_refused(examples, words):
    with pytest.raises(Invalid, match=words):
        fit.prepare(examples)


def test_rows_may_say_costs_times_and_other_names():
    told = {"cheap": Given(0.5, 0.001, 0.5), "dear": Given(1, 0.02)}
    rows = fit.prepare(
        [Example(f"prompt {n}", {**told, "rare": 1} if n < 40 else dict(told)) for n in range(120)], {"cheap": "p/small"}
    )
    assert rows.models == ["dear", "p/small"], "a model with forty answers is left out"
    assert rows.usd[0].tolist() == [0.02, 0.001]
    assert np.isnan(rows.seconds[0, 0])
    with pytest.raises(Invalid, match="Line 2"):
        worker.read_rows(b'{"prompt": "a", "answers": {}}\n{"prompt": "a", "answer": {}}')


# -- real answers


@pytest.fixture(scope="module")
def fitted():
    if not GSM8K.is_file():
        pytest.skip(f"RouteLLM's answers are not at {GSM8K}")
    with GSM8K.open(newline="") as file:
        rows = list(csv.DictReader(file))[12:232]
    examples = [Example(row["prompt"], {"p/weak": row[WEAK] == "True", "p/strong": row[STRONG] == "True"}) for row in rows]
    return fit.fit(fit.prepare(examples), {"p/weak": (0.001, "given"), "p/strong": (0.02, "given")}, "a slice")


def test_real_answers_give_a_card_and_a_frontier_with_intervals(fitted):
    card = fitted.card
    assert (card.strong, card.cheap, card.rows, card.complete) == ("p/strong", "p/weak", 220, True)
    assert 0.45 < card.apgr.value < 0.9
    assert card.apgr.high - card.apgr.low > 0.05, "two hundred rows say little, and the interval shows it"
    assert any("Cold start" in note for note in card.notes)
    assert card.frontier[0].saving == pytest.approx(0.95)
    assert -1 <= card.lies.far < card.lies.near[0]
    assert len(msgspec.json.encode(card)) < 60_000


def test_weights_as_bytes_predict_the_same_and_damage_is_noticed(fitted, random):
    data = weights.dump(fitted.blend, fitted.surface, fitted.card)
    assert len(data) < 3_000_000
    loaded = weights.load(data)
    asked = Features(
        random.normal(size=(9, 384)).astype(np.float32), random.normal(size=(9, len(features.NAMES))).astype(np.float32)
    )
    assert np.array_equal(loaded.blend.predict(asked), fitted.blend.predict(asked))
    assert loaded.card == fitted.card
    assert loaded.models == ["p/strong", "p/weak"]
    for broken in (b"", data[:4], data[:5000], data[:-100], b"\xff" * 100, data[:8] + b"x" * 500 + data[508:]):
        with pytest.raises(Invalid, match=r"no weights|other text features"):
            weights.load(broken)


def test_nothing_to_save_is_said(fitted):
    rows = fit.prepare([Example(f"prompt {n}", {"a/x": n % 2, "b/y": n % 2}) for n in range(120)])
    with pytest.raises(Invalid, match="cost the same"):
        fit._costs(rows, {"a/x": (1.0, "given"), "b/y": (1.0, "given")})
    with pytest.raises(Invalid, match="--cost b/y"):
        fit._costs(rows, {"a/x": (1.0, "given")})


def test_an_unmoved_population_is_stable_and_a_moved_one_is_not():
    assert stability([100] * 10) == pytest.approx(0)
    assert stability([0] * 10) == 0
    assert stability([95, 105, 100, 98, 102, 100, 100, 99, 101, 100]) < 0.01
    assert stability([500, 300, 100, 50, 20, 10, 10, 5, 3, 2]) > 0.25
