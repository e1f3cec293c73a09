"""Releases and lineage by the commands: one line changes the digest, labels move without a restart, why, replay, impact."""

from __future__ import annotations

import copy
import json
import re
import subprocess

import httpx
import pytest

from journey import COMMAND, environment, genwright

QUESTION = "What does the nonlocal statement do?"


def ask(server, app, question=QUESTION):
    """(answer, trace id, release ref) of a plain call."""
    with server.http() as client:
        answer = client.post(
            "/v1/chat/completions", json={"model": f"app/{app}", "messages": [{"role": "user", "content": question}]}
        )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["choices"][0]["message"]["content"], answer.headers["x-genwright-trace"], answer.headers["x-genwright-release"]


def put(server, group, name, content, folder):
    file = folder / f"{name}.json"
    file.write_text(json.dumps(content))
    return server.cli(group, "put", name, str(file))


@pytest.fixture(scope="module")
def parts(server, tmp_path_factory):
    """An app of this file's own: its prompt, policy and content, with labels on them."""
    folder = tmp_path_factory.mktemp("parts")
    prompt = server.get("/api/prompts/get", name="docs-qa", selector="1")["content"]
    policy = server.get("/api/guardrails/get", name="default")["content"]
    app = server.get("/api/agents/draft", name="docs-qa")["app"]
    for step in app["steps"]:
        if step["type"] == "prompt":
            step["prompt"] = "prompt:own@stable"
        if step["type"] == "retrieve":
            step["mode"] = "vector"
    app["policy"] = "policy:own"
    put(server, "prompts", "own", prompt, folder)
    server.cli("prompts", "label", "own", "stable", "1")
    put(server, "policies", "own", policy, folder)
    put(server, "apps", "own", app, folder)
    return {"prompt": prompt, "policy": policy, "app": app, "folder": folder}


def test_one_line_of_anything_changes_the_releases_digest(server, parts):
    folder = parts["folder"]
    first = server.cli("releases", "create", "own")
    assert server.cli("releases", "create", "own")["digest"] == first["digest"], "nothing changed"
    digests = [first["digest"]]

    prompt = copy.deepcopy(parts["prompt"])
    prompt["messages"][0]["content"] += " Be brief."
    number = put(server, "prompts", "own", prompt, folder)["number"]
    assert server.cli("releases", "create", "own")["digest"] == first["digest"], "the label has not moved yet"
    server.cli("prompts", "label", "own", "stable", str(number))
    digests.append(server.cli("releases", "create", "own")["digest"])

    policy = copy.deepcopy(parts["policy"])
    policy["limits"]["input_chars"] -= 1
    put(server, "policies", "own", policy, folder)
    digests.append(server.cli("releases", "create", "own")["digest"])

    app = copy.deepcopy(parts["app"])
    next(step for step in app["steps"] if step["type"] == "retrieve")["k"] = 4
    put(server, "apps", "own", app, folder)
    digests.append(server.cli("releases", "create", "own")["digest"])
    assert len(set(digests)) == 4


def test_the_code_and_its_uncommitted_difference_are_pinned(server, parts, tmp_path):
    """A real git repository, clean and then dirty."""

    def git(*words):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    def create():
        number = genwright(server.home, "releases", "create", "own", "--json", cwd=tmp_path).json["number"]
        return server.cli("releases", "show", f"own@{number}")

    git("init", "-q")
    (tmp_path / "app.py").write_text("x = 1\n")
    git("add", "app.py")
    git("commit", "-q", "-m", "one")
    clean = create()
    assert clean["content"]["code"]["commit"] == git("rev-parse", "HEAD")
    assert clean["content"]["code"]["dirty"] is False
    (tmp_path / "app.py").write_text("x = 2\n")
    dirty = create()
    assert dirty["content"]["code"]["dirty"] is True
    assert dirty["content"]["code"]["diff_digest"].startswith("sha256:")
    assert dirty["digest"] != clean["digest"]


def test_a_label_moves_and_the_next_call_uses_it_without_a_restart(server, parts):
    pid = server.process.pid
    server.cli("releases", "promote", "own", "1")
    _, _, first = ask(server, "own")
    newest = server.cli("releases", "list", "own")["items"][0]["number"]
    assert newest > 1
    server.cli("releases", "promote", "own", str(newest), "--note", "a try")
    _, trace, second = ask(server, "own")
    assert first != second
    assert server.trace(trace, lambda found: found["row"]["release"])["row"]["release"] == second
    rolled = server.cli("releases", "rollback", "own")
    assert rolled["release"]["number"] == 1
    assert ask(server, "own")[2] == first
    moves = server.cli("releases", "history", "own")["items"]
    assert [(move["from_number"], move["to_number"]) for move in sorted(moves, key=lambda move: move["move"])] == [
        (None, 1), (1, newest), (newest, 1)]  # fmt: skip
    assert server.process.pid == pid
    assert server.process.poll() is None


def test_a_release_by_number_and_an_unknown_one(server, parts):
    assert ask(server, "own@2")[2] != ask(server, "own@1")[2]
    lost = genwright(server.home, "ask", QUESTION, "--app", "own@99", "--json")
    assert lost.code == 2
    assert lost.json["error"]["code"] in ("not_found", "no_release")
    near = genwright(server.home, "releases", "show", "ownn@1")
    assert near.code == 2
    assert "own" in near.err
    for ref in ("prompt:docs-qaa", "index:python-doc", "document:sha256:" + "0" * 64):
        assert genwright(server.home, "impact", ref).code in (0, 2), ref
    assert "docs-qa" in genwright(server.home, "impact", "prompt:docs-qaa").err


def test_ask_streams_to_the_terminal_and_names_its_sources(server):
    done = genwright(server.home, "ask", QUESTION)
    assert done.code == 0, done.err
    assert "nonlocal" in done.out.lower()
    assert re.search(r"\[1\] python-reference/\S+\.txt", done.err)
    as_json = server.cli("ask", QUESTION)
    assert as_json["answer"].strip() == done.out.strip()
    assert len(as_json["trace"]) == 32


def test_why_shows_every_cause_of_an_answer(server):
    answer, trace, release = ask(server, "docs-qa")
    server.trace(trace, lambda found: len(found["spans"]) >= 6)
    server.cli("traces", "score", trace, "correct", "1", "--comment", "checked by hand")
    why = server.cli("why", trace)
    assert why["release"]["ref"] == release
    assert why["release"]["promoted"][0]["by"]
    assert why["prompts"][0]["number"] >= 1
    assert why["indexes"][0]["embedding_model"] == "local/minilm"
    assert why["indexes"][0]["corpus"]["documents"] >= 70
    model = why["models"][0]
    assert (model["model"], model["provider"]) == ("extractive", "local") or "extractive" in json.dumps(model)
    assert model["tokens_out"] > 0
    assert model["cost_nano_usd"] == 0
    assert {guard["rail"] for guard in why["guards"]} >= {"input", "passages", "output"}
    assert ("correct", "checked by hand") in {(score["name"], score["comment"]) for score in why["scores"]}
    cited = {int(number) for number in re.findall(r"\[(\d+)\]", answer)}
    assert {passage["n"] for passage in why["passages"] if passage["cited"]} == cited
    passage = why["passages"][0]
    text = server.get("/api/retrieval/document", digest=passage["document"], name=passage["name"])["text"]
    assert 0 <= passage["start"] < passage["end"] <= len(text)
    plain = genwright(server.home, "why", trace).out
    for part in ("Release:", "Prompt:", "Index:", "Passages:", "Model:", "Guards:", "Scores:", "checked by hand"):
        assert part in plain


def test_replay_gives_the_recorded_bytes_runs_live_and_changes_one_thing(server):
    answer, trace, _ = ask(server, "docs-qa")
    server.trace(trace, lambda found: len(found["spans"]) >= 6)
    recorded = server.cli("replay", trace)
    assert recorded["called"] == []
    assert (recorded["runs"][0]["text"], recorded["runs"][0]["equal"]) == (answer, True)
    live = server.cli("replay", trace, "--live", "-n", "5")
    assert len(live["runs"]) == 5
    assert live["fed"] == []
    assert live["spread"]["similarity"]["smallest"] <= live["spread"]["similarity"]["mean"]
    assert all(server.trace(run["trace_id"]) for run in live["runs"])
    changed = server.cli("replay", trace, "--set", "k=1")
    assert len(changed["runs"][0]["passages"]) == 1
    assert "guard_input" in changed["fed"]
    assert "model" in changed["called"]
    other = server.cli("replay", trace, "--set", "prompt=docs-qa@2")
    assert {"retrieve", "guard_passages"} <= set(other["fed"])
    assert "model" in other["called"]
    rendered = next(span for span in server.trace(other["runs"][0]["trace_id"])["spans"] if span["operation"] == "render_prompt")
    assert "worthless idiot" in json.dumps(rendered["output"]), "the demo's second prompt was used"
    wrong = genwright(server.home, "replay", trace, "--set", "prompt=docs-qaa@1")
    assert wrong.code == 2
    assert "docs-qa" in wrong.err
    assert genwright(server.home, "replay", "0" * 32).code == 2


def test_impact_goes_forward_from_document_prompt_and_model(server):
    _, trace, release = ask(server, "docs-qa")
    server.trace(trace, lambda found: len(found["spans"]) >= 6)
    why = server.cli("why", trace)
    for ref in (f"document:{why['passages'][0]['document']}", why["prompts"][0]["ref"], why["indexes"][0]["ref"], release):
        impact = server.cli("impact", ref, "--limit", "500")
        assert impact["traces"] >= 1, ref
        assert trace in {row["trace_id"] for row in impact["items"]}, ref
    index = server.cli("impact", why["indexes"][0]["ref"])
    assert "docs-qa" in {version["name"] for version in index["releases"]}
    assert server.cli("impact", f"document:{why['passages'][0]['document']}")["versions"], "its index comes from the document"


def test_writers_at_the_same_time_lose_no_version(server):
    """Eight processes save a prompt each; those that say which version they saw are told of the conflict."""
    contents = [{"messages": [{"role": "user", "content": f"number {n}"}], "variables": {}} for n in range(6)]
    running = [
        subprocess.Popen(
            [*COMMAND, "--home", str(server.home), "prompts", "put", "raced", "-", "--json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(server.home),
        )
        for _ in contents
    ]  # fmt: skip
    said = [process.communicate(json.dumps(content), timeout=120)[0] for process, content in zip(running, contents, strict=True)]
    numbers = [json.loads(text)["number"] for text in said]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    kept = {version["number"] for version in server.get("/api/prompts/versions", name="raced")["items"]}
    assert kept == set(numbers)
    with server.http() as client:
        late = client.post(
            "/api/prompts", json={"name": "raced", "content": {**contents[0], "parameters": {"seed": 1}}, "expected": 3}
        )
    assert late.status_code == 409
    assert "6" in late.json()["error"]["message"]


def test_a_kill_right_after_a_promotion_keeps_it(server, parts):
    server.cli("releases", "promote", "own", "2")
    server.kill()
    server.start()
    standing = {label for row in server.cli("releases", "list", "own")["items"] if row["number"] == 2 for label in row["labels"]}
    assert "production" in standing
    assert httpx.get(f"{server.address}/readyz", timeout=30).status_code == 200
