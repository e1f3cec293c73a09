"""Routes by command and HTTP, in front of a provider that fails, hangs and cuts."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from genwright.testing.provider import Fault, Reply
from journey import genwright, until

SAY = [{"role": "user", "content": "Which planet is red?"}]


@pytest.fixture(scope="module")
def house(empty, provider):
    empty.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-scripted-1")
    return empty


@pytest.fixture(scope="module")
def client(house):
    with openai.OpenAI(base_url=f"{house.address}/v1", api_key=house.key, max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def put(house, tmp_path):
    def put(name, content, *words):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(content))
        return house.cli("routes", "put", name, str(file), *words)

    return put


@pytest.fixture
def ask(client):
    def ask(model, **more):
        return client.chat.completions.create(model=model, messages=SAY, **more)

    return ask


def model(name):
    return f"scripted/{name}"


def fallback(*names, **more):
    return {"type": "fallback", "nodes": [model(name) for name in names], **more}


def route_span(house, trace_id):
    def complete(trace):
        return any(span["operation"] == "route" and span["status"] != "pending" for span in trace["spans"])

    return next(span for span in house.trace(trace_id, complete)["spans"] if span["operation"] == "route")


def traced(client, name, **more):
    """(answer, trace id)."""
    raw = client.chat.completions.with_raw_response.create(model=name, messages=SAY, **more)
    return raw.parse(), raw.headers["x-genwright-trace"]


def test_the_fallback_answers_when_a_model_fails_hangs_cuts_or_refuses_the_key(provider, put, ask):
    put("plain", {"type": "fallback", "nodes": [{"type": "model", "model": model("first"), "timeout_s": 1}, model("second")]})
    faults = [Fault.status(500), Fault.hang(), Fault.cut_after(3), Fault.reset(), Fault.garbage(), Fault.status(401)]
    provider.script(faults, model="first")
    for _ in faults[:-2]:
        assert ask("route/plain").model == "second"
    assert ask("route/plain").model == "second"


def test_a_stream_that_fails_at_its_beginning_is_answered_by_the_next(provider, put, ask):
    put("streamed", fallback("stream-first", "stream-second"))
    provider.always(Fault.status(503), model="stream-first")
    chunks = list(ask("route/streamed", stream=True))
    assert {chunk.model for chunk in chunks} == {"stream-second"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("echo")


def test_arms_are_counted_and_each_session_keeps_its_own(house, provider, put, client):
    arms = [{"name": "control", "node": model("control"), "weight": 3}, {"name": "candidate", "node": model("candidate")}]
    put("split", {"type": "split", "experiment": "tone", "arms": arms})
    seen = Counter()
    for number in range(40):
        headers = {"x-genwright-session": f"s{number}"}
        first, trace_id = traced(client, "route/split", extra_headers=headers)
        again, _ = traced(client, "route/split", extra_headers=headers)
        assert first.model == again.model
        seen[first.model] += 1
    assert 20 <= seen["control"] <= 38
    assert seen["candidate"] >= 2
    assert route_span(house, trace_id)["attributes"]["genwright.exposure"] == {"tone": first.model}


def test_a_mirrored_call_keeps_both_answers_and_bills_both(house, provider, put, client):
    put("mirrored", {"type": "mirror", "node": model("live"), "shadow": model("shadow")})
    provider.always(Reply("what the other says"), model="shadow")
    answer, trace_id = traced(client, "route/mirrored")
    assert answer.model == "live"

    def both(trace):
        return sum(span["operation"] == "chat" and span["status"] == "ok" for span in trace["spans"]) == 2

    chats = [span for span in house.trace(trace_id, both)["spans"] if span["operation"] == "chat"]
    said = {span["attributes"]["gen_ai.request.model"]: json.dumps(span["output"]) for span in chats}
    assert "what the other says" in said["shadow"]
    assert "Which planet is red?" in said["live"]
    rows = until(lambda: len(found := house.get("/api/gateway/attempts", trace_id=trace_id)["items"]) == 2 and found)
    assert {row["model"] for row in rows} == {"live", "shadow"}


def test_a_cascade_escalates_a_weak_answer_and_only_that(house, provider, put, client):
    put("cascade", {"type": "cascade", "steps": [{"node": model("cheap"), "checks": ["refusal"]}, {"node": model("strong")}]})
    provider.script([Reply("Mars."), Reply("I'm sorry, I can't help with that.")], model="cheap")
    provider.always(Reply("It is Mars."), model="strong")
    answer, _ = traced(client, "route/cascade")
    assert (answer.model, answer.choices[0].message.content) == ("cheap", "Mars.")
    answer, trace_id = traced(client, "route/cascade")
    assert (answer.model, answer.choices[0].message.content) == ("strong", "It is Mars.")
    (escalation,) = route_span(house, trace_id)["attributes"]["genwright.escalations"]
    assert "refusal" in escalation["why"]


def test_a_judge_model_decides_and_its_calls_are_in_the_trace(house, provider, put, client):
    checks = [{"check": "judge", "model": model("judge"), "least": 7}]
    put("judged", {"type": "cascade", "steps": [{"node": model("judged-1"), "checks": checks}, {"node": model("judged-2")}]})
    provider.script([Reply("9"), Reply("3")], model="judge")
    assert client.chat.completions.create(model="route/judged", messages=SAY).model == "judged-1"
    answer, trace_id = traced(client, "route/judged")
    assert answer.model == "judged-2"
    rows = until(lambda: len(found := house.get("/api/gateway/attempts", trace_id=trace_id)["items"]) == 3 and found)
    assert [row["model"] for row in rows] == ["judged-1", "judge", "judged-2"]
    assert "Which planet is red?" in json.dumps([call.body for call in provider.calls if call.model == "judge"])


def test_a_prompt_too_long_and_a_content_policy_have_their_own_models(provider, put, ask):
    put("special", fallback("short", "other", context_length=model("long"), content_policy=model("lenient")))
    provider.script(
        [
            Fault.status(
                400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
            ),
            Fault.status(400, "Your request was rejected as a result of our safety system."),
            Fault.status(400, "temperature must be at most 2"),
        ],
        model="short",
    )
    assert [ask("route/special").model for _ in range(2)] == ["long", "lenient"]
    with pytest.raises(openai.BadRequestError, match="temperature"):
        ask("route/special")


def test_calls_of_a_session_stay_with_a_model_and_go_on_elsewhere_when_it_fails(provider, put, ask):
    put("sticky", {"type": "sticky", "by": "session", "arms": [{"node": model(f"sticky-{number}")} for number in range(3)]})
    seen = {}
    for number in range(12):
        headers = {"x-genwright-session": f"s{number}"}
        seen[number] = ask("route/sticky", extra_headers=headers).model
        assert ask("route/sticky", extra_headers=headers).model == seen[number]
    assert len(set(seen.values())) >= 2
    provider.always(Fault.status(503), model=seen[0])
    moved = {number: ask("route/sticky", extra_headers={"x-genwright-session": f"s{number}"}).model for number in seen}
    assert seen[0] not in moved.values()
    assert all(moved[number] == seen[number] for number in seen if seen[number] != seen[0])


def test_the_quicker_and_the_less_busy_model_is_taken(provider, put, ask):
    put("quick", {"type": "least_latency", "nodes": [model("slow"), model("quick")], "explore": 0})
    provider.always(Reply("late", fault=Fault.slow(0.05)), model="slow")
    taken = [ask("route/quick").model for _ in range(16)]
    assert taken[:10].count("slow") == 5  # until both are known
    assert set(taken[10:]) == {"quick"}
    put("busy", {"type": "least_busy", "arms": [{"node": model("busy-1")}, {"node": model("busy-2")}]})
    provider.always(Reply("slowly", fault=Fault.slow(0.6)), model="busy-1")
    with ThreadPoolExecutor(4) as pool:
        counted = Counter(answer.model for answer in pool.map(lambda _: ask("route/busy"), range(24)))
    assert counted["busy-2"] >= 15


def test_weights_share_the_traffic(provider, put, ask):
    put("weighted", {"type": "weighted", "arms": [{"node": model("w-9"), "weight": 9}, {"node": model("w-1")}]})
    counted = Counter(ask("route/weighted").model for _ in range(80))
    assert counted["w-9"] > 55
    assert set(counted) <= {"w-9", "w-1"}


def test_the_breaker_opens_and_recovers_and_health_says_so(house, provider, put, ask):
    put("breaker", fallback("limited", "spare"))
    provider.script([Fault.status(429, retry_after_s=3.0)], model="limited")
    for _ in range(5):
        assert ask("route/breaker").model == "spare"
    assert sum(call.model == "limited" for call in provider.calls) == 1
    health = {row["model"]: row for row in house.get("/api/gateway/health")["items"]}
    assert health["limited"]["state"] == "open"
    assert "429" in health["limited"]["reason"]
    assert health["spare"]["calls"] == 5
    until(lambda: ask("route/breaker").model == "limited", 15)
    health = {row["model"]: row for row in house.cli("routes", "health")["items"]}
    assert health["limited"]["breaker"] == "closed"


def test_when_all_are_down_the_caller_hears_it_at_once_and_nobody_is_hammered(provider, put, ask):
    put("down", fallback("down-1", "down-2"))
    for name in ("down-1", "down-2"):
        provider.always(Fault.status(503), model=name)
    statuses = Counter()
    for _ in range(60):
        with pytest.raises(openai.APIStatusError) as raised:
            ask("route/down")
        statuses[raised.value.status_code] += 1
    assert sum(call.model.startswith("down") for call in provider.calls) <= 66
    assert statuses[503] >= 50
    assert "not asked at present" in raised.value.message


def test_the_callers_deadline_ends_everything(provider, put, ask):
    put("late", fallback("late-1", "late-2"))
    for name in ("late-1", "late-2"):
        provider.always(Fault.hang(), model=name)
    with pytest.raises(openai.APIStatusError) as raised:
        ask("route/late", extra_headers={"x-genwright-timeout": "0.5"})
    assert raised.value.status_code == 504
    until(lambda: provider.active == 0, 2)
    assert [call.model for call in provider.calls if call.model.startswith("late")] == ["late-1"]


def test_why_names_the_route_and_the_answer_is_found_by_the_model_that_gave_it(house, provider, put, client):
    version = put("why", {"type": "mirror", "shadow": model("why-shadow"), "node": fallback("why-1", "why-2")})
    provider.always(Fault.status(503), model="why-1")
    provider.always(Reply("the shadow's"), model="why-shadow")
    provider.always(Reply("the answer"), model="why-2")
    _, trace_id = traced(client, "route/why")
    house.trace(trace_id, lambda trace: sum(span["status"] != "pending" for span in trace["spans"]) == 4)
    why = house.get(f"/api/tracing/traces/{trace_id}/why")
    node = next(node for node in why["nodes"] if node["kind"] == "route")
    assert version["digest"] in node["ref"]
    assert node["facts"]["step"] == "root.node.nodes[1]"
    assert "the answer" in json.dumps(why["output"])
    assert {"relation": "routed_by"}.items() <= next(edge for edge in why["edges"] if edge["target"] == node["id"]).items()
    listed = house.get("/api/tracing/traces", model="why-2")["items"]
    assert trace_id in {row["trace_id"] for row in listed}
    impact = house.get("/api/tracing/impact", ref=f"route:why@{version['digest']}")
    assert impact["traces"] == 1


def test_conditions_send_calls_their_way(provider, put, ask):
    cases = [
        {"if": {"tags.plan": "pro"}, "node": model("best")},
        {"if": {"tokens": {"gt": 200}}, "node": model("long")},
    ]
    put("when", {"type": "when", "cases": cases, "otherwise": model("usual")})
    assert ask("route/when").model == "usual"
    assert ask("route/when", extra_headers={"x-genwright-tags": "plan=pro"}).model == "best"
    assert ask("route/when", extra_body={"messages": [{"role": "user", "content": "word " * 300}]}).model == "long"


def test_explain_says_which_way_and_why_without_a_call(house, provider, put):
    cases = [{"if": {"modality": "image"}, "node": model("sees")}]
    put("explained", {"type": "when", "cases": cases, "otherwise": fallback("one", "two")})
    found = house.cli("routes", "explain", "explained")
    assert [step["model"] for step in found["steps"]] == ["scripted/one", "scripted/two"]
    found = house.cli("routes", "explain", "explained", "--modality", "image")
    assert [step["model"] for step in found["steps"]] == ["scripted/sees"]
    assert "modality = image" in found["steps"][0]["why"][0]
    done = genwright(house.home, "routes", "explain", "explained", cwd=house.home.parent)
    assert done.out.splitlines()[1].startswith("1. scripted/one")
    assert provider.calls == []


def test_a_metric_of_evaluations_judges_a_cheap_answer(provider, put, ask):
    checks = [{"check": "metric", "metric": "answered", "least": 1}]
    put(
        "measured", {"type": "cascade", "steps": [{"node": model("measured-1"), "checks": checks}, {"node": model("measured-2")}]}
    )
    provider.script([Reply("I do not know."), Reply("Mars is the red planet.")], model="measured-1")
    assert [ask("route/measured").model for _ in range(2)] == ["measured-2", "measured-1"]


def test_a_conversation_too_long_is_cut_by_the_routes_policy_and_the_cut_is_on_the_span(house, provider, put, client):
    put("fitted", {"root": model("fitted"), "context": {"limit": 150, "then": ["trim"]}})
    turns = [{"role": role, "content": f"{role} {n} " + "word " * 30} for n in range(10) for role in ("user", "assistant")]
    said = [{"role": "system", "content": "Be brief."}, *turns, *SAY]
    raw = client.chat.completions.with_raw_response.create(model="route/fitted", messages=said)
    sent = provider.calls[-1].body["messages"]
    assert sent[0]["content"] == "Be brief."
    assert sent[-1]["content"] == SAY[0]["content"]
    assert len(sent) < len(said)

    def complete(trace):
        return any("genwright.context" in span["attributes"] for span in trace["spans"])

    trace = house.trace(raw.headers["x-genwright-trace"], complete)
    shown = next(span["attributes"]["genwright.context"] for span in trace["spans"] if "genwright.context" in span["attributes"])
    assert shown["after"] <= 150 < shown["before"]
    assert len(shown["cuts"][0]["messages"]) == len(said) - len(sent)


def test_a_conversation_that_cannot_be_made_to_fit_goes_to_the_longer_model_or_is_refused(provider, put, ask):
    tight = {"type": "model", "model": model("tight"), "context": {"limit": 100, "then": ["refuse"]}}
    put("tight", {"root": tight})
    long = {"messages": [{"role": "user", "content": "word " * 300}]}
    with pytest.raises(openai.BadRequestError, match="context policy") as raised:
        ask("route/tight", extra_body=long)
    assert raised.value.code == "context_length_exceeded"
    put("roomy", {"type": "fallback", "nodes": [tight], "context_length": model("roomy")})
    assert ask("route/roomy", extra_body=long).model == "roomy"
    assert [call.model for call in provider.calls] == ["roomy"]


def test_versions_labels_and_a_test_call(house, provider, put, ask):
    assert put("versions", {"root": model("v1")})["number"] == 1
    assert put("versions", {"root": model("v2")}, "--label", "canary")["number"] == 2
    house.cli("routes", "label", "versions", "production", "1")
    assert [ask(name).model for name in ("route/versions", "route/versions@canary", "route/versions@2")] == ["v1", "v2", "v2"]
    tested = house.cli("routes", "test", "versions@canary", "hello there")
    assert (tested["model"], tested["text"]) == ("v2", "echo: hello there")
    assert [row["number"] for row in house.cli("routes", "versions", "versions")["items"]] == [2, 1]
    assert "versions" in {row["name"] for row in house.cli("routes", "list")["items"]}
    shown = house.cli("routes", "show", "versions")
    assert shown["nodes"][0]["model"] == "scripted/v1"


def test_a_wrong_route_is_refused_naming_the_place(house, put, tmp_path):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(fallback("a", **{"on": ["tuesday"]})))
    error = house.cli("routes", "put", "wrong", str(file), code=2)["error"]
    assert "root" in error["message"]
    assert "tuesday" in error["message"]
    put("circle", fallback("a"))
    file.write_text(json.dumps({"type": "fallback", "nodes": ["route/circle"]}))
    error = house.cli("routes", "put", "circle", str(file), code=2)["error"]
    assert "leads back to itself" in error["message"]


def test_an_alias_is_called_like_a_model_and_listed(house, provider, put, client, ask):
    put("behind", fallback("behind"))
    house.cli("aliases", "put", "gpt-99", "route/behind")
    assert ask("gpt-99").model == "behind"
    assert {"gpt-99", "route/behind"} <= {row.id for row in client.models.list()}
    assert house.cli("aliases", "list")["items"][0]["target"] == "route/behind"
    house.cli("aliases", "remove", "gpt-99")
    with pytest.raises(openai.NotFoundError):
        ask("gpt-99")
