"""The node `learned` in routes over a real provider: what it chooses, what it does where it cannot judge, what it counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from genwright import migrate
from genwright.access.types import Actor
from genwright.blobs import Blobs
from genwright.db import Database
from genwright.errors import Invalid
from genwright.gateway.learned import blend, features, fit, weights, worker
from genwright.gateway.learned.readings import Readings
from genwright.gateway.learned.types import Example
from genwright.gateway.types import Call
from genwright.messages import say, user
from genwright.testing.provider import Fault
from genwright.vocab import Scope

TOWNS = ["Paris", "Oslo", "Lima", "Rome", "Bern", "Cairo", "Accra", "Quito", "Sofia", "Delhi", "Tunis", "Hanoi"]


def examples():
    """Sums that only the strong model can do, and towns that both know."""
    sums = [
        Example(f"What is {n * 37} times {n + 11} plus {n * n}, and half of that?", {"test/weak": 0, "test/strong": 1})
        for n in range(1, 61)
    ]
    towns = [
        Example(f"In which country is {town}, and which language is spoken there? ({n})", {"test/weak": 1, "test/strong": 1})
        for n in range(5)
        for town in TOWNS
    ]
    return sums + towns


@pytest.fixture(scope="module")
def fitted():
    costs = {"test/weak": (0.001, "given"), "test/strong": (0.02, "given")}
    return fit.fit(fit.prepare(examples()), costs, "sums and towns")


@pytest.fixture(scope="module")
def node(served, fitted):
    """A learned node over the fitted weights, which lie in the served gateway's blobs."""
    house = served.house
    house.gateway.router.means.learned = Readings(house.databases["registry"], house.tracing.blobs)
    digest = house.tracing.blobs.put(served.scope, weights.dump(fitted.blend, fitted.surface, fitted.card))
    arms = [{"name": cost.model, "node": cost.model, "usd": cost.usd} for cost in fitted.card.models]
    lies = {"gains": fitted.card.lies.gains, "near": fitted.card.lies.near, "far": fitted.card.lies.far}
    chosen = {"strong": "test/strong", "cheap": "test/weak"}
    return {
        "type": "learned",
        "arms": arms,
        "weights": digest,
        "lam": 20,
        "unsure": "test/strong",
        "lies": lies,
        "chosen": chosen,
    }


@pytest.fixture
def put(served):
    def put(name, content):
        return served.run(served.house.gateway.router.put(served.admin, name, {"root": content}))

    return put


@pytest.fixture
def ask(served):
    def ask(name, text, **more):
        answer = served.run(served.house.gateway.complete(served.admin, Call(f"route/{name}", [user(text)], **more)))
        spans = served.trace(answer.trace_id).spans
        return answer.model, next(span for span in spans if span.operation == "route").attributes["genwright.router"]

    return ask


SUM = "What is 111 times 29 plus 400, and half of that?"
TOWN = "In which country is Madrid, and which language is spoken there?"


def test_each_prompt_goes_to_the_model_that_is_worth_its_price(put, ask, node):
    put("worth", node)
    model, mark = ask("worth", SUM)
    assert (model, mark["chosen"]) == ("strong", "test/strong")
    assert mark["scores"]["test/weak"] < 0.3
    model, mark = ask("worth", TOWN)
    assert (model, mark["chosen"]) == ("weak", "test/weak")
    assert mark["scores"]["test/weak"] > 0.7


def test_the_last_message_of_the_user_decides(served, put, node):
    put("last", node)
    messages = [user(SUM), say("assistant", "1809.5"), user(TOWN)]
    answer = served.run(served.house.gateway.complete(served.admin, Call("route/last", messages)))
    assert answer.model == "weak"


def test_a_prompt_unlike_all_that_was_fitted_goes_to_the_sure_model_unless_that_is_switched_off(put, ask, node):
    far = "def f(xs):\n    return sorted(set(xs))[::-1]  # explain the complexity of this, line by line"
    put("far", node)
    model, mark = ask("far", far)
    assert (model, mark["far"]) == ("strong", True)
    put("never-far", {**node, "far": -1, "lam": 1000})
    model, mark = ask("never-far", far)
    assert (model, "far" in mark) == ("weak", False)


def test_weights_that_cannot_be_read_send_all_to_the_sure_model(served, put, ask, node):
    put("gone", {**node, "weights": "sha256:" + "0" * 64})
    model, mark = ask("gone", TOWN)
    assert model == "strong"
    assert "cannot be read" in mark["why"]
    damaged = served.house.tracing.blobs.put(served.scope, b"no weights")
    put("damaged", {**node, "weights": damaged, "unsure": "test/weak"})
    assert ask("damaged", SUM)[0] == "weak"


def test_a_call_without_text_goes_to_the_sure_model(served, put, node):
    put("empty", node)
    answer = served.run(served.house.gateway.complete(served.admin, Call("route/empty", [say("assistant", "Hello")])))
    assert answer.model == "strong"


def test_the_next_best_answers_where_the_chosen_one_fails(put, ask, node, provider):
    put("fails", node)
    provider.always(Fault.status(503), model="strong")
    model, mark = ask("fails", SUM)
    assert (model, mark["chosen"]) == ("weak", "test/strong")


def test_an_explanation_decides_and_counts_nothing(served, put, node):
    readings = served.house.gateway.router.means.learned
    put("explained", node)
    version = served.run(served.house.gateway.router.get(served.scope, "explained"))
    lies = fit_lies(node)
    before = served.run(readings.drift(served.scope, node["weights"], lies)).calls
    found = served.run(served.house.gateway.router.explain(served.admin, Call("route/explained", [user(TOWN)]), version.name))
    assert found.steps[0].model == "test/weak"
    assert served.run(readings.drift(served.scope, node["weights"], lies)).calls == before


def test_prompts_are_counted_by_tenths_and_another_population_drifts(served, put, ask, node):
    readings = served.house.gateway.router.means.learned
    lies = fit_lies(node)
    put("counted", node)
    before = served.run(readings.drift(served.scope, node["weights"], lies))
    for _ in range(3):
        ask("counted", TOWN)
    after = served.run(readings.drift(served.scope, node["weights"], lies))
    assert (after.calls - before.calls, sum(after.gains), sum(after.near)) == (3, after.calls, after.calls)
    other = Scope("default", "elsewhere")

    async def many():
        for _ in range(200):
            readings.saw(other, node["weights"], lies, 0.99, -0.2)
        return await readings.drift(other, node["weights"], lies)

    found = served.run(many())
    assert (found.calls, found.far, found.drifted) == (200, 200, True)
    assert served.run(readings.drift(served.scope, node["weights"], lies)).calls == after.calls, "another project's"


def fit_lies(node):
    from genwright.gateway.learned.types import Lies

    return Lies(**node["lies"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unsure": "test/other"}, "unsure is"),
        ({"weights": "x"}, "digest of a fitted router"),
        ({"arms": []}, "two models or more"),
        ({"lies": {"gains": [], "near": [], "far": 0}}, "nine edges"),
        ({"on": ["moon"]}, "no kind of failure"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_by_its_place(put, node, change, words):
    with pytest.raises(Invalid, match=f"At root.*{words}"):
        put("wrong", {**node, **change})


def test_the_worker_says_what_is_wrong_and_dies_with_its_caller():
    async def failing():
        await worker.run(worker.Task(b'{"prompt": "a", "answers": {"x/y": 1}}', {}, {}, ""), told)

    async def told(done, total, what):
        begun.set()

    with pytest.raises(Invalid, match="two models"):
        asyncio.run(failing())
    begun = asyncio.Event()

    async def cancelled():
        rows = b"\n".join(b'{"prompt": "number %d", "answers": {"a/x": 1, "b/y": 0}}' % n for n in range(3000))
        task = asyncio.create_task(worker.run(worker.Task(rows, {}, {}, ""), told))
        await asyncio.wait_for(begun.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(cancelled())


def test_a_choice_reads_few_trees_and_landmarks(fitted):
    """What keeps it below a millisecond: the clock itself is read by benchmarks/router.py."""
    found = blend.Features(features.embeddings([SUM]), features.text_features([SUM]))
    assert fitted.blend.kernel.landmarks.shape[0] <= 800
    assert sum(len(tree.columns) for pair in fitted.blend.forests for tree in pair) <= 2 * 250
    assert fitted.blend.predict(found).shape == (1, 2)


def test_routes_written_before_there_were_routers_survive(tmp_path: Path):
    database = Database("registry", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0005")
    with database.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO gateway_aliases (workspace, project, name, target, created_ns, created_by) "
            "VALUES ('default', 'default', 'gpt', 'route/x', 5, 'key_1')"
        )
    migrate.migrate(database)
    readings = Readings(database, Blobs(tmp_path / "blobs"))
    actor = Actor(Scope(), "key_1", "t", "key", "admin")
    drift = asyncio.run(readings.drift(actor.scope, "sha256:" + "0" * 64, None))
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, target FROM gateway_aliases").fetchall()
    database.close()
    assert [tuple(row) for row in rows] == [("gpt", "route/x")]
    assert drift.calls == 0
