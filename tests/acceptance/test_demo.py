"""The demo, step by step: what it says, and what can be seen of it afterwards by HTTP and by the commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

import genwright
from journey import COMMAND, environment, sign_in

QUESTIONS = Path(genwright.__file__).parent / "data" / "docs_qa" / "questions.jsonl"
METRICS = {"ndcg", "recall", "mrr", "token_f1", "rouge_l", "citation_correctness", "groundedness"}


def runs(server):
    """Evaluation runs, oldest first."""
    return sorted(server.get("/api/evals/runs")["items"], key=lambda run: run["created_ns"])


def test_it_ends_well_and_says_what_happened_in_about_ten_lines(demo):
    assert demo.code == 0, demo.text
    assert "Traceback" not in demo.text
    summary = demo.text.partition("What happened\n")[2].splitlines()
    assert 5 <= len(summary) <= 12
    for step in ("0.", "1.", "3.", "4.", "5.", "6.", "7."):
        assert re.search(rf"^{re.escape(step)} ", demo.text, re.M), f"step {step} is not shown"


def test_the_corpus_is_the_language_reference_of_this_python(server):
    from pydoc_data.topics import topics

    documents = server.get("/api/retrieval/corpora/python-docs/documents", limit=500)["items"]
    assert {row["name"] for row in documents} == {f"python-reference/{topic}.txt" for topic in topics}
    index = server.get("/api/retrieval/indexes", name="python-docs")["items"][0]
    assert index["labels"] == ["production"]
    assert index["content"]["embedding"]["model"] == "local/minilm"
    assert sum(path.stat().st_size for path in (server.home / "indexes").rglob("*") if path.is_file()) > 500_000


def test_a_release_pins_everything_by_digest(server):
    release = server.cli("releases", "show", "docs-qa@1")
    content = release["content"]
    kinds = {pin["kind"] for pin in content["pins"].values()}
    assert kinds == {"index", "prompt", "policy"}
    for pin in (content["app"], *content["pins"].values(), *content["datasets"].values()):
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", pin["digest"])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", content["lock"])
    assert content["configuration"]["genwright"] == genwright.__version__
    assert content["datasets"]
    assert content["models"] == ["local/extractive"]


def test_there_are_enough_real_questions_and_each_is_a_trace(server):
    rows = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    splits = [row["split"] for row in rows]
    assert splits.count("tune") >= 40
    assert splits.count("report") >= 40
    assert all(row["question"] and row["answer"] and row["topics"] for row in rows)
    asked, cursor = set(), ""
    while cursor is not None:
        page = server.get("/api/tracing/traces", app="docs-qa", limit=500, cursor=cursor)
        asked |= {row["search"].partition("\n")[0] for row in page["items"]}
        cursor = page["next"]
    missing = [row["question"] for row in rows if not any(seen.startswith(row["question"][:60]) for seen in asked)]
    assert missing == []


def test_the_runs_score_every_metric_and_the_scores_stand_on_the_traces(server):
    both = runs(server)
    assert len(both) >= 2
    for run in both[:2]:
        assert (run["state"], run["failed"]) == ("done", 0)
        assert set(run["summary"]) >= METRICS
        assert 0 < run["summary"]["recall"]["mean"] <= 1
        assert run["summary"]["recall"]["low"] <= run["summary"]["recall"]["mean"] <= run["summary"]["recall"]["high"]
    item = server.get(f"/api/evals/runs/{both[0]['id']}/items", state="answered")["items"][0]
    scores = {score["name"]: score for score in server.trace(item["trace_id"])["scores"]}
    assert set(scores) >= {"token_f1", "groundedness"}
    assert scores["token_f1"]["run"] == both[0]["id"]


def test_retrieval_and_citations_are_of_use(server):
    """A floor that an index which is off, or citations that point elsewhere, would fall through."""
    summary = runs(server)[0]["summary"]
    assert summary["recall"]["mean"] > 0.4
    assert summary["citation_correctness"]["mean"] > 0.9
    assert summary["groundedness"]["mean"] > 0.9


def test_the_comparison_is_paired_with_intervals_and_a_verdict(server, demo):
    before, after = runs(server)[:2]
    found = server.cli("eval", "compare", before["id"], after["id"])
    assert found["items"] >= 40
    for metric in found["metrics"]:
        interval = metric["interval"]
        assert interval["low"] <= interval["mean_difference"] <= interval["high"]
        assert metric["verdict"]
    turned = {m["name"]: m for m in server.cli("eval", "compare", after["id"], before["id"])["metrics"]}
    for metric in found["metrics"]:
        assert abs(turned[metric["name"]]["interval"]["mean_difference"] + metric["interval"]["mean_difference"]) < 1e-9
    same = server.cli("eval", "compare", before["id"], before["id"])
    assert not [metric["name"] for metric in same["metrics"] if metric["verdict"] in ("better", "worse")]
    assert re.search(r"\[[+-]\d\.\d+, [+-]\d\.\d+\]", demo.text), "the demo shows the intervals"


def test_the_toxic_release_was_refused_for_its_toxic_prompt(server, demo):
    refused = next(line for line in demo.text.splitlines() if line.startswith("6. "))
    assert "refused" in refused
    assert "toxic" in refused.lower()
    number = int(re.search(r"docs-qa@(\d+)", refused)[1])
    moved = [move["to_number"] for move in server.cli("releases", "history", "docs-qa")["items"] if move["label"] == "production"]
    assert number not in moved
    again = server.cli("releases", "promote", "docs-qa", str(number), code=1)
    assert again["promoted"] is False
    assert any("toxic" in reason.lower() for reason in again["reasons"])


def test_the_better_or_equal_release_stands_in_production(server, demo):
    moves = [move for move in server.cli("releases", "history", "docs-qa")["items"] if move["label"] == "production"]
    assert sorted(move["to_number"] for move in moves) == [1, 2]
    assert "the label moved" in demo.text
    assert re.search(r"not real|it is better", demo.text), "it says whether the difference is real"


def test_the_worst_answer_is_explained_and_replayed(server, demo):
    trace = re.search(r"genwright why ([0-9a-f]{32})", demo.text)[1]
    why = server.cli("why", trace)
    assert why["release"]["number"] == 2
    assert {score["name"] for score in why["scores"]} >= {"token_f1", "groundedness"}
    assert "byte-equal" in demo.text


def test_the_safety_stage_can_be_run_alone(server):
    report = server.cli("eval", "safety", "app/docs-qa@2")
    assert report["passed"] is True
    assert report["attacks"]["total"] >= 5
    assert report["attacks"]["blocked"] == report["attacks"]["total"] - len(report["attacks"]["got_through"])
    assert report["counterfactual"]["pairs"] > 0


def test_again_it_finds_what_is_there_and_serves_until_stopped(demo, tmp_path):
    """Without --exit: the addresses at its end answer, its link logs in, Ctrl-C ends it and its server."""
    home = demo.copy(tmp_path / "home")
    command = [*COMMAND, "--home", str(home), "demo", "--port", "0"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(home),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    ) as running:
        said = []
        for line in running.stderr:
            said.append(line)
            if line.startswith("Serving on"):
                break
        text = "".join(said)
        try:
            assert re.search(r"0 added, 0 changed, 7\d unchanged", text)
            link = re.search(r"http://\S+/login\?token=\S+", text)[0]
            with httpx.Client(follow_redirects=True, timeout=30) as client:
                assert "Overview" in sign_in(client, link).text
                pages = re.findall(r"http://\S+/w/default/\S+", text)
                assert len(pages) >= 3
                assert [client.get(page).status_code for page in pages] == [200] * len(pages)
        finally:
            running.send_signal(signal.SIGINT)
        try:
            assert running.wait(60) in (0, 130)
        finally:
            running.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(pages[0], timeout=30)
