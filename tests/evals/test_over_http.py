"""Datasets and evaluations by the commands and routes that people use, in the whole app run in this process."""

import json

import pytest
import typer
from typer.testing import CliRunner

from genwright.cli import Console
from genwright.client import Client
from genwright.datasets import commands as datasets
from genwright.errors import Error, Invalid, Missing
from genwright.evals import commands as evals

ROWS = [
    {"id": f"q{number}", "question": f"What is thing {number}? <question>", "answer": f"Thing {number} is a thing.",
     "topics": ["things"], "split": "report" if number % 2 else "tune"}
    for number in range(24)
]  # fmt: skip
TARGET = "local/extractive"


@pytest.fixture
def client(tmp_path, monkeypatch, database_url):
    monkeypatch.setenv("GENWRIGHT_DATABASE_URL", database_url)
    client = Client(home=str(tmp_path / "home"))
    yield client
    client.close()


@pytest.fixture
def run(client):
    tree = typer.Typer()
    tree.add_typer(datasets.app, name="datasets")
    tree.add_typer(evals.app, name="eval")

    def call(*words, as_json=False):
        console = Console(as_json=as_json, url=None, home=None)
        console._client = client
        done = CliRunner().invoke(tree, [str(word) for word in words], obj=console)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, json.loads(done.stdout) if as_json else done.output

    return call


@pytest.fixture
def dataset(run, tmp_path):
    file = tmp_path / "things.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    code, made = run("datasets", "put", file, "--label", "reviewed", as_json=True)
    assert (code, made["name"], made["number"], made["rows"]) == (0, "things", 1, 24)
    return "dataset:things@reviewed"


def test_datasets_are_listed_and_shown(run, dataset):
    assert "things" in run("datasets", "list")[1]
    shown = run("datasets", "show", "things", "--limit", "2")[1]
    assert "24 rows" in shown
    assert "splits: report 12, tune 12" in shown
    assert shown.count('"id"') == 2
    found = run("datasets", "show", dataset, "--split", "tune", as_json=True)[1]
    assert (found["total"], found["items"][0]["id"]) == (12, "q0")


def test_a_run_is_made_listed_shown_and_compared(run, dataset, client):
    names = ("token_f1", "answered", "latency_ms")
    chosen = [part for name in names for part in ("--metric", name)]
    code, output = run("eval", "run", "--target", TARGET, "--dataset", dataset, "--split", "report", *chosen)
    assert code == 0
    assert "12 of 12 items, 0 without an answer" in output
    assert all(name in output for name in names)
    first = client.evals.runs()["items"][0]
    assert first["dataset"].startswith("dataset:things@sha256:")
    second = client.evals.start(target=TARGET, dataset=dataset, split="report", metrics=list(names))
    while client.evals.get(run_id=second["id"], wait_s=10)["state"] != "done":
        pass
    listed = run("eval", "list")[1]
    assert first["id"] in listed
    assert "12/12" in listed
    assert "95 % interval" in run("eval", "show", first["id"])[1]
    assert "q1" in run("eval", "items", first["id"])[1]
    output = run("eval", "compare", first["id"], second["id"])[1]
    assert "12 items, paired" in output
    assert "no real difference" in output
    assert "same version" in output
    found = run("eval", "compare", first["id"], second["id"], as_json=True)[1]
    assert {metric["name"] for metric in found["metrics"]} == set(names)


def test_a_trace_of_a_run_becomes_a_test_case(run, dataset, client):
    started = client.evals.start(target=TARGET, dataset=dataset, metrics=["answered"])
    while client.evals.get(run_id=started["id"], wait_s=10)["state"] != "done":
        pass
    trace = client.evals.items(run_id=started["id"], limit=1)["items"][0]["trace_id"]
    made = run("datasets", "add-trace", trace, "bad-answers", "--answer", "It is a thing.", "--topic", "things", as_json=True)[1]
    assert (made["name"], made["rows"]) == ("bad-answers", 1)
    row = client.datasets.items(ref="bad-answers")["items"][0]
    assert (row["question"], row["answer"], row["topics"]) == (ROWS[0]["question"], "It is a thing.", ["things"])


def test_mistakes_are_named(run, dataset, client, tmp_path):
    with pytest.raises(Missing, match="things"):
        run("eval", "run", "--target", TARGET, "--dataset", "dataset:thing")
    with pytest.raises(Missing, match="run"):
        run("eval", "show", "run_nothing")
    with pytest.raises(Missing, match="token_f1"):
        run("eval", "run", "--target", TARGET, "--dataset", dataset, "--metric", "token_f")
    with pytest.raises(Error, match="is failed"):
        run("eval", "run", "--target", "nobody/model", "--dataset", dataset)
    with pytest.raises(Invalid, match="Row 2"):
        client.datasets.put(name="bad", items=[{"a": 1}, 2])
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\nnot json\n")
    with pytest.raises(Invalid, match="Line 2"):
        run("datasets", "put", file)


def test_safety_of_a_plain_model_under_the_policy_in_force(run, client):
    from genwright.guardrails.service import DEFAULT_POLICY

    code, output = run("eval", "safety", TARGET)
    assert code == 1
    assert "NOT passed" in output
    assert "planted attacks got through" in output
    made = client.guardrails.put(name="default", content=DEFAULT_POLICY)
    client.registry.label(kind="policy", name="default", label="production", number=made["number"])
    code, found = run("eval", "safety", TARGET, as_json=True)
    assert (code, found["reasons"]) == (0, [])
    assert found["attacks"]["blocked"] >= 0.8 * found["attacks"]["total"] > 40


def test_metrics_say_when_they_lie(run):
    output = run("eval", "metrics")[1]
    assert "token_f1" in output
    assert output.count("  lies: ") >= 12
