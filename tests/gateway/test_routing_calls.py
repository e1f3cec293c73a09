"""Routes over a real provider with scripted faults: fallback, streams, hedges, mirrors, and promises G5 to G8."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Invalid, Missing, Unavailable, Upstream, UpstreamTimeout
from genwright.gateway.service import collect
from genwright.gateway.types import Answer, Call, Chunk
from genwright.messages import user
from genwright.testing.provider import Fault, Reply
from genwright.vocab import Scope


@pytest.fixture
def gateway(served):
    served.house.gateway.health.reset(served.scope, "test")
    return served.house.gateway


@pytest.fixture
def put(served, gateway):
    def put(name, content, **more):
        return served.run(gateway.router.put(served.admin, name, content, **more))

    return put


@pytest.fixture
def call(served, gateway):
    def call(name, text="Say something", **more):
        return served.run(gateway.complete(served.admin, Call(f"route/{name}", [user(text)], **more)))

    return call


def fallback(*models, **more):
    return {"type": "fallback", "nodes": [f"test/{model}" for model in models], **more}


def asked(provider, *models):
    counted = Counter(one.model for one in provider.calls)
    return [counted[model] for model in models]


def spans(served, answer, operation):
    return [span for span in served.trace(answer.trace_id).spans if span.operation == operation]


def test_the_next_model_answers_and_the_route_is_one_span_over_its_attempts(served, provider, put, call):
    version = put("span", fallback("span-1", "span-2"))
    provider.always(Fault.status(503), model="span-1")
    answer = call("span")
    assert asked(provider, "span-1", "span-2") == [1, 1]
    assert answer.model == "span-2"
    (route,) = spans(served, answer, "route")
    chats = spans(served, answer, "chat")
    assert {span.parent_id for span in chats} == {route.span_id}
    assert [span.status for span in sorted(chats, key=lambda span: span.start_ns)] == ["error", "ok"]
    assert route.attributes["genwright.route_ref"] == version.ref
    assert route.attributes["genwright.route_attempts"] == 2
    rows = served.ledger(answer.trace_id)
    assert [row.status for row in rows] == ["upstream", "ok"]


@pytest.mark.parametrize(
    "fault",
    [Fault.status(500), Fault.status(429), Fault.status(401), Fault.hang(), Fault.reset(), Fault.garbage(), Fault.cut_after(3)],
)
def test_every_fault_of_a_provider_falls_back(provider, put, call, fault):
    name = f"fault-{fault.kind}-{fault.code}"
    put(name, fallback(f"{name}-1", f"{name}-2"))
    provider.always(fault, model=f"{name}-1")
    assert call(name).model == f"{name}-2"


def test_a_stream_falls_back_before_its_first_piece_and_not_after(served, provider, put, gateway):
    put("stream", fallback("stream-1", "stream-2"))

    async def pieces():
        got = []
        try:
            async for item in gateway.stream(served.admin, Call("route/stream", [user("one two three four five six")])):
                got.append(item)
        except Error as error:
            got.append(error)
        return got

    provider.script([Fault.status(503)], model="stream-1")
    got = served.run(pieces())
    assert isinstance(got[-1], Answer)
    assert got[-1].model == "stream-2"
    provider.script([Fault.cut_after(4)], model="stream-1")
    got = served.run(pieces())
    assert isinstance(got[0], Chunk)
    assert isinstance(got[-1], Upstream)
    assert asked(provider, "stream-1", "stream-2") == [2, 1]


def test_a_cascade_holds_a_stream_back_until_it_was_judged(served, provider, put, gateway):
    put("cascade", {"type": "cascade", "steps": [{"node": "test/cheap", "checks": ["refusal"]}, {"node": "test/strong"}]})

    async def text():
        got = []
        async for item in gateway.stream(served.admin, Call("route/cascade", [user("x")])):
            got.append(item)
        return "".join(item.text for item in got[:-1]), got[-1]

    provider.script([Reply("I am sorry, but no."), Reply("It is Paris.")], model="cheap")
    provider.always(Reply("Paris, of course."), model="strong")
    said, answer = served.run(text())
    assert said == answer.message.text == "Paris, of course."
    said, answer = served.run(text())
    assert said == answer.message.text == "It is Paris."
    assert asked(provider, "cheap", "strong") == [2, 1]


def test_a_weak_answer_is_given_in_a_stream_when_the_strong_model_is_down(served, provider, put, gateway):
    put("weak", {"type": "cascade", "steps": [{"node": "test/weak-1", "checks": ["refusal"]}, {"node": "test/weak-2"}]})
    provider.always(Reply("I am sorry, but no."), model="weak-1")
    provider.always(Fault.status(500), model="weak-2")
    answer = served.run(collect(gateway.stream(served.admin, Call("route/weak", [user("x")]))))
    assert answer.message.text == "I am sorry, but no."
    assert answer.model == "weak-1"


def test_both_answers_of_a_mirrored_call_are_kept_and_nobody_waits(served, provider, put, call, gateway):
    put("mirror", {"type": "mirror", "node": "test/mirror-1", "shadow": "test/mirror-2"})
    provider.always(Reply("the shadow's", fault=Fault.slow(0.45)), model="mirror-2")
    answer = call("mirror")
    answered_ns = clock.now_ns()
    for _ in range(100):
        if len(served.ledger(answer.trace_id)) == 2:
            break
        time.sleep(0.02)
    chats = {span.attributes["gen_ai.request.model"]: span for span in spans(served, answer, "chat")}
    assert set(chats) == {"mirror-1", "mirror-2"}
    assert chats["mirror-2"].attributes["genwright.shadow"]
    rows = {row.model: row for row in served.ledger(answer.trace_id)}
    assert {model: row.status for model, row in rows.items()} == {"mirror-1": "ok", "mirror-2": "ok"}
    assert rows["mirror-2"].at_ns + rows["mirror-2"].duration_ns > answered_ns


def test_parameters_are_laid_over_the_calls(provider, put, call):
    node = {"type": "model", "model": "test/over", "parameters": {"temperature": 0.1, "seed": None}}
    put("over", node)
    call("over", parameters={"temperature": 0.9, "seed": 4, "top_p": 0.5})
    body = provider.calls[-1].body
    assert (body["temperature"], body["top_p"]) == (0.1, 0.5)
    assert "seed" not in body


def test_routes_nest_and_a_circle_is_refused(served, provider, put, call, gateway):
    put("inner", fallback("inner-1", "inner-2"))
    outer = put("outer", {"type": "fallback", "nodes": ["route/inner", "test/outer-1"]})
    provider.always(Fault.status(503), model="inner-1")
    provider.always(Fault.status(503), model="inner-2")
    assert call("outer").model == "outer-1"
    assert asked(provider, "inner-1", "inner-2") == [1, 1]
    with pytest.raises(Invalid, match="inner → outer → inner") as raised:
        put("inner", {"type": "fallback", "nodes": ["route/outer"]})
    assert raised.value.code == "route_cycle"
    with pytest.raises(Invalid, match=r"root\.nodes\[0\]: .*nowhere"):
        put("outer", {"type": "fallback", "nodes": ["route/nowhere"]})
    edges = served.run(served.house.registry.edges_back(served.scope, outer.digest))
    assert [edge.target_ref for edge in edges] == ["route/inner"]


def test_labels_say_which_version_is_called(served, provider, put, call):
    registry = served.house.registry
    put("labels", {"type": "model", "model": "test/labels-1"})
    served.run(registry.label(served.admin, "route", "labels", "production", 1))
    put("labels", {"type": "model", "model": "test/labels-2"})
    served.run(registry.label(served.admin, "route", "labels", "canary", 2))
    assert [call(name).model for name in ("labels", "labels@canary", "labels@1", "labels@2")] == [
        "labels-1", "labels-2", "labels-1", "labels-2",
    ]  # fmt: skip
    served.run(registry.label(served.admin, "route", "labels", "production", 2))
    assert call("labels").model == "labels-2"
    with pytest.raises(Missing):
        call("no-such-route")


def test_aliases_stand_for_routes_and_models(served, gateway, put, openai_client):
    put("aliased", {"type": "model", "model": "test/aliased"})
    served.run(gateway.router.put_alias(served.admin, "gpt-9", "route/aliased"))
    served.run(gateway.router.put_alias(served.admin, "direct", "test/direct"))
    for alias, model in (("gpt-9", "aliased"), ("direct", "direct")):
        answer = openai_client.chat.completions.create(model=alias, messages=[{"role": "user", "content": "x"}])
        assert answer.model == model
    names = {model.id for model in openai_client.models.list()}
    assert {"gpt-9", "direct", "route/aliased"} <= names
    for name, target in (("a/b", "test/x"), ("", "test/x"), ("x", "bare")):
        with pytest.raises(Invalid, match="Nothing was kept"):
            served.run(gateway.router.put_alias(served.admin, name, target))
    with pytest.raises(Missing):
        served.run(gateway.router.put_alias(served.admin, "x", "route/none"))
    other = Actor(Scope("default", "else"), "k", "k", "key", "editor")
    assert served.run(gateway.router.alias(other.scope, "gpt-9")) is None
    served.run(gateway.router.remove_alias(served.admin, "direct"))
    with pytest.raises(Missing, match="direct"):
        served.run(gateway.router.remove_alias(served.admin, "direct"))


# -- promises


def test_g5_a_dead_model_is_asked_five_times_at_most_and_then_once_a_cooldown(provider, put, call, gateway, served):
    put("g5", fallback("g5-dead", "g5-alive"))
    provider.always(Fault.reset(), model="g5-dead")
    for _ in range(60):
        assert call("g5").model == "g5-alive"
    assert asked(provider, "g5-dead", "g5-alive") == [5, 60]
    (shown,) = gateway.health.show(served.scope, "test", "g5-dead")
    assert shown.state == "open"
    provider.clear()
    gateway.health._target(served.scope, "test", "g5-dead").open_until = 0.0
    assert call("g5").model == "g5-dead"  # the probe
    assert gateway.health.show(served.scope, "test", "g5-dead")[0].breaker == "closed"


def test_g5_only_one_probe_goes_while_many_call(served, provider, put, gateway):
    put("probe", fallback("probe-1", "probe-2"))
    provider.always(Fault.status(503), model="probe-1")

    async def many(count):
        calls = [gateway.complete(served.admin, Call("route/probe", [user("x")])) for _ in range(count)]
        return [answer.model for answer in await asyncio.gather(*calls)]

    for _ in range(5):
        served.run(many(1))
    provider.clear()
    provider.always(Reply("back", fault=Fault.slow(0.2)), model="probe-1")
    gateway.health._target(served.scope, "test", "probe-1").open_until = 0.0
    assert Counter(served.run(many(40))) == {"probe-1": 1, "probe-2": 39}


def test_g6_in_total_failure_attempts_stay_within_a_tenth_over_calls(served, provider, put, gateway):
    put("g6", {"type": "fallback", "nodes": [{"type": "model", "model": f"test/g6-{n}", "retries": 3} for n in range(3)]})
    for number in range(3):
        provider.always(Fault.status(503), model=f"g6-{number}")

    async def go(count):
        failed = 0
        for _ in range(count):
            try:
                await gateway.complete(served.admin, Call("route/g6", [user("x")]))
            except (Upstream, Unavailable):
                failed += 1
        return failed

    assert served.run(go(300)) == 300
    attempts = sum(asked(provider, "g6-0", "g6-1", "g6-2"))
    assert attempts <= 1.1 * 300
    assert attempts <= 30, "open breakers answer for the dead models"


def test_g6_the_retry_budget_alone_holds_too(served, provider, put, gateway):
    """With breakers that never open, as when failures are spread so that none sees enough of them."""
    import msgspec

    put("budget", fallback("budget-0", "budget-1", "budget-2"))
    for number in range(3):
        provider.always(Fault.status(503), model=f"budget-{number}")
    health = gateway.health
    usual = health.rules
    health.rules = msgspec.structs.replace(usual, failures=10**9, share=2.0)

    async def go(count):
        for _ in range(count):
            with pytest.raises(Error):
                await gateway.complete(served.admin, Call("route/budget", [user("x")]))

    try:
        served.run(go(400))
    finally:
        health.rules = usual
    assert sum(asked(provider, "budget-0", "budget-1", "budget-2")) <= 1.1 * 400 + 2 * usual.retry_reserve
    assert asked(provider, "budget-0") == [400]


def test_g7_a_hedge_answers_for_a_slow_model_is_billed_and_stops_in_an_outage(served, provider, put, call, gateway):
    gateway.health._targets.clear()  # an outage of another test would forbid all hedging
    put("g7", {"type": "hedge", "node": "test/g7-1", "to": "test/g7-2", "after_s": 0.05})
    for _ in range(3):
        call("g7")
    gateway.health._hedges[served.scope] = 5.0
    provider.always(Fault.hang(billed=True), model="g7-1")
    usual, served.house.http._first_byte_timeout_s = served.house.http._first_byte_timeout_s, 10.0  # however busy the machine
    answer = call("g7")
    served.house.http._first_byte_timeout_s = usual
    assert answer.model == "g7-2"
    assert {row.model: row.status for row in served.ledger(answer.trace_id)} == {"g7-1": "cancelled", "g7-2": "ok"}
    provider.always(Fault.hang(), model="dead")
    for _ in range(3):
        with pytest.raises(UpstreamTimeout):
            served.run(gateway.complete(served.admin, Call("test/dead", [user("x")])))
    before = asked(provider, "g7-2")
    with pytest.raises(UpstreamTimeout):
        call("g7")
    assert asked(provider, "g7-2") == before


def test_g8_nobody_works_after_the_callers_time_is_up(served, provider, put, gateway):
    put("g8", fallback("g8-1", "g8-2", "g8-3"))
    for number in (1, 2, 3):
        provider.always(Fault.hang(), model=f"g8-{number}")

    async def one():
        start = time.monotonic()
        with pytest.raises(UpstreamTimeout) as raised:
            await gateway.complete(served.admin, Call("route/g8", [user("x")], deadline=start + 0.1))
        assert raised.value.code == "deadline_exceeded"
        return time.monotonic() - start

    async def many():
        return await asyncio.gather(*(one() for _ in range(100)))

    took = [seconds for _ in range(10) for seconds in served.run(many())]
    assert len(took) == 1000
    assert sorted(took)[500] < 0.55, "sooner than the provider's own time-out of 0.6 s, on however busy a machine"
    for _ in range(100):
        if provider.active == 0:
            break
        time.sleep(0.01)
    assert provider.active == 0
    assert asked(provider, "g8-2", "g8-3") == [0, 0]
    assert gateway.health.show(served.scope, "test", "g8-1")[0].breaker == "closed"


def test_explain_says_the_way_without_asking_anybody(served, provider, put, gateway):
    put(
        "explained",
        {
            "type": "when",
            "cases": [{"if": {"tokens": {"gt": 1000}}, "node": "test/long"}],
            "otherwise": {
                "type": "cascade",
                "steps": [
                    {"node": "test/ex-1", "checks": [{"check": "judge", "model": "test/judge"}]},
                    {"node": fallback("ex-2", "ex-3")},
                ],
            },
        },
    )
    explain = gateway.router.explain
    found = served.run(explain(served.admin, Call("route/explained", [user("short")]), "explained"))
    assert [step.model for step in found.steps] == ["test/ex-1", "test/ex-2", "test/ex-3"]
    assert found.steps[0].hold_back
    assert "no case holds" in found.steps[0].why[0]
    found = served.run(explain(served.admin, Call("route/explained", [user("long " * 1500)]), "explained"))
    assert [step.model for step in found.steps] == ["test/long"]
    assert "tokens > 1000" in found.steps[0].why[0]
    assert found.facts["tokens"] > 1000
    assert provider.calls == []
    draft = served.run(explain(served.admin, Call("x", [user("x")]), "", fallback("d-1")))
    assert draft.steps[0].model == "test/d-1"


def test_g7_the_slow_hundredth_is_answered_by_the_hedge_with_two_percent_more_calls(served, provider, put, gateway):
    gateway.health._targets.clear()  # an outage of another test would forbid all hedging
    put("tail", {"type": "hedge", "node": "test/tail-1", "to": "test/tail-2", "after_s": 0.2})
    gateway.health._hedges[served.scope] = 0.0

    async def answered_by(count, model):
        return [(await gateway.complete(served.admin, Call(model, [user("x")]))).model for _ in range(count)]

    served.run(answered_by(150, "route/tail"))
    before = asked(provider, "tail-2")[0]
    slow = [Reply("late", fault=Fault.slow(0.5)) if number % 75 == 40 else Reply("quick") for number in range(300)]
    provider.script(slow, model="tail-1")
    models = served.run(answered_by(300, "route/tail"))
    assert 1 <= models.count("tail-2") <= asked(provider, "tail-2")[0] - before
    assert asked(provider, "tail-2")[0] - before <= 0.02 * 450 + gateway.health.rules.hedge_reserve


def test_conditions_and_rules_on_the_catalogue_pass_models_over(served, provider, put, call, gateway):
    node = {
        "type": "require",
        "models": {"provider": "local", "area": {"in": ["local", "eu"]}},
        "node": {"type": "fallback", "nodes": ["test/abroad", "local/extractive"]},
    }
    put("catalogued", node)
    assert call("catalogued", "What is a list?").provider == "local"
    assert asked(provider, "abroad") == [0]
    found = served.run(gateway.router.explain(served.admin, Call("x", [user("x")]), "catalogued"))
    assert [step.model for step in found.steps] == ["local/extractive"]
    assert found.skipped[0]["why"] == "condition"


def test_a_provider_that_was_changed_is_asked_again_at_once(served, provider, put, call, gateway):
    put("mended", fallback("mended-1", "mended-2"))
    provider.script([Fault.status(401)], model="mended-1")
    assert [call("mended").model for _ in range(2)] == ["mended-2", "mended-2"]
    served.add(provider)
    assert call("mended").model == "mended-1"
