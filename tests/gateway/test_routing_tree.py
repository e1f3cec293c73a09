"""Routes as trees: reading them, conditions, the order nodes ask in. Pure; no server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter

import pytest

from genwright.access.types import Actor
from genwright.errors import (
    Error,
    Invalid,
    StreamCut,
    Unavailable,
    Upstream,
    UpstreamAuth,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from genwright.gateway.routing import facts, kinds, language, schema, tree
from genwright.gateway.routing.health import Health
from genwright.gateway.routing.patterns import pattern
from genwright.gateway.routing.trip import Means, Trip
from genwright.gateway.routing.types import Outcome
from genwright.gateway.types import Answer, Call
from genwright.messages import Media, Message, Text, ToolCall, assistant, user
from genwright.vocab import Scope

ACTOR = Actor(Scope(), "key_1", "tests", "key", "editor")


def chances(*values):
    return itertools.cycle(values).__next__


class Walked:
    """A route walked with scripted outcomes: model name → what it answers (a text, an Answer or an error)."""

    def __init__(self, node, outcomes=None, call=None, **means):
        self.health = means.pop("health", None) or Health()
        self.means = Means(self.health, **means)
        self.trip = Trip(self.means, ACTOR, call or Call("route/x", [user("Hello there")]), tree.read(node)[1], "route:x@1")
        self.outcomes = outcomes or {}
        self.asked: list[str] = []
        self.candidates: list = []
        asyncio.run(self._go())

    async def _go(self):
        outcome = None
        while (candidate := await self.trip.next(outcome)) is not None:
            self.asked.append(candidate.name)
            self.candidates.append(candidate)
            said = self.outcomes.get(candidate.name, "fine")
            said = said.pop(0) if isinstance(said, list) else said
            beat = self.health.begin(ACTOR.scope, candidate.provider, candidate.model)
            if isinstance(said, Error):
                outcome = Outcome(candidate, error=said)
            else:
                outcome = Outcome(candidate, answer=said if isinstance(said, Answer) else Answer(assistant(said)))
            self.health.end(beat, outcome)

    @property
    def text(self):
        return self.trip.result.answer.message.text


def fallback(*nodes, **more):
    return {"type": "fallback", "nodes": list(nodes), **more}


WRONG = [
    ({"type": "fallbak"}, "root: there is no node of type 'fallbak'"),
    (fallback("a/b", fallback("x")), r"root\.nodes\[1\]\.nodes\[0\]: 'x' is no model"),
    (fallback({"type": "weighted", "arms": [{"node": "a/b", "weight": -1}]}), r"root\.nodes\[0\]\.arms\[0\]: weight is -1"),
    ({"type": "when", "cases": [{"if": {"tokenz": 3}, "node": "a/b"}]}, r"root\.cases\[0\]: there is no fact 'tokenz'"),
    ({"type": "when", "cases": [{"if": {"tokens": {"over": 3}}, "node": "a/b"}]}, "'over' \\(of 'tokens'\\) is no comparison"),
    (fallback({"type": "model", "model": "a/b", "timeout": 3}), r"root\.nodes\[0\]: .*unknown field `timeout`"),
    (fallback(), "nodes is empty"),
    (fallback("a/b", on=["sadness"]), "'sadness' is no kind of failure"),
    ({"type": "weighted", "arms": [{"node": "a/b", "weight": 0}]}, "all weights are 0"),
    ({"type": "split", "experiment": "e", "arms": [{"name": "x", "node": "a/b"}]}, "two or more arms"),
    ({"type": "cascade", "steps": [{"node": "a/b"}, {"node": "a/c"}]}, "names checks"),
    (
        {"type": "cascade", "steps": [{"node": "a/b", "checks": ["lenght"]}, {"node": "a/c"}]},
        r"steps\[0\]: there is no check 'lenght'",
    ),
    (
        {"type": "cascade", "steps": [{"node": "a/b", "checks": [{"check": "pattern", "pattern": "(a+)+b"}]}, {"node": "a/c"}]},
        "for ever",
    ),
    ({"type": "mirror", "node": "a/b", "shadow": "c/d", "share": 2}, "share is 2"),
    ({"root": {"type": "route", "ref": "nowhere"}}, "route/NAME"),
    ({"root": "app/docs"}, "is no model"),
    ({"root": 3}, "a node is an object"),
    ({"type": "sticky", "by": "moon", "arms": [{"node": "a/b"}]}, "by is 'moon'"),
]


@pytest.mark.parametrize(("content", "message"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_tree_is_refused_with_the_place(content, message):
    with pytest.raises(Invalid, match=message) as raised:
        tree.read(content)
    assert raised.value.code == "invalid_route"
    assert "Nothing was kept" in raised.value.message


def test_a_tree_too_large_or_too_deep_is_refused():
    deep = "a/b"
    for _ in range(25):
        deep = fallback(deep)
    for content in (deep, fallback(*["a/b"] * 400)):
        with pytest.raises(Invalid, match="at most 300 nodes"):
            tree.read(content)


def test_every_type_of_node_can_be_written_and_drawn():
    content = {
        "description": "all of them",
        "root": fallback(
            {"type": "when", "cases": [{"if": {"tokens": {"gt": 10}}, "node": "a/long"}], "otherwise": "route/other"},
            {"type": "weighted", "arms": [{"node": "a/1", "weight": 3}, {"node": "a/2"}]},
            {"type": "least_latency", "nodes": ["a/1", "a/2"]},
            {"type": "least_busy", "arms": [{"node": "a/1"}, {"node": "a/2"}]},
            {"type": "sticky", "by": "user", "arms": [{"node": "a/1"}, {"node": "a/2"}]},
            {"type": "split", "experiment": "e", "arms": [{"name": "x", "node": "a/1"}, {"name": "y", "node": "a/2"}]},
            {"type": "cascade", "steps": [{"node": "a/1", "checks": ["refusal"]}, {"node": "a/2"}]},
            {"type": "mirror", "node": "a/1", "shadow": "a/2", "share": 0.1},
            {"type": "hedge", "node": "a/1", "to": "a/2"},
            {"type": "require", "models": {"region": "eu"}, "node": "a/1"},
            context_length="a/longer",
            content_policy="a/other",
        ),
    }
    _, root = tree.read(content)
    drawn = {at: (node.WORD, node.says()) for at, node in tree.everything(root)}
    assert len(drawn) == 32
    assert drawn["root.nodes[6]"] == ("cascade", "1: refusal")
    assert root.nodes[1].edge("arms[0].node") == "75 %"
    assert root.nodes[0].edge("cases[0].node") == "tokens > 10"


def test_a_fallback_asks_the_next_on_usual_failures_and_no_further_than_needed():
    for error in (Upstream("x"), UpstreamTimeout("x"), UpstreamLimited("x"), UpstreamAuth("x"), StreamCut("x")):
        walked = Walked(fallback("a/1", "a/2", "a/3"), {"a/1": error})
        assert walked.asked == ["a/1", "a/2"]
        assert walked.text == "fine"


def test_a_refused_request_is_not_sent_elsewhere_unless_the_route_says_so():
    refused = UpstreamRefused("test answered 400: temperature is wrong", upstream_status=400)
    walked = Walked(fallback("a/1", "a/2"), {"a/1": refused})
    assert walked.asked == ["a/1"]
    assert walked.trip.error is refused
    assert Walked(fallback("a/1", "a/2", on=["refused"]), {"a/1": refused}).asked == ["a/1", "a/2"]


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 8192 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count exceeds the maximum number of tokens allowed",
        "Input is too long for requested model.",
        "the request exceeds the available context size",
    ],
)
def test_a_context_too_long_goes_to_the_model_named_for_it(words):
    long = UpstreamRefused(f"test answered 400: {words}", upstream_status=400)
    walked = Walked(fallback("a/1", "a/2", context_length="a/long"), {"a/1": long})
    assert walked.asked == ["a/1", "a/long"]
    assert Walked(fallback("a/1", "a/2"), {"a/1": long}).asked == ["a/1", "a/2"]


def test_a_content_policy_has_its_own_fallback():
    policy = UpstreamRefused("test answered 400: content", upstream_status=400, upstream_code="content_policy_violation")
    assert Walked(fallback("a/1", "a/2", content_policy="b/1"), {"a/1": policy}).asked == ["a/1", "b/1"]
    assert Walked(fallback("a/1", "a/2"), {"a/1": policy}).asked == ["a/1"]
    filtered = Answer(assistant("I …"), finish_reason="content_filter")
    assert Walked(fallback("a/1", "a/2", content_policy="b/1"), {"a/1": filtered}).asked == ["a/1", "b/1"]


def test_the_most_telling_failure_is_raised():
    health = Health()
    for _ in range(5):
        beat = health.begin(ACTOR.scope, "a", "2")
        health.end(beat, Outcome(None, error=Upstream("down")))
    walked = Walked(fallback("a/1", "a/2"), {"a/1": UpstreamTimeout("slow")}, health=health)
    assert walked.asked == ["a/1"]
    assert isinstance(walked.trip.error, UpstreamTimeout)
    assert walked.trip.skipped == [{"step": "root.nodes[1]", "model": "a/2", "why": "breaker_open"}]


def test_weights_are_kept_to():
    node = {
        "type": "weighted",
        "arms": [{"node": "a/1", "weight": 8}, {"node": "a/2", "weight": 2}, {"node": "a/0", "weight": 0}],
    }
    counted = Counter(Walked(node).asked[0] for _ in range(2000))
    assert counted["a/0"] == 0
    assert 0.76 < counted["a/1"] / 2000 < 0.84
    assert set(Walked(node, {"a/1": Upstream("x"), "a/2": Upstream("x")}).asked) == {"a/0", "a/1", "a/2"}


def test_sticky_holds_on_and_moves_as_few_as_possible():
    arms = [{"node": f"a/{number}"} for number in range(4)]
    first = {
        name: Walked({"type": "sticky", "arms": arms}, call=Call("r", session=name)).asked[0] for name in map(str, range(300))
    }
    again = {name: Walked({"type": "sticky", "arms": arms}, call=Call("r", session=name)).asked[0] for name in first}
    assert first == again
    assert min(Counter(first.values()).values()) > 45
    down = {f"a/{number}": Upstream("x") for number in (3,)}
    moved = {name: Walked({"type": "sticky", "arms": arms}, down, Call("r", session=name)).candidates[-1].name for name in first}
    assert all(moved[name] == first[name] for name in first if first[name] != "a/3")
    assert len({moved[name] for name in first if first[name] == "a/3"}) == 3


def test_split_gives_each_caller_one_arm_records_it_and_lets_no_arm_stand_in_for_another():
    node = {
        "type": "split",
        "experiment": "tone",
        "by": "user",
        "arms": [{"name": "old", "node": "a/1", "weight": 3}, {"name": "new", "node": "a/2"}],
    }
    seen = Counter()
    for number in range(400):
        walked = Walked(node, call=Call("r", user=f"u{number}"))
        arm = walked.trip.attributes()["genwright.exposure"]["tone"]
        assert walked.asked == [{"old": "a/1", "new": "a/2"}[arm]]
        assert Walked(node, call=Call("r", user=f"u{number}")).asked == walked.asked
        seen[arm] += 1
    assert 260 < seen["old"] < 340
    assert Walked(node, {"a/1": Upstream("x"), "a/2": Upstream("x")}).asked[1:] == []


def test_least_latency_takes_the_quickest_and_looks_at_the_others_now_and_then():
    health = Health()
    for model, seconds in (("slow", 2.0), ("quick", 0.2)):
        for _ in range(6):
            beat = health.begin(ACTOR.scope, "a", model)
            health.end(beat, Outcome(None, answer=Answer(assistant("x")), duration_s=seconds))
    node = {"type": "least_latency", "nodes": ["a/slow", "a/quick"]}
    assert Walked(node, health=health, chance=chances(0.9)).asked == ["a/quick"]
    assert Walked(node, health=health, chance=chances(0.001)).asked == ["a/slow"]
    unknown = {"type": "least_latency", "nodes": ["a/quick", "a/new"]}
    assert Walked(unknown, health=health, chance=chances(0.9)).asked == ["a/new"]


def test_least_busy_looks_at_what_is_under_way_and_at_capacity():
    health = Health()
    for _ in range(3):
        health.begin(ACTOR.scope, "a", "1")
    node = {"type": "least_busy", "arms": [{"node": "a/1"}, {"node": "a/2"}]}
    assert Walked(node, health=health).asked == ["a/2"]
    node = {"type": "least_busy", "arms": [{"node": "a/1", "weight": 10}, {"node": "a/2"}]}
    assert Walked(node, health=health).asked == ["a/1"]


CALL = Call(
    "route/x",
    [Message("user", [Text("Wie kann ich das Fenster öffnen und was ist die Ursache?"), Media("image", "image/png", "AA==")])],
    parameters={"max_tokens": 50},
    tags={"plan": "pro"},
    user="ann",
)
CONDITIONS = [
    ({"tags.plan": "pro"}, True),
    ({"tags.plan": {"in": ["free", "pro"]}}, True),
    ({"tags.plan": {"ne": "pro"}}, False),
    ({"tags.team": "x"}, False),
    ({"tags.team": {"known": False}}, True),
    ({"tags.team": {"ne": "x"}}, True),
    ({"modality": "image"}, True),
    ({"modality": "audio"}, False),
    ({"language": "de"}, True),
    ({"language": {"not_in": ["en"]}}, True),
    ({"tokens": {"gt": 3, "lt": 1000}}, True),
    ({"tokens": {"gte": 1000}}, False),
    ({"output_tokens": {"lte": 50}}, True),
    ({"text": {"matches": "Fenster|Tür"}}, True),
    ({"text": {"has": "Tür"}}, False),
    ({"user": "ann", "session": {"known": False}}, True),
    ({"any": [{"user": "bob"}, {"role": "editor"}]}, True),
    ({"all": [{"user": "ann"}, {"not": {"user": "ann"}}]}, False),
    ({"messages": 1}, True),
    ({"tools": {"gt": 0}}, False),
    ({"parameters.max_tokens": 50}, True),
    ({"tokens": {"gt": "many"}}, False),
]


@pytest.mark.parametrize(("condition", "held"), CONDITIONS, ids=lambda value: str(value))
def test_conditions(condition, held):
    node = {"type": "when", "cases": [{"if": condition, "node": "a/yes"}], "otherwise": "a/no"}
    assert Walked(node, call=CALL).asked == ["a/yes" if held else "a/no"]
    assert facts.words(condition)


def test_when_no_case_holds_nobody_is_asked():
    walked = Walked({"type": "when", "cases": [{"if": {"user": "bob"}, "node": "a/1"}]})
    assert walked.asked == []
    assert walked.trip.error.code == "no_candidate"


def test_require_passes_over_models_that_the_catalogue_says_other_things_of():
    known = {
        "a/us": {"region": "us", "context": 200_000},
        "a/eu": {"region": "eu", "context": 10},
        "b/eu": {"region": "eu", "context": 9000},
    }
    means = {"catalogue": lambda scope, provider, model: known.get(f"{provider}/{model}")}
    node = {
        "type": "require",
        "models": {"region": "eu", "context": {"gte": "$tokens"}},
        "node": fallback("a/new", "a/us", "a/eu", "b/eu"),
    }
    walked = Walked(node, call=Call("r", [user("many words " * 20)]), **means)
    assert walked.asked == ["b/eu"]
    assert [one["why"] for one in walked.trip.skipped] == ["condition"] * 3
    assert Walked({**node, "unknown": "take"}, **means).asked == ["a/new"]
    none = Walked({**node, "models": {"region": "mars"}}, **means)
    assert none.asked == []
    assert isinstance(none.trip.error, Unavailable)


CHECKS = [
    ({"check": "length", "least": 10}, "short", "long enough an answer"),
    ({"check": "refusal"}, "I’m sorry, but I can't help with that.", "Paris."),
    ({"check": "refusal"}, "As an AI language model …", "I can help: it is Paris."),
    ({"check": "json"}, "Here you go: {}", '```json\n{"a": 1}\n```'),
    ({"check": "json", "schema": {"type": "object", "required": ["a"]}}, '{"b": 1}', '{"a": 1}'),
    ({"check": "pattern", "pattern": r"\[\d+\]"}, "no source", "see [1]"),
    ({"check": "pattern", "pattern": "TODO", "must": False}, "TODO", "done"),
]


@pytest.mark.parametrize(("check", "weak", "good"), CHECKS)
def test_a_cascade_escalates_when_a_check_says_so(check, weak, good):
    node = {"type": "cascade", "steps": [{"node": "a/cheap", "checks": [check]}, {"node": "a/strong"}]}
    walked = Walked(node, {"a/cheap": weak})
    assert walked.asked == ["a/cheap", "a/strong"]
    assert [candidate.hold_back for candidate in walked.candidates] == [True, False]
    assert walked.text == "fine"
    assert walked.trip.attributes()["genwright.escalations"][0]["why"].startswith(check["check"])
    taken = Walked(node, {"a/cheap": good})
    assert taken.asked == ["a/cheap"]
    assert taken.text == good


def test_a_cascade_gives_the_weak_answer_if_the_strong_model_fails():
    node = {"type": "cascade", "steps": [{"node": "a/cheap", "checks": ["refusal"]}, {"node": "a/strong"}]}
    walked = Walked(node, {"a/cheap": "I cannot help with that", "a/strong": Upstream("down")})
    assert walked.asked == ["a/cheap", "a/strong"]
    assert walked.text == "I cannot help with that"
    assert Walked(node, {"a/cheap": Upstream("down")}).asked == ["a/cheap", "a/strong"]


def test_an_answer_that_calls_tools_has_passed():
    called = Answer(Message("assistant", [ToolCall("1", "f", {})]))
    node = {"type": "cascade", "steps": [{"node": "a/cheap", "checks": [{"check": "length", "least": 5}]}, {"node": "a/strong"}]}
    assert Walked(node, {"a/cheap": called}).asked == ["a/cheap"]


def test_confidence_is_read_from_the_logprobs_and_asked_for():
    node = {
        "type": "cascade",
        "steps": [{"node": "a/cheap", "checks": [{"check": "confidence", "least": 0.8}]}, {"node": "a/strong"}],
    }

    def answer(*values):
        return Answer(assistant("x"), logprobs=[[{"token": "x", "logprob": value} for value in values]], raw=b"{}")

    sure, unsure = answer(-0.01, -0.1), answer(-0.01, -2.0)
    walked = Walked(node, {"a/cheap": sure})
    assert walked.asked == ["a/cheap"]
    assert walked.candidates[0].parameters == {"logprobs": True}
    assert (sure.raw, sure.logprobs) == (b"", [])  # the caller asked for none
    assert Walked(node, {"a/cheap": unsure}).asked == ["a/cheap", "a/strong"]
    assert Walked(node, {"a/cheap": "no logprobs"}).asked == ["a/cheap", "a/strong"]


def test_a_model_that_cannot_give_logprobs_is_asked_without():
    checks = [{"check": "confidence", "missing": "accept"}]
    node = {"type": "cascade", "steps": [{"node": "a/cheap", "checks": checks}, {"node": "a/strong"}]}
    cannot = Invalid("a takes no logprobs", param="logprobs")
    walked = Walked(node, {"a/cheap": [cannot, "fine"]})
    assert walked.asked == ["a/cheap", "a/cheap"]
    assert [one.parameters for one in walked.candidates] == [{"logprobs": True}, {}]
    assert walked.text == "fine"


def test_a_judge_decides_and_its_failure_takes_the_answer():
    node = {
        "type": "cascade",
        "steps": [{"node": "a/cheap", "checks": [{"check": "judge", "model": "j/1", "least": 7}]}, {"node": "a/strong"}],
    }
    asked = []

    def judge(text):
        async def ask(actor, call):
            asked.append(call)
            if isinstance(text, Error):
                raise text
            return Answer(assistant(text))

        return ask

    assert Walked(node, ask=judge("9")).asked == ["a/cheap"]
    assert Walked(node, ask=judge("Mark: 4/10")).asked == ["a/cheap", "a/strong"]
    assert asked[0].model == "j/1"
    assert "Hello there" in asked[0].messages[0].text
    failed = Walked(node, ask=judge(Upstream("down")))
    assert failed.asked == ["a/cheap"]
    assert "could not be checked" in str(failed.trip.attributes())


def test_a_metric_is_handed_in():
    node = {
        "type": "cascade",
        "steps": [{"node": "a/cheap", "checks": [{"check": "metric", "metric": "words", "least": 2}]}, {"node": "a/strong"}],
    }

    async def words(name, question, answer):
        return len(answer.split())

    assert Walked(node, {"a/cheap": "one"}, measure=words).asked == ["a/cheap", "a/strong"]
    assert Walked(node, {"a/cheap": "one two"}, measure=words).asked == ["a/cheap"]


def test_a_mirror_sends_its_share_beside_the_first_candidate_only():
    node = {
        "type": "mirror",
        "share": 0.5,
        "node": fallback("a/1", "a/2"),
        "shadow": {"type": "weighted", "arms": [{"node": "s/1"}]},
    }
    walked = Walked(node, {"a/1": Upstream("x")}, chance=chances(0.4))
    assert [[shadow.name for shadow in one.shadows] for one in walked.candidates] == [["s/1"], []]
    assert walked.candidates[0].shadows[0].step == "root.shadow.arms[0].node"
    assert Walked(node, chance=chances(0.6)).candidates[0].shadows == ()


def test_a_hedge_waits_for_the_live_p95_and_for_enough_answers():
    health = Health()
    node = {"type": "hedge", "node": "a/1", "to": "a/2"}
    assert Walked(node, health=health).candidates[0].hedge is None
    for number in range(40):
        beat = health.begin(ACTOR.scope, "a", "1")
        health.end(beat, Outcome(None, answer=Answer(assistant("x")), duration_s=number / 40))
    hedged = Walked(node, health=health).candidates[0]
    assert hedged.hedge.name == "a/2"
    assert 0.85 < hedged.hedge_after_s < 1.0


def test_retries_go_to_the_same_model_but_not_for_what_will_not_pass():
    node = {"type": "model", "model": "a/1", "retries": 2}
    limited = UpstreamLimited("x", retry=0.001)
    walked = Walked(node, {"a/1": [limited, "fine now"]}, chance=chances(0.0))
    assert walked.text == "fine now"
    assert Walked(node, {"a/1": [UpstreamRefused("x", upstream_status=400), "no"]}).asked == ["a/1"]


def test_kinds_cover_every_error_of_a_provider():
    assert kinds.kind(Outcome(None, error=UpstreamRefused("no such model", upstream_status=404))) == "missing"
    assert kinds.kind(Outcome(None, error=UpstreamTimeout("x", code="deadline_exceeded"))) == "deadline"
    assert kinds.kind(Outcome(None, error=ValueError())) == "cancelled"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the capital of France and how do I get there?", "en"),
        ("Quelle est la capitale de la France et comment y aller ?", "fr"),
        ("¿Cuál es la capital de España y cómo se llega?", "es"),
        ("東京の天気はどうですか", "ja"),
        ("今天天气怎么样", "zh"),
        ("Какая сегодня погода", "ru"),
        ("Qual è la capitale e come si arriva con il treno?", "it"),
        ("x = 1", ""),
        ("", ""),
        ("42", ""),
    ],
)
def test_languages(text, code):
    assert language.detect(text) == code


@pytest.mark.parametrize(
    ("value", "wanted", "fits"),
    [
        ({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}, True),
        ({"a": 0}, {"properties": {"a": {"minimum": 1}}}, False),
        ({"a": 1, "b": 2}, {"properties": {"a": {}}, "additionalProperties": False}, False),
        ([1, "x"], {"items": {"type": ["integer", "string"]}}, True),
        (True, {"type": "integer"}, False),
        ("b", {"enum": ["a", "b"]}, True),
        (
            {"n": {"n": {"n": None}}},
            {"$ref": "#/$defs/t", "$defs": {"t": {"type": ["object", "null"], "properties": {"n": {"$ref": "#/$defs/t"}}}}},
            True,
        ),
        (5, {"anyOf": [{"type": "string"}, {"type": "number", "maximum": 4}]}, False),
        ("", {"type": "string", "minLength": 1}, False),
    ],
)
def test_schemas(value, wanted, fits):
    assert (schema.problem(value, wanted) == "") == fits


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+b",
        "((a+))+$",
        "(a|aa)+$",
        "(?:a*)*",
        "(a?){40}",
        "a*b*c*d",
        "(x+x+)+y",
        "([a-z]+)*\\d",
        "(",
        "(?:(ab|cd)c)*",
        r"(a)\1+",
    ],
)
def test_patterns_that_could_run_away_are_refused(text):
    with pytest.raises(ValueError, match=r"for ever|no pattern|without a bound|names no group"):
        pattern(text)


@pytest.mark.parametrize("text", ["foo|bar", r"\[\d+\]", r"^\s*yes\b", r"\w+@\w+", "(?i)refund", "[ab]{2,5}", "(?=.*a)b", "a{3}"])
def test_other_patterns_are_quick_on_the_worst_text(text):
    for worst in ("a" * 20_000, "a@" * 10_000, " " * 20_000, "[1" * 10_000):
        begin = time.perf_counter()
        pattern(text).found(worst)
        assert time.perf_counter() - begin < 1.0
