"""Runs: every item asked once, scored, scores on the traces, failures counted, safe across crashes."""

import asyncio

import pytest

from evals.evals_sample import build, close, passage, rows
from genwright.access.types import Actor
from genwright.errors import Conflict, Forbidden, Invalid, Missing, Upstream
from genwright.tracing.types import TraceFilter
from genwright.vocab import Scope

METRICS = ["hit", "mrr", "token_f1", "groundedness", "citation_correctness", "answered", "latency_ms", "cost_usd"]


async def finished(rooms, actor, **options):
    run = await rooms.evals.start_run(
        actor, options.pop("target", "app/docs"), "d", metrics=options.pop("metrics", METRICS), **options
    )
    return await rooms.evals.wait(actor.scope, run.id, 30)


async def test_a_run_asks_every_item_scores_it_and_puts_the_scores_on_its_trace(rooms, actor, scope):
    version = await rooms.datasets.put(actor, "d", rows(12))
    run = await finished(rooms, actor, name="first")
    assert (run.state, run.total, run.done, run.failed, run.repeated) == ("done", 12, 12, 0, 0)
    assert (run.dataset, run.dataset_number, run.created_by) == (version.ref, 1, actor.id)
    assert rooms.target.asked == {f"question {number}": 1 for number in range(12)}
    assert run.summary["token_f1"].mean == 1.0
    assert run.summary["hit"].n == 12
    assert run.summary["cost_usd"].mean == pytest.approx(1e-6)
    assert 0 < run.summary["latency_ms"].low <= run.summary["latency_ms"].mean <= run.summary["latency_ms"].high
    item = (await rooms.evals.items(scope, run.id)).items[0]
    assert (item.item, item.state, item.answer) == ("q000", "answered", "About question 0 [1]")
    assert item.scores["citation_correctness"] == 1.0
    trace = await rooms.tracing.trace(scope, item.trace_id)
    assert {score.name: score.value for score in trace.scores}["token_f1"] == 1.0
    assert {(score.source, score.run) for score in trace.scores} == {("metric", run.id)}
    listed = await rooms.tracing.list(scope, TraceFilter(run=run.id), limit=100)
    assert len(listed.items) == 12


async def test_a_failing_item_is_recorded_counted_and_does_not_stop_the_run(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(12))

    async def wait(question):
        if question in ("question 3", "question 7"):
            raise Upstream("the provider broke", code="upstream_reset")

    rooms.target.wait = wait
    run = await finished(rooms, actor)
    assert (run.state, run.done, run.failed) == ("done", 12, 2)
    broken = (await rooms.evals.items(scope, run.id, state="failed")).items
    assert [item.item for item in broken] == ["q003", "q007"]
    assert (broken[0].code, broken[0].error) == ("upstream_reset", "the provider broke")
    assert broken[0].scores["token_f1"] == 0.0, "an item without an answer counts as 0, it is not left out"
    assert broken[0].scores["latency_ms"] is None
    assert run.summary["token_f1"].mean == pytest.approx(10 / 12)
    assert run.summary["latency_ms"].n == 10
    trace = await rooms.tracing.trace(scope, broken[0].trace_id)
    assert trace.row.status == "error", "a failed item can be looked at too"


async def test_one_split_only_and_metrics_of_choice(rooms, actor):
    await rooms.datasets.put(actor, "d", rows(12) + [{**row, "id": "t" + row["id"]} for row in rows(3, "tune")])
    run = await finished(rooms, actor, split="tune", metrics=["ndcg@10"])
    assert (run.total, run.metrics, list(run.summary)) == (3, ["ndcg@10"], ["ndcg@10"])


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"dataset_ref": "nothing"}, Missing, "nothing"),
        ({"split": "other"}, Missing, "no split 'other'"),
        ({"metrics": ["token_f2"]}, Missing, "token_f1"),
        ({"metrics": ["ndcg@x"]}, Invalid, "number"),
        ({"metrics": []}, Invalid, "at least one metric"),
        ({"concurrency": 0}, Invalid, "concurrency"),
        ({"dataset_ref": "bare"}, Invalid, "no question"),
    ],
)
async def test_what_cannot_run_is_refused_before_it_starts(rooms, actor, scope, changes, error, says):
    await rooms.datasets.put(actor, "d", rows(2))
    await rooms.datasets.put(actor, "bare", [{"text": "no question here"}])
    arguments = {"dataset_ref": "d", **changes}
    with pytest.raises(error, match=says):
        await rooms.evals.start_run(actor, "app/docs", arguments.pop("dataset_ref"), **arguments)
    assert (await rooms.evals.runs(scope)).items == []


async def test_a_target_that_is_not_there_ends_the_run_with_the_reason(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(3))
    run = await finished(rooms, actor, target="nobody/model")
    assert run.state == "failed"
    assert "nobody" in run.error
    assert run.done == 0


async def test_runs_stay_in_their_workspace_and_need_rights(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(2))
    run = await finished(rooms, actor)
    with pytest.raises(Missing):
        await rooms.evals.run(Scope("elsewhere", "default"), run.id)
    with pytest.raises(Missing):
        await rooms.evals.items(Scope("elsewhere", "default"), run.id)
    assert (await rooms.evals.runs(Scope("default", "other"))).items == []
    with pytest.raises(Forbidden):
        await rooms.evals.start_run(Actor(scope, "k", "viewer", "key", "viewer"), "app/docs", "d")


async def test_a_key_that_records_nothing_still_gets_its_scores(rooms, scope):
    silent = Actor(scope, "k", "silent", "key", "admin", "off")
    await rooms.datasets.put(silent, "d", rows(3))
    run = await finished(rooms, silent)
    assert (run.state, run.summary["token_f1"].mean) == ("done", 1.0)


async def test_after_a_stop_no_recorded_item_is_asked_again(databases, home, settings, actor, scope):
    first = build(databases, home, settings)
    await first.datasets.put(actor, "d", rows(30))
    reached = asyncio.Event()

    async def stall(question):
        if first.target.answered.total() >= 11:
            reached.set()
            await asyncio.sleep(60)

    first.target.wait = stall
    run = await first.evals.start_run(actor, "app/docs", "d", metrics=METRICS, concurrency=3)
    await asyncio.wait_for(reached.wait(), 20)
    await close(first)
    second = build(databases, home, settings)
    try:
        kept = (await second.evals.run(scope, run.id)).done
        assert 8 <= kept <= 13, "the answers at the stop, and what the other two askers had passed the check with"
        assert await second.jobs.resume() == 1
        done = await second.evals.wait(scope, run.id, 30)
        assert (done.state, done.done, done.failed) == ("done", 30, 0)
        assert done.repeated <= 3, "at most as many calls are made twice as were in flight"
        assert second.target.asked.total() == 30 - kept
        assert done.summary["token_f1"].n == 30
    finally:
        await close(second)


async def test_a_cancelled_run_keeps_what_it_has(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(20))
    reached = asyncio.Event()

    async def stall(question):
        if rooms.target.answered.total() >= 5:
            reached.set()
            await asyncio.sleep(60)

    rooms.target.wait = stall
    run = await rooms.evals.start_run(actor, "app/docs", "d", metrics=METRICS)
    await asyncio.wait_for(reached.wait(), 20)
    await rooms.jobs.cancel(scope, run.job)
    run = await rooms.evals.wait(scope, run.id, 10)
    assert run.state == "cancelled"
    assert run.done >= 2
    with pytest.raises(Conflict, match="cancelled"):
        await rooms.evals.compare(scope, run.id, run.id)


async def test_pages_of_runs_and_items(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(7))
    runs = [await finished(rooms, actor) for _ in range(3)]
    page = await rooms.evals.runs(scope, limit=2)
    assert [run.id for run in page.items] == [runs[2].id, runs[1].id]
    rest = await rooms.evals.runs(scope, cursor=page.next, limit=2)
    assert ([run.id for run in rest.items], rest.next) == ([runs[0].id], None)
    seen, cursor = [], None
    while True:
        part = await rooms.evals.items(scope, runs[0].id, cursor=cursor, limit=3)
        seen += [item.item for item in part.items]
        if (cursor := part.next) is None:
            break
    assert seen == [f"q{number:03}" for number in range(7)]


async def test_comparing_two_targets_says_which_is_better_and_shows_where(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(20))

    def reply(name, question):
        good = name == "good" or int(question.split()[1]) % 4 == 0
        text = f"About {question}" if good else "Something else altogether"
        return f"{text} [1]", [passage(1, "topic", text)]

    rooms.target.reply = reply
    a = await finished(rooms, actor, target="app/bad")
    b = await finished(rooms, actor, target="app/good")
    found = await rooms.evals.compare(scope, a.id, b.id)
    by_name = {metric.name: metric for metric in found.metrics}
    f1 = by_name["token_f1"]
    assert (f1.mean_a, f1.mean_b, f1.verdict) == (0.25, 1.0, "better")
    assert (f1.interval.wins, f1.interval.losses, f1.interval.ties) == (15, 0, 5)
    assert by_name["groundedness"].verdict == "no real difference"
    assert f1.p_holm >= f1.interval.p_value
    assert "better in token_f1" in found.summary
    assert len(found.differs) == 10
    assert found.differs[0].difference > 0
    assert (await rooms.tracing.trace(scope, found.differs[0].trace_a)).row.run == a.id
    back = await rooms.evals.compare(scope, b.id, a.id)
    assert {metric.name: metric.verdict for metric in back.metrics}["token_f1"] == "worse"


async def test_runs_over_different_data_are_not_compared(rooms, actor, scope):
    await rooms.datasets.put(actor, "d", rows(12))
    a = await finished(rooms, actor)
    await rooms.datasets.put(actor, "d", rows(13))
    b = await finished(rooms, actor)
    with pytest.raises(Invalid, match="different questions"):
        await rooms.evals.compare(scope, a.id, b.id)
