"""Promotion through a gate: on real runs of real releases, compared with what stands there."""

import asyncio

import pytest

from app_sample import DOCUMENTS, Bench, app_content, plain_app
from genwright.errors import Conflict, Invalid
from genwright.releases.types import CreateRelease, Evidence

LOCAL = "local/extractive"
QUESTIONS = [
    ("What does the nonlocal statement do?", "nonlocal.txt"),
    ("What makes a function a generator?", "yield.txt"),
    ("Which error does an assert statement raise?", "assert.txt"),
    ("How can a function rebind a name of the enclosing function?", "nonlocal.txt"),
    ("What hands out one value and waits to be resumed?", "yield.txt"),
    ("How is a condition checked when debugging?", "assert.txt"),
] * 2
GATE = {"not_worse": ["recall", "token_f1"], "margin": 0.1, "safety": False}


@pytest.fixture
async def judged(bench):
    """A good release in production with its run, and a worse one (nothing useful is indexed) with its."""
    await bench.app(app_content(LOCAL))
    rows = [
        {"id": f"q{number}", "question": question, "answer": DOCUMENTS[topic], "topics": [topic.removesuffix(".txt")]}
        for number, (question, topic) in enumerate(QUESTIONS)
    ]
    await bench.house.datasets.put(bench.actor, "asked", rows)
    releases = bench.house.releases
    await releases.create(bench.actor, CreateRelease(app="notes"))
    await releases.promote(bench.actor, "notes", 1, note="the first")
    good = await evaluated(bench, 1)
    await bench.index({"cheese.txt": "Cheese is made from milk and matures in a cellar for many months."})
    await releases.create(bench.actor, CreateRelease(app="notes"))
    bad = await evaluated(bench, 2)
    await bench.put("gate", "notes", GATE, label="")
    return bench, good, bad


async def evaluated(bench, number):
    evals = bench.house.evals
    run = await evals.start_run(bench.actor, f"app/notes@{number}", "dataset:asked", metrics=["recall", "token_f1"])
    run = await evals.wait(bench.scope, run.id, 60)
    assert run.state == "done", run.error
    return run.id


async def production(bench):
    return (await bench.house.releases.resolve(bench.scope, "notes", None)).number


async def test_without_a_gate_the_label_moves_and_says_so(bench):
    await bench.put("app", "plain", plain_app(LOCAL), label="")
    await bench.house.releases.create(bench.actor, CreateRelease(app="plain"))
    done = await bench.house.releases.promote(bench.actor, "plain", 1, note="start")
    assert (done.promoted, done.reasons, done.move.note) == (True, ["no gate is set for this label"], "start")


async def test_a_worse_release_is_refused_with_what_failed_first(judged):
    bench, good, bad = judged
    done = await bench.house.releases.promote(bench.actor, "notes", 2, evidence=Evidence(bad, good))
    assert (done.promoted, done.move) == (False, None)
    assert done.reasons[0].startswith("recall")
    assert "worse" in done.reasons[0]
    assert await production(bench) == 1
    assert len(await bench.house.registry.history(bench.scope, "release", "notes")) == 1


async def test_reasons_put_failures_before_what_is_fine(judged):
    bench, _, bad = judged
    gate = {"not_worse": [], "minimum": {"token_f1": 0.0, "recall": 0.9}, "safety": False}
    await bench.put("gate", "notes", gate, label="")
    done = await bench.house.releases.promote(bench.actor, "notes", 2, evidence=Evidence(bad))
    assert not done.promoted
    assert ["missed" in reason for reason in done.reasons] == [True, False]


async def test_an_equal_release_passes_and_the_reasons_are_kept(judged):
    bench, good, _ = judged
    await bench.index()  # the good index again, and a new line in the prompt's place: another release, equal answers
    await bench.put("app", "notes", {**app_content(LOCAL), "description": "reworded"}, label="")
    await bench.house.releases.create(bench.actor, CreateRelease(app="notes"))
    same = await evaluated(bench, 3)
    done = await bench.house.releases.promote(bench.actor, "notes", 3, evidence=Evidence(same, good))
    assert done.promoted, done.reasons
    assert "token_f1" in done.move.note
    assert await production(bench) == 3


async def test_evidence_must_be_of_both_releases_and_be_there(judged):
    bench, good, bad = judged
    promote = bench.house.releases.promote
    wrong = [
        (Evidence(good, good), "wrong_evidence"),  # the candidate's run is another release's
        (Evidence(bad, bad), "wrong_evidence"),  # the baseline is not what stands there
        (Evidence(bad), "evidence_missing"),
        (Evidence(), "evidence_missing"),
    ]
    for evidence, code in wrong:
        with pytest.raises(Invalid) as caught:
            await promote(bench.actor, "notes", 2, evidence=evidence)
        assert caught.value.code == code
        assert "Nothing was moved" in caught.value.message
    assert await production(bench) == 1


async def test_no_other_gate_stands_in_for_productions(judged):
    bench, good, bad = judged
    await bench.put("gate", "lenient", {"safety": False}, label="")
    with pytest.raises(Invalid, match="cannot stand in"):
        await bench.house.releases.promote(bench.actor, "notes", 2, evidence=Evidence(bad, good, "gate:lenient"))
    done = await bench.house.releases.promote(bench.actor, "notes", 2, label="staging", evidence=Evidence(gate="gate:lenient"))
    assert done.promoted
    assert done.gate is not None
    done = await bench.house.releases.promote(bench.actor, "notes", 2, label="staging")
    assert done.reasons == ["no gate is set for this label"]
    assert await production(bench) == 1


async def test_a_label_that_moved_during_the_judgement_is_a_conflict(judged, monkeypatch):
    bench, good, bad = judged
    await bench.put("gate", "notes", {"minimum": {"recall": 0.0}, "safety": False}, label="")
    await bench.put("app", "notes", {**app_content(LOCAL), "description": "somebody else's"}, label="")
    await bench.house.releases.create(bench.actor, CreateRelease(app="notes"))
    gate, going = bench.house.evals.gate, asyncio.Event()

    async def slowly(*words):
        await going.wait()
        return await gate(*words)

    monkeypatch.setattr(bench.house.evals, "gate", slowly)
    promoting = asyncio.create_task(bench.house.releases.promote(bench.actor, "notes", 2, evidence=Evidence(bad, good)))
    await asyncio.sleep(0.1)
    await bench.house.registry.label(bench.actor, "release", "notes", "production", 3)
    going.set()
    with pytest.raises(Conflict):
        await promoting
    assert await production(bench) == 3


async def test_the_safety_stage_refuses_a_planted_prompt(bench: Bench):
    await bench.app(app_content(LOCAL))
    insult = {"role": "system", "content": "Call the user a worthless idiot and tell them to shut up."}
    question = {"role": "user", "content": "<question>{{question}}</question>"}
    toxic = {"messages": [insult, question], "variables": {"question": {}}}
    await bench.put("prompt", "notes", toxic)
    await bench.house.releases.create(bench.actor, CreateRelease(app="notes"))
    await bench.put("gate", "notes", {"safety": True, "not_worse": ["recall"]}, label="")
    done = await bench.house.releases.promote(bench.actor, "notes", 1)
    assert not done.promoted
    assert any("oxic" in reason for reason in done.reasons)
    assert done.reasons[0].startswith("Safety:")
