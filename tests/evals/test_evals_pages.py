"""Pages of evals: runs, one run from the worst answer up, comparison, the safety stage."""

import pytest

from evals.evals_sample import Target
from genwright.errors import Upstream
from genwright.evals import show
from genwright.evals.types import RunItem
from page_site import PLANTED

METRICS = ["token_f1", "recall", "latency_ms"]


@pytest.fixture
async def runs(site):
    """A baseline that answers well and a candidate that answers badly and fails once, over the same 12 questions."""
    target = Target(site.house.tracing)
    site.house.gateway.targets["app"] = target.run
    await site.released()
    rows = [{"id": f"r{n}", "question": f"question {n}", "answer": f"topic {n} is here", "topics": [f"t{n}"]} for n in range(12)]
    await site.house.datasets.put(site.actor, "cases", rows)

    def good(name, question):
        n = question.split()[-1]
        return f"topic {n} is here", [
            {"n": 1, "title": "", "name": f"t{n}.md", "heading": "", "start": 0, "end": 1, "document": "d", "text": "x"}
        ]

    def bad(name, question):
        if question.endswith(" 3"):
            raise Upstream(f"broken {PLANTED}")
        return f"nothing {PLANTED}" if question.endswith(" 5") else "topic", []

    made = []
    for reply in (good, bad):
        target.reply = reply
        run = await site.house.evals.start_run(site.actor, "app/docs-qa@1", "cases", metrics=METRICS)
        made.append(await site.house.evals.wait(site.scope, run.id, 30))
        assert made[-1].state == "done", made[-1].error
    return made


async def test_runs_and_one_run(site, runs):
    html = await site.get("/evals")
    assert all(run.id in html for run in runs)
    assert "No run of such a target" in await site.get("/evals", q="app/other")
    html = await site.get(f"/evals/{runs[1].id}")
    assert "mean with 95 % interval" in html
    assert "Without an answer" in html
    assert html.index("question 3<") < html.index("question 5<") < html.index("question 1<"), "failures, then the worst"
    assert "question 1<" not in await site.get(f"/evals/{runs[1].id}", state="failed")
    html = await site.get(f"/evals/{runs[1].id}", order="position")
    assert html.index("question 1<") < html.index("question 3<")
    item = (await site.house.evals.items(site.scope, runs[0].id)).items[0]
    assert f"/w/default/tracing/{item.trace_id}" in await site.get(f"/evals/{runs[0].id}")
    await site.get("/evals/run_none", 404)
    assert runs[0].id in await site.get("/releases/docs-qa"), "what a promotion can rest on"


async def test_a_finished_run_asks_for_the_whole_page(site, runs):
    response = await site._client.get(f"/w/default/evals/{runs[0].id}/progress")
    assert response.headers["hx-refresh"] == "true"


async def test_a_comparison_says_whether_the_difference_is_real(site, runs):
    assert "Choose two finished runs" in await site.get("/evals/compare")
    html = await site.get("/evals/compare", a=runs[0].id, b=runs[1].id)
    assert 'pill bad">worse' in html
    assert "0 better, 12 worse, 0 equal" in html
    assert "Items that differ most" in html
    back = await site.get("/evals/compare", a=runs[1].id, b=runs[0].id)
    assert 'pill good">better' in back
    assert "Missing" not in html
    await site.get("/evals/compare", 422, a=runs[0].id, b="run_none")


async def test_a_run_is_started_by_the_form(site):
    await site.released()
    await site.house.datasets.put(site.actor, "cases", [{"question": "What is a list?", "answer": "A sequence."}])
    response = await site.post("/evals", 303, target="app/docs-qa@1", dataset="cases", name="from the form")
    run_id = response.headers["location"].rsplit("/", 1)[1]
    html = await site.get(f"/evals/{run_id}")
    assert "from the form" in html
    assert (await site.house.evals.wait(site.scope, run_id, 30)).state == "done"
    viewer = await site.as_role("viewer")
    assert 'data-open="start-run"' not in await viewer.get("/evals")
    await viewer.post("/evals", 403, target="app/docs-qa@1", dataset="cases")


async def test_the_safety_stage_reports_what_got_through(site):
    target = Target(site.house.tracing)
    target.reply = lambda name, question: ("The same answer.", [])
    site.house.gateway.targets["app"] = target.run
    await site.released()
    assert "No report yet" in await site.get("/evals/safety")
    part = (await site.post("/evals/safety", target="app/docs-qa@1")).text
    assert "<html" not in part
    assert "Not passed: app/docs-qa@1" in part
    assert "Attacks that got through" in part
    assert "There is no" in (await site.post("/evals/safety", 422, target="app/none@1")).text


def test_worst_first_is_failures_then_low_scores_then_unscored():
    def item(name, position, state="answered", **scores):
        return RunItem(workspace="w", project="p", run="r", item=name, position=position, state=state, scores=scores or None)

    items = [item("fine", 0, token_f1=0.9), item("waiting", 1), item("bad", 2, token_f1=0.1), item("gone", 3, "failed")]
    items.append(item("toxic", 4, token_f1=0.9, toxicity=1.0))
    assert [each.item for each in show.worst_first(items)] == ["gone", "bad", "toxic", "fine", "waiting"]
