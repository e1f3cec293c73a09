"""Rules with history, labels and thresholds, hits judged in the background, a rule that ends itself; entries that last and go."""

import pytest

from genwright.access.types import SYSTEM, Actor
from genwright.errors import Error, Forbidden, Invalid, Missing
from genwright.gateway.cache.judge import alike
from genwright.gateway.cache.rules import PutRule
from genwright.gateway.cache.service import About, Cache
from genwright.gateway.types import Answer, Call
from genwright.messages import assistant, user
from genwright.vocab import Scope

ABOUT = About("test/model", "", "a" * 32)
QUESTION, REWORDED = "How do I rename a file in Python?", "How can I rename a file in Python?"


@pytest.fixture
async def cache(databases, settings):
    made = Cache(databases, settings)
    yield made
    await made.close()


def call(text, **fields):
    return Call("test/model", [user(text)], **fields)


async def ask(kept, actor, text, answer="", **fields):
    """The look-up; on a miss the answer is kept."""
    found = await kept.find(actor, call(text, **fields), ABOUT)
    if found is not None and found.answer is None:
        given = Answer(assistant(answer or f"About: {text}"), finish_reason="stop", trace_id=ABOUT.trace, cost_nano_usd=5000)
        kept.keep(found, given)
    await kept.flush()
    return found


async def test_a_rule_has_a_history_and_holds_at_once(cache, actor):
    first = await cache.put_rule(actor, PutRule("all", models="test/*"))
    assert (first.number, first.mode, first.share, first.enabled) == (1, "exact", "key", True)
    assert (await ask(cache, actor, QUESTION)).how == "miss"
    assert (await ask(cache, actor, QUESTION)).how == "exact"
    second = await cache.put_rule(actor, PutRule("all", enabled=False, note="too old"))
    assert (second.number, second.models, second.enabled) == (2, "test/*", False)
    assert await ask(cache, actor, QUESTION) is None
    assert [(rule.number, rule.enabled, rule.note) for rule in await cache.history(actor, "all")] == [
        (2, False, "too old"),
        (1, True, ""),
    ]
    await cache.remove_rule(actor, "all")
    assert await cache.rules(actor) == []
    assert len(await cache.history(actor, "all")) == 3
    await cache.put_rule(actor, PutRule("all", models="test/*"))
    assert (await ask(cache, actor, QUESTION)).how == "miss", "the answers went with the rule"


@pytest.mark.parametrize(
    ("field", "value"),
    [("mode", "fuzzy"), ("share", "world"), ("ttl_s", 0), ("target", 0.9), ("sample", 2), ("models", " "), ("judge", "gpt")],
)
async def test_what_does_not_fit_is_named(cache, actor, field, value):
    with pytest.raises(Invalid) as problem:
        await cache.put_rule(actor, PutRule("all", **{field: value}))
    assert problem.value.details["field"] == field
    assert await cache.rules(actor) == []


async def test_who_may_do_what(cache, actor, scope):
    viewer, caller = Actor(scope, "v", "v", "key", "viewer"), Actor(scope, "c", "c", "key", "caller")
    with pytest.raises(Forbidden):
        await cache.put_rule(viewer, PutRule("all"))
    with pytest.raises(Forbidden):
        await cache.clear(viewer, everything=True)
    with pytest.raises(Forbidden):
        await cache.label(viewer, "a", "b", True)
    with pytest.raises(Forbidden):
        await cache.hits(caller)
    await cache.put_rule(actor, PutRule("all"))
    with pytest.raises(Missing, match="Nearest: all"):
        await cache.remove_rule(actor, "al")


async def test_the_first_rule_by_name_holds(cache, actor):
    await cache.put_rule(actor, PutRule("b-all", models="*", mode="semantic"))
    await cache.put_rule(actor, PutRule("a-test", models="test/*"))
    await ask(cache, actor, QUESTION)
    assert (await ask(cache, actor, REWORDED)).how == "miss"


async def test_own_labels_move_the_threshold(cache, actor):
    await cache.put_rule(actor, PutRule("all", mode="semantic", target=0.05))
    shipped = (await cache.quality(actor))[0]
    assert shipped.fitted_on == "shipped pairs"
    for number in range(100):
        what = f"open file number {number} with a script?"
        await cache.label(actor, f"How do I {what}", f"How can I {what}", True)
    own = (await cache.quality(actor))[0]
    assert own.fitted_on == "own labels"
    assert own.threshold < shipped.threshold
    assert len(await cache.labels(actor)) == 100


async def test_entries_outlive_the_process(cache, actor, databases, settings):
    await cache.put_rule(actor, PutRule("all", mode="semantic"))
    await ask(cache, actor, QUESTION, "Use os.rename.")
    again = Cache(databases, settings)
    found = await ask(again, actor, REWORDED)
    assert found.how == "semantic"
    assert found.answer.message.text == "Use os.rename."
    assert (await ask(again, actor, QUESTION)).how == "exact"
    await again.close()


async def test_what_was_used_longest_ago_goes_first(cache, actor, monkeypatch):
    monkeypatch.setattr("genwright.gateway.cache.service.PRUNE_EVERY", 1)
    await cache.put_rule(actor, PutRule("all", mode="semantic", max_entries=2))
    await ask(cache, actor, "What is a list?")
    await ask(cache, actor, "Who wrote Faust?")
    assert (await ask(cache, actor, "What is a list?")).how == "exact"
    await ask(cache, actor, "How tall is the Eiffel tower?")
    assert (await cache.quality(actor))[0].entries == 2
    assert (await ask(cache, actor, "What is a list?", cache="exact")).how == "exact"
    assert (await cache.find(actor, call("Who wrote the Faust?"), ABOUT)).how == "miss"


async def test_deleting_by_trace_by_rule_and_all(cache, actor):
    await cache.put_rule(actor, PutRule("all", mode="semantic"))
    await ask(cache, actor, QUESTION)
    await ask(cache, actor, REWORDED)
    assert (await cache.hits(actor))[0].asked == REWORDED
    assert await cache.clear(actor, trace="b" * 32) == 0
    assert await cache.clear(actor, trace=ABOUT.trace) == 1
    hit = (await cache.hits(actor))[0]
    assert (hit.asked, hit.question) == ("", ""), "the texts go with the answer"
    assert (await ask(cache, actor, REWORDED)).how == "miss"
    assert await cache.clear(actor, rule="other") == 0
    assert await cache.clear(actor, rule="all") == 1
    await ask(cache, actor, QUESTION)
    assert await cache.clear(actor, everything=True) == 1
    with pytest.raises(Invalid, match="what to delete"):
        await cache.clear(actor)


async def test_hits_are_judged_by_a_fresh_answer_or_a_model(cache, actor):
    asked: list[tuple[Actor, Call]] = []

    async def answer(who: Actor, sent: Call) -> Answer:
        asked.append((who, sent))
        said = "No." if sent.model == "judge/strict" else "Use the rename function of the os module."
        return Answer(assistant(said), finish_reason="stop")

    cache.judge.ask = answer
    await cache.put_rule(actor, PutRule("all", mode="semantic", sample=1.0))
    await ask(cache, actor, QUESTION, "You can use the rename function in the os module.")
    await ask(cache, actor, REWORDED)
    await cache.judge.drain()
    hit = (await cache.hits(actor, "semantic"))[0]
    assert (hit.verdict, hit.judged_by) == ("right", "fresh answer")
    who, sent = asked[0]
    assert (who.id, sent.model, sent.cache, sent.attributes["genwright.cost_kind"]) == ("system", "test/model", "off", "judge")
    assert sent.messages[-1].text == REWORDED

    await cache.put_rule(actor, PutRule("all", judge="judge/strict"))
    await ask(cache, actor, "How could I rename a file in Python?")
    await cache.judge.drain()
    hit = (await cache.hits(actor, "semantic"))[0]
    assert (hit.verdict, hit.judged_by) == ("wrong", "judge/strict")
    assert "How could I rename" in asked[-1][1].messages[-1].text
    line = (await cache.quality(actor))[0]
    assert (line.judged, line.wrong, line.semantic_hits) == (1, 1, 2), "a changed rule is measured anew"
    person = await cache.judge_hit(actor, hit.id, "right")
    assert (person.verdict, person.judged_by) == ("right", actor.id)
    assert (await cache.labels(actor))[0].same


async def test_a_rule_that_surely_misses_its_target_switches_itself_off(cache, actor, caplog):
    await cache.put_rule(actor, PutRule("all", mode="semantic", sample=0.0, target=0.1))
    await ask(cache, actor, QUESTION)
    for _ in range(10):
        assert (await ask(cache, actor, REWORDED)).how == "semantic"
    hits = await cache.hits(actor, "semantic")
    for number, hit in enumerate(hits):
        assert (await cache.rules(actor))[0].enabled
        await cache.judge_hit(actor, hit.id, "wrong" if number < 5 else "right")
    rule = (await cache.rules(actor))[0]
    assert not rule.enabled
    assert rule.created_by == "system"
    assert "5 of 10 judged hits were wrong" in rule.note
    assert "Switched itself off" in caplog.text
    assert await ask(cache, actor, REWORDED) is None
    line = (await cache.quality(actor))[0]
    assert (line.judged, line.wrong) == (10, 5)
    assert 0.1 < line.low < 0.5 < line.high
    await cache.put_rule(actor, PutRule("all", threshold=0.9))
    assert (await cache.rules(actor))[0].enabled
    assert (await cache.quality(actor))[0].judged == 0


async def test_savings_are_counted(cache, actor):
    await cache.put_rule(actor, PutRule("all"))
    for _ in range(3):
        await ask(cache, actor, QUESTION)
    await ask(cache, actor, "Another?")
    line = (await cache.quality(actor))[0]
    assert (line.exact_hits, line.entries, line.saved_nano_usd) == (2, 2, 10_000)
    assert (await cache.quality(actor, 2**62))[0].exact_hits == 0


async def test_a_store_that_fails_is_a_miss_and_no_failed_call(cache, actor, caplog):
    await cache.put_rule(actor, PutRule("all"))

    async def refuse(*_):
        raise Error("no such luck")

    cache._database = type("Broken", (), {"read": refuse})()
    assert await cache.find(actor, call(QUESTION), ABOUT) is None
    assert "no such luck" in caplog.text


async def test_a_pair_can_be_tried(cache, actor):
    same = await cache.try_pair(actor, QUESTION, REWORDED)
    assert (same.serves, same.veto) == (True, "")
    assert same.probability >= same.threshold
    other = await cache.try_pair(actor, "Convert 5 km to miles", "Convert 7 km to miles")
    assert (other.serves, other.veto, other.probability) == (False, "numbers", 0.0)


def test_answers_are_compared_by_meaning_and_numbers():
    assert alike("Use os.rename.", "Use  os.rename.")
    assert alike("Paris is the capital of France.", "The capital of France is Paris.")
    assert not alike("It costs 20 dollars.", "It costs 30 dollars.")
    assert not alike("Paris is the capital of France.", "Use the rename function of os.")


async def test_no_answer_crosses_a_scope_in_ten_thousand_pairs(cache, scope):
    """S3: every one of 216 ways to differ asks what each other one has kept, the same words and other words."""
    tenants = [Scope("default", "default"), Scope("default", "other"), Scope("elsewhere", "default")]
    for tenant in tenants:
        await cache.put_rule(SYSTEM(tenant), PutRule("all", mode="semantic", share="key"))
    ways = [
        (Actor(tenant, key, key, "key", "editor"), About(target, policy), parameters, tools)
        for tenant in tenants
        for key in ("key_1", "key_2", "key_3")
        for target in ("test/one", "test/two")
        for policy in ("", "policy:default@sha256:1")
        for parameters in ({}, {"max_tokens": 5}, {"seed": 1})
        for tools in ([], [{"name": "look", "description": "", "parameters": {}}])
    ]
    assert len(ways) ** 2 >= 10_000
    crossed = 0
    for number, (actor, about, parameters, tools) in enumerate(ways):
        asked = Call(about.target, [user(QUESTION)], parameters, tools)
        found = await cache.find(actor, asked, about)
        crossed += found.answer is not None
        cache.keep(found, Answer(assistant(str(number)), finish_reason="stop"))
        await cache.flush()
    assert crossed == 0, "what others kept was found by the same words"
    for text, how in ((QUESTION, "exact"), (REWORDED, "semantic")):
        for number, (actor, about, parameters, tools) in enumerate(ways):
            found = await cache.find(actor, Call(about.target, [user(text)], parameters, tools), about)
            assert (found.how, found.answer.message.text) == (how, str(number)), "another's answer"
