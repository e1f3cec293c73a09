"""A learned route by command and HTTP: fitted to real answers of two models, called, its choices and its saving looked at."""

from __future__ import annotations

import csv
import json
from collections import Counter
from random import Random

import httpx
import openai
import pytest

from journey import DATA, genwright, until

GSM8K = DATA / "routing" / "routellm-gsm8k-mmlu"
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
ROWS, HELD_OUT = 500, 40
FAR = "Übersetze bitte: der Gerichtsvollzieher pfändete gestern das Klavier der Nachbarin, obwohl niemand zu Hause war."

pytestmark = pytest.mark.skipif(not GSM8K.is_dir(), reason="RouteLLM's answers are not beside the repository (../shared/data)")


@pytest.fixture(scope="module")
def answers():
    """(prompt, weak right, strong right) of RouteLLM's GSM8K answers, contaminated prompts left out."""
    bad = {json.loads(line)["eval_prompt"] for line in (GSM8K / "gsm8k_contaminated_prompts.jsonl").read_text().splitlines()}
    with (GSM8K / "gsm8k_responses.csv").open(newline="") as file:
        rows = [(row["prompt"], row[WEAK] == "True", row[STRONG] == "True") for row in csv.DictReader(file)]
    return [row for row in rows if row[0] not in bad]


@pytest.fixture(scope="module")
def house(empty, provider, answers, tmp_path_factory):
    """A server with a route fitted to the first of the answers; HELD_OUT of them are kept for calls."""
    empty.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-scripted-1")
    file = tmp_path_factory.mktemp("rows") / "gsm8k.jsonl"
    lines = [{"prompt": prompt, "answers": {WEAK: weak, STRONG: strong}} for prompt, weak, strong in answers[:ROWS]]
    file.write_text("\n".join(map(json.dumps, lines)))
    words = ["--model", f"{WEAK}=scripted/mixtral", "--model", f"{STRONG}=scripted/gpt-4", "--cost", "scripted/mixtral=0.0003"]
    empty.fitted = empty.cli("router", "fit", "sums", str(file), *words, "--cost", "scripted/gpt-4=0.01")
    return empty


@pytest.fixture(scope="module")
def client(house):
    with openai.OpenAI(base_url=f"{house.address}/v1", api_key=house.key, max_retries=0, timeout=60) as made:
        yield made


def asked(client, model, text):
    """(model that answered, trace id)."""
    raw = client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": text}])
    return raw.parse().model, raw.headers["x-genwright-trace"]


def router_mark(house, trace_id):
    def complete(trace):
        return any(span["operation"] == "route" and span["status"] != "pending" for span in trace["spans"])

    spans = house.trace(trace_id, complete)["spans"]
    return next(span for span in spans if span["operation"] == "route")["attributes"]["genwright.router"]


def test_the_card_says_what_was_fitted_and_how_well_it_chooses(house):
    assert house.fitted["route"] == "route/sums"
    found = house.cli("router", "show", "sums")
    card = found["card"]
    assert card["rows"] == ROWS
    assert (card["strong"], card["cheap"]) == ("scripted/gpt-4", "scripted/mixtral")
    assert "gsm8k.jsonl" in card["data"]
    assert "sha256:" in card["data"]
    assert card["apgr"]["low"] > 0.5, "no better than choosing at random"
    assert card["apgr"]["low"] <= card["apgr"]["value"] <= card["apgr"]["high"]
    assert [row["gap"] for row in card["table"]] == [0.2, 0.3, 0.5, 0.8]
    assert sum(tenth["rows"] for tenth in card["calibration"]) == card["rows"]
    assert any("drift" in note for note in card["notes"])
    shown = genwright(house.home, "router", "show", "sums").out
    assert "random 0.5" in shown
    assert "scripted/mixtral" in shown


def test_a_point_of_the_frontier_is_chosen_and_written_as_a_version(house):
    points = house.cli("router", "frontier", "sums")
    kept = [point["kept"] for point in points]
    assert kept == sorted(kept)
    assert points[0]["shares"] == [0.0, 1.0], "the cheapest point asks the cheap model alone (models stand by name)"
    dry = house.cli("router", "use", "sums", "--gap", "0.5", "--dry-run")
    assert "saving" in dry
    version = house.cli("router", "use", "sums", "--gap", "0.5")
    used = house.cli("router", "show", f"sums@{version['number']}")["chosen"]
    assert used["gap"]["value"] >= 0.5
    assert used["saving"]["low"] < used["saving"]["value"] < used["saving"]["high"]
    impossible = genwright(house.home, "router", "use", "sums", "--keep", "2")
    assert impossible.code != 0
    assert "the most is" in impossible.err


def test_calls_go_where_it_pays_and_the_saving_is_shown(house, client, provider, answers):
    provider.clear()
    chosen = Counter()
    marks = {}
    for prompt, weak, strong in answers[-HELD_OUT:]:
        model, trace_id = asked(client, "route/sums", prompt)
        chosen[model] += 1
        marks.setdefault(model, trace_id)
    assert set(chosen) == {"mixtral", "gpt-4"}, f"both models are asked: {chosen}"
    assert Counter(call.model for call in provider.calls) == chosen
    for model, trace_id in marks.items():
        mark = router_mark(house, trace_id)
        assert mark["chosen"] == f"scripted/{model}"
        assert set(mark["scores"]) == {"scripted/mixtral", "scripted/gpt-4"}
    saved = house.cli("router", "saving", "sums")
    assert saved["calls"] == HELD_OUT
    assert {row["model"]: row["calls"] for row in saved["models"]} == {f"scripted/{model}": n for model, n in chosen.items()}
    assert saved["basis"] == "given"
    assert saved["usd"] == pytest.approx(0.0003 * chosen["mixtral"] + 0.01 * chosen["gpt-4"])
    assert saved["saving"] == pytest.approx(1 - saved["usd"] / (0.01 * HELD_OUT))
    drift = house.cli("router", "drift", "sums")
    assert drift["calls"] == HELD_OUT
    assert "too few" in drift["says"]


def test_with_a_price_the_saving_is_the_ledgers(house, client, answers):
    for model, usd in (("scripted/mixtral", "0.1"), ("scripted/gpt-4", "10")):
        house.cli("prices", "set", model, f"input={usd}", f"output={usd}")
    asked(client, "route/sums@1", answers[-1][0])
    saved = house.cli("router", "saving", "sums")
    assert saved["basis"] == "ledger"
    assert saved["unpriced"] == HELD_OUT, "the calls before there was a price are left out, and that is said"


def test_what_is_unlike_all_that_was_fitted_goes_to_the_strong_model(house, client):
    model, trace_id = asked(client, "route/sums", FAR)
    assert model == "gpt-4"
    mark = router_mark(house, trace_id)
    assert mark["far"] is True
    assert "unlike" in mark["why"]


def test_another_population_is_flagged_as_drift(house, client, answers):
    before = house.cli("router", "drift", "sums")["calls"]
    headers = {"authorization": f"Bearer {house.key}"}
    with httpx.Client(base_url=house.address, headers=headers, timeout=60) as http:
        for number in range(110):
            said = [{"role": "user", "content": f"Write a haiku about the sea, number {number}."}]
            body = {"model": "route/sums", "messages": said}
            assert http.post("/v1/chat/completions", json=body).status_code == 200
    found = genwright(house.home, "router", "drift", "sums", "--json")
    assert found.code == 1, "a scheduled check can tell by the exit status"
    assert found.json["calls"] == before + 110
    assert found.json["drifted"] is True
    assert "Fit again" in found.json["says"]


def test_rows_that_do_not_fit_are_refused_by_line_and_nothing_is_written(house, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a", "answers": {"x/y": 1}}\n{"prompt": 3}\n')
    wrong = genwright(house.home, "router", "fit", "broken", str(file))
    assert wrong.code != 0
    assert "Line 2" in wrong.err
    file.write_text('{"prompt": "a", "answers": {"x/y": 1}}\n')
    few = genwright(house.home, "router", "fit", "broken", str(file))
    assert few.code != 0
    assert "two models" in few.err
    headers = {"authorization": f"Bearer {house.key}"}
    listed = httpx.get(f"{house.address}/api/gateway/routers", headers=headers).json()["items"]
    assert [item["name"] for item in listed] == ["sums"]


def test_a_strong_model_that_fails_is_replaced_by_the_other(house, client, provider, answers):
    from genwright.testing.provider import Fault

    provider.script([Fault.status(500)] * 4, model="gpt-4")
    for prompt, _, _ in answers[-HELD_OUT:]:
        model, trace_id = asked(client, "route/sums", prompt)
        chosen = router_mark(house, trace_id)["chosen"]
        if chosen == "scripted/gpt-4":
            break
    assert chosen == "scripted/gpt-4"
    assert model == "mixtral"
    until(lambda: house.trace(trace_id)["row"]["status"])


def test_a_router_is_fitted_to_traces_that_were_scored(house, client, answers):
    """Each prompt is asked of one model, drawn by chance, and its trace scored as RouteLLM judged that model's answer."""
    random = Random(3)
    with house.http() as http:
        for prompt, weak, strong in answers[:150]:
            model, right = random.choice([("mixtral", weak), ("gpt-4", strong)])
            _, trace_id = asked(client, f"scripted/{model}", prompt)
            score = {"name": "correct", "value": float(right)}
            assert http.post(f"/api/tracing/traces/{trace_id}/scores", json=score).status_code in (200, 201)
    costs = ["--cost", "scripted/mixtral=0.0003", "--cost", "scripted/gpt-4=0.01"]
    house.cli("router", "fit-traces", "lived", "--score", "correct", *costs, "--keep", "0.9")
    card = house.cli("router", "show", "lived")["card"]
    assert card["rows"] == 150
    assert card["complete"] is False
    assert "traces scored 'correct'" in card["data"]
    assert any("doubly robust" in note for note in card["notes"])
    assert {row["model"] for row in card["models"]} == {"scripted/mixtral", "scripted/gpt-4"}
    assert sum(row["answers"] for row in card["models"]) == 150
    assert asked(client, "route/lived", answers[-1][0])[0] in ("mixtral", "gpt-4")
    none = genwright(house.home, "router", "fit-traces", "other", "--score", "nobody-gave-this")
    assert none.code != 0
    assert "Nothing was fitted" in none.err


def test_a_dataset_is_rows_too_and_the_card_names_its_version(house, answers):
    names = {WEAK: "scripted/mixtral", STRONG: "scripted/gpt-4"}
    items = [
        {"question": prompt, "answers": {names[WEAK]: int(weak), names[STRONG]: int(strong)}} for prompt, weak, strong in answers
    ]
    stored = house.post("/api/datasets", {"name": "judged", "items": [*items[:120], {"question": "Nobody was asked this."}]})
    costs = ["--cost", "scripted/mixtral=0.0003", "--cost", "scripted/gpt-4=0.01"]
    house.cli("router", "fit", "from-dataset", "dataset:judged", *costs, "--usd", "0.004")
    found = house.cli("router", "show", "from-dataset")
    assert found["card"]["rows"] == 120
    assert f"dataset:judged@{stored['digest']}" in found["card"]["data"]
    assert found["chosen"]["point"]["usd"] <= 0.004
