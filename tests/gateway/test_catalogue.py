"""The model catalogue: what is known without asking, a project's own entries, rules that refuse models, conditions in routes."""

from __future__ import annotations

import pytest

from genwright import migrate
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Forbidden, Invalid, Missing
from genwright.gateway import store as gateway_store
from genwright.gateway.catalogue import canary, cards
from genwright.gateway.catalogue import store as catalogue_store
from genwright.gateway.catalogue.types import CanaryAnswer, CanaryRun, ModelCard
from genwright.gateway.types import Call
from genwright.messages import user
from genwright.testing.provider import Fault, Reply
from genwright.vocab import Scope


@pytest.fixture
def catalogue(served):
    return served.house.gateway.catalogue


def card(kind: str, price_as: str, address: str, model: str, own: dict | None = None, today: str = "2026-11-21") -> ModelCard:
    return cards.card("p", model, cards.known(kind, price_as, address, model), own or {}, today)


def test_the_region_is_in_the_address():
    for address, region, area in [
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1", "eu"),
        ("https://europe-west4-aiplatform.googleapis.com/v1/projects/p", "europe-west4", "eu"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "us-central1", "us"),
        ("https://bedrock-runtime.ap-southeast-2.amazonaws.com", "ap-southeast-2", "asia"),
        ("http://127.0.0.1:8000/v1", "local", "local"),
        ("https://api.example.org/v1", "", ""),
    ]:
        found = card("openai-compatible", "", address, "m")
        assert (found.region, found.area) == (region, area), address


def test_fields_come_from_their_sources_and_own_ones_go_first():
    found = card("bedrock", "aws", "https://bedrock-runtime.eu-west-1.amazonaws.com", "anthropic.claude-3-5-haiku-20241022-v1:0")
    assert (found.context, found.sources["context"]) == (200_000, "list")
    assert (found.licence, found.retention_days, found.area) == ("proprietary", 0, "eu")
    assert (found.retires, found.retired) == ("2026-02-19", True)
    assert card("bedrock", "aws", "", "anthropic.claude-3-5-haiku-20241022-v1:0", today="2026-02-18").retired is False
    mine = card("openai", "openai", "", "gpt-4o", {"region": "eu-north-1", "licence": "by contract"})
    assert (mine.region, mine.area, mine.licence) == ("eu-north-1", "eu", "by contract")
    assert (mine.sources["licence"], mine.sources["input"]) == ("own", "rows")
    assert card("openai-compatible", "", "https://x.org", "nobody-knows-me") == ModelCard("p", "nobody-knows-me")


def test_what_is_unknown_is_missing_for_conditions():
    assert cards.fields(ModelCard("p", "m")) == {"provider": "p", "model": "m"}
    assert cards.fields(card("mistral", "mistral", "", "mistral-large-latest"))["region"] == "eu"


def test_own_entries(served, catalogue):
    before = served.run(catalogue.card(served.scope, "test", "mine"))
    assert before.licence == ""
    stored = served.run(catalogue.set(served.admin, "test/mine", {"licence": "MIT", "context": 4096, "retires": "2027-01-31"}))
    assert (stored.licence, stored.context, stored.retired) == ("MIT", 4096, False)
    again = served.run(catalogue.set(served.admin, "test/mine", {"context": None, "region": "eu-central-1"}))
    assert (again.licence, again.context, again.area) == ("MIT", None, "eu")
    assert "test/mine" in {f"{one.provider}/{one.model}" for one in served.run(catalogue.all(served.admin, "mine TEST"))}
    assert catalogue.fields(served.scope, "test", "mine")["licence"] == "MIT"
    for wrong, field in [({"licnce": "x"}, "licence"), ({"context": "many"}, "context"), ({"retires": "soon"}, "retires")]:
        with pytest.raises(Invalid, match=field):
            served.run(catalogue.set(served.admin, "test/mine", wrong))
    with pytest.raises(Forbidden):
        served.run(catalogue.set(Actor(served.scope, "k", "k", "key", "viewer"), "test/mine", {"licence": "x"}))
    served.run(catalogue.set(served.admin, "test/mine", {"licence": None, "region": None, "retires": None}))
    assert served.run(catalogue.card(served.scope, "test", "mine")).licence == ""


def test_prices_are_on_the_card(served, catalogue):
    served.run(served.house.gateway.add_provider(served.admin, "oa", "openai", "https://api.openai.com/v1", "k"))
    found = served.run(catalogue.card(served.scope, "oa", "gpt-4o"))
    assert (found.usd_in, found.usd_out, found.context) == (2.5, 10.0, 128_000)
    assert served.run(catalogue.card(served.scope, "local", "extractive")).usd_in == 0
    served.run(served.house.gateway.remove_provider(served.admin, "oa"))


def test_a_rule_refuses_models_before_they_are_called(served, provider, catalogue):
    gateway, ask = served.house.gateway, [user("x")]
    served.run(catalogue.set(served.admin, "test/here", {"region": "eu-west-3"}))
    served.run(catalogue.put_rule(served.admin, "eu-only", {"area": "eu", "retired": {"ne": True}}, "test/*"))
    try:
        assert served.run(gateway.complete(served.admin, Call("test/here", ask))).message.text
        asked = len(provider.calls)
        with pytest.raises(Forbidden, match=r"eu-only.*area is local") as refused:
            served.run(gateway.complete(served.admin, Call("test/elsewhere", ask)))
        assert (refused.value.code, refused.value.details["field"]) == ("model_rule", "area")
        with pytest.raises(Forbidden):
            served.run(gateway.embed(served.admin, "test/elsewhere", ["x"]))
        assert len(provider.calls) == asked
        assert served.run(gateway.complete(served.admin, Call("local/extractive", ask)))
    finally:
        served.run(catalogue.remove_rule(served.admin, "eu-only"))
        served.run(catalogue.set(served.admin, "test/here", {"region": None}))
    assert served.run(gateway.complete(served.admin, Call("test/elsewhere", ask)))
    with pytest.raises(Missing):
        served.run(catalogue.remove_rule(served.admin, "eu-only"))


@pytest.mark.parametrize("wrong", [{}, {"colour": "red"}, {"area": {"like": "eu"}}, {"area": {"in": "eu"}}])
def test_wrong_rules_are_refused(served, catalogue, wrong):
    with pytest.raises(Invalid):
        served.run(catalogue.put_rule(served.admin, "x", wrong))


# -- canaries


def script(provider, words: str, model: str = "test-model") -> None:
    provider.always(Reply(words), model=model)


def test_a_model_that_stays_the_same_and_one_that_changed_silently(served, provider, catalogue):
    gateway = served.house.gateway
    script(provider, "the sea is wide and calm today", "steady")
    first = served.run(canary.run(gateway, served.admin, "test/steady"))
    assert (first.verdict, first.similarity, len(first.answers)) == ("first", None, len(canary.prompts()))
    assert first.fingerprint == {"model": "steady"}
    script(provider, "the sea is wide and calm now", "steady")
    same = served.run(canary.run(gateway, served.admin, "test/steady"))
    assert same.verdict == "same"
    assert 0.6 < same.similarity < 1
    asked = next(call.body for call in provider.calls if call.model == "steady")
    assert (asked["temperature"], asked["max_tokens"]) == (0, 200)
    script(provider, "I cannot help with that", "steady")
    changed = served.run(canary.run(gateway, served.admin, "test/steady"))
    assert (changed.verdict, changed.similarity) == ("changed", 0)
    assert "alike by 0.00 only" in changed.why
    script(provider, "", "steady")
    provider.always(Fault.status(500, "down"), model="steady")
    failed = served.run(canary.run(gateway, served.admin, "test/steady"))
    assert failed.verdict == "failed"
    script(provider, "I cannot help with that", "steady")
    assert served.run(canary.run(gateway, served.admin, "test/steady")).verdict == "same"
    kept = served.run(catalogue.runs(served.admin, "test/steady"))
    assert [run.verdict for run in kept] == ["same", "failed", "changed", "same", "first"]
    assert kept[-1] == first


def test_another_fingerprint_is_a_change(served):
    run = CanaryRun("c", "p", "m", 0, "x", {"model": "gpt-1", "system_fingerprint": "fp_a"}, [], None, "same")
    answers = [CanaryAnswer("a", "t", "d", 1.0)]
    assert canary._verdict(run, {"model": "gpt-1", "system_fingerprint": "fp_b"}, answers) == (
        "changed", "system_fingerprint was fp_a and is fp_b",
    )  # fmt: skip
    assert canary._verdict(run, {"model": "gpt-1"}, answers) == ("same", "")


def test_likeness():
    assert canary.similarity("a b c", "a b c") == 1
    assert canary.similarity("", "a") == canary.similarity("x y", "a b") == 0
    assert 0 < canary.similarity("one two three", "one two four") < 1


def test_providers_of_the_schema_before_survive(tmp_path):
    database = Database("registry", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0008")
    with database.engine.begin() as connection:
        gateway_store.put_provider(connection, Scope(), gateway_store.Stored("old", "openai", "https://x/v1", b"sealed", 5, "me"))
    migrate.migrate(database)
    with database.engine.connect() as connection:
        kept = gateway_store.get_provider(connection, Scope(), "old")
        assert (kept.base_url, kept.secret, catalogue_store.own(connection, Scope())) == ("https://x/v1", b"sealed", {})
        assert catalogue_store.runs(connection, Scope()) == catalogue_store.all_rules(connection, Scope()) == []
    database.close()
