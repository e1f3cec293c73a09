"""`genwright ingest`, `genwright documents` and the routes under them, in the whole app run in this process."""

import json

import pytest
import typer
from typer.testing import CliRunner

from genwright.cli import Console
from genwright.client import Client
from genwright.errors import Invalid, Missing
from genwright.retrieval import commands

GUIDE = "# Guide\n\n## Install\n\nRun the installer and wait for the green light.\n\n## Remove\n\nThrow the box away.\n"


@pytest.fixture
def home_client(tmp_path, monkeypatch, database_url):
    """A client whose server is this process, on an empty home."""
    monkeypatch.setenv("GENWRIGHT_MAX_DOCUMENT_BYTES", "100000")
    monkeypatch.setenv("GENWRIGHT_DATABASE_URL", database_url)
    client = Client(home=str(tmp_path / "home"))
    yield client
    client.close()


@pytest.fixture
def run(home_client):
    """Run a command line, as JSON; returns (exit code, what it printed)."""
    cli = typer.Typer()
    cli.command("ingest")(commands.ingest)
    cli.add_typer(commands.app, name="documents")

    def call(*arguments, as_json=True):
        console = Console(as_json=as_json, url=None, home=None)
        console._client = home_client
        done = CliRunner().invoke(cli, [str(part) for part in arguments], obj=console)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, json.loads(done.stdout) if as_json else done.output

    return call


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    for name, data in {
        "guide.md": GUIDE.encode(),
        "deep/er/notes.txt": b"The password of the aquarium is kept under the blue fish.",
        "deep/empty.md": b"",
        "picture.png": b"\x89PNG\r\n\x1a\n\x00\x00" + bytes(500),
        "huge.txt": b"word " * 30_000,
        ".hidden/secret.txt": b"hidden",
        "node_modules/x.js": b"function x() {}",
        "ignored.log": b"noise",
        "out/made.txt": b"made",
        ".gitignore": b"*.log\n/out/\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_a_folder_goes_in_and_answers_come_out(run, folder):
    code, report = run("ingest", folder, "--corpus", "mine", "--label", "production")
    assert code == 0
    assert (report["added"], report["documents"], report["chunks"]) == (2, 2, 2)
    assert {item["name"]: item["code"] for item in report["skipped"]} == {
        "deep/empty.md": "empty_document",
        "picture.png": "binary",
        "huge.txt": "too_large",
    }
    assert report["index"].startswith("index:mine@sha256:")
    found = run("documents", "search", "index:mine@production", "where is the aquarium's password?")[1]["items"]
    assert found[0]["name"] == "deep/er/notes.txt"
    text = run("documents", "show", found[0]["document"])[1]["text"]
    assert text[found[0]["start"] : found[0]["end"]] == found[0]["text"]
    listed = run("documents", "list", "mine")[1]["items"]
    assert [row["name"] for row in listed] == ["deep/empty.md", "deep/er/notes.txt", "guide.md", "huge.txt", "picture.png"]


def test_the_second_run_sends_only_what_changed(run, folder):
    first = run("ingest", folder, "--corpus", "mine")[1]
    (folder / "guide.md").write_text(GUIDE.replace("green", "amber"))
    (folder / "deep/er/notes.txt").unlink()
    again = run("ingest", folder, "--corpus", "mine", "--prune")[1]
    assert (again["added"], again["changed"], again["unchanged"], again["removed"]) == (0, 1, 0, 1)
    assert again["number"] == 2
    third = run("ingest", folder, "--corpus", "mine")[1]
    assert (third["unchanged"], third["changed"]) == (1, 0)
    assert third["index"] == again["index"] != first["index"]
    versions = run("documents", "indexes", "mine")[1]
    assert [row["number"] for row in versions] == [2, 1]


def test_the_person_at_the_terminal_is_told(run, folder):
    code, output = run("ingest", folder, "--corpus", "mine", as_json=False)
    assert code == 0
    assert "picture.png" in output
    assert "2 added" in output
    assert "index:mine@sha256:" in output


def test_wrong_use_is_explained(run, home_client, tmp_path):
    with pytest.raises(Invalid, match="no file or folder"):
        run("ingest", tmp_path / "nowhere")
    with pytest.raises(Invalid, match="Say what"):
        run("ingest")
    (tmp_path / "void").mkdir()
    (tmp_path / "void" / "x.txt").write_bytes(b"")
    code, report = run("ingest", tmp_path / "void")
    assert code == 1
    assert report["documents"] == 0
    with pytest.raises(Missing):
        home_client.retrieval.build(corpus="nothing")
    with pytest.raises(Invalid, match="Unknown field"):
        home_client.request("POST", "/api/retrieval/search", b'{"index": "x", "query": "y", "limit": 3}')


def test_a_document_over_the_limit_is_listed_by_the_server(home_client):
    row = home_client.retrieval.add_document(corpus="a/b", name="big.txt", data=b"x" * 150_000)
    assert (row["state"], row["code"]) == ("skipped", "too_large")
    assert home_client.retrieval.documents(corpus="a/b")["items"][0]["name"] == "big.txt"
    (corpus,) = home_client.retrieval.corpora()["items"]
    assert (corpus["name"], corpus["documents"], corpus["skipped"]) == ("a/b", 0, 1)


def test_jobs_are_seen_over_rest(run, folder, home_client):
    run("ingest", folder, "--corpus", "mine")
    (job,) = home_client.jobs.list()["items"]
    assert (job["state"], job["kind"]) == ("done", "retrieval.build")
    assert home_client.jobs.get(job_id=job["id"])["result"]["chunks"] == 2
    with pytest.raises(Missing):
        home_client.jobs.get(job_id="job_none")
