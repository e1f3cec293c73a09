"""Every file in examples/ runs as a user runs it, against the demo's server, and says what it promises."""

import re
import subprocess
import sys

import pytest

from journey import ROOT, environment

EXAMPLES = ROOT / "examples"
TRACE = re.compile(r"^trace ([0-9a-f]{32})$", re.MULTILINE)


@pytest.fixture(scope="module")
def run(server):
    """`run(file, *arguments)`: what the example printed."""

    def run(name, *words):
        ended = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *words],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(server.home, GENWRIGHT_URL=server.address, GENWRIGHT_API_KEY=server.key),
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        return ended.stdout

    return run


def test_each_example_has_a_test():
    tested = set(re.findall(r'run\("(\w+\.py)"', (ROOT / "tests/acceptance/test_examples.py").read_text()))
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_ask_with_openai(run, server):
    said = run("ask_with_openai.py", "What does the nonlocal statement do?")
    assert "nonlocal" in said.splitlines()[0]
    assert re.search(r"^  \[1\] .+ characters \d+–\d+$", said, re.MULTILINE)
    assert server.trace(TRACE.search(said)[1])["row"]["app"] == "docs-qa"


def test_ask_with_anthropic(run):
    said = run("ask_with_anthropic.py")
    assert "nonlocal" in said
    assert re.search(r"\d+ tokens read, \d+ written", said)


def test_go_on_with_responses(run):
    said = run("go_on_with_responses.py").splitlines()
    assert "nonlocal" in said[0]
    assert said[-1].startswith("kept as resp_")
    assert len(said) >= 3


def test_send_spans_with_opentelemetry(run, server):
    said = run("send_spans_with_opentelemetry.py")
    trace = server.trace(TRACE.search(said)[1], lambda trace: len(trace["spans"]) > 4)
    own = next(span for span in trace["spans"] if span["name"] == "answer a customer")
    assert own["resource"]["service.name"] == "my-service"
    app = next(span for span in trace["spans"] if span["operation"] == "invoke_agent")
    assert app["parent_id"] == own["span_id"]


def test_ingest_a_folder(run, tmp_path):
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "cheese.md").write_text("# Cheese\n\nCheese is made from milk and matures in a cellar.\n")
    (folder / "deep" / "yield.txt").write_text("A generator yields one value at a time.")
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 4)
    said = run("ingest_a_folder.py", str(folder), "What is cheese made from?")
    assert re.search(r"^ok +cheese.md", said, re.MULTILINE)
    assert re.search(r"^skipped +noise.bin \w", said, re.MULTILINE)
    assert "done index:notes@" in said
    assert re.search(r"^\[1\] cheese.md \d+–\d+: .*milk", said, re.MULTILINE)


def test_why_and_replay(run):
    said = run("why_and_replay.py")
    for part in (
        "release    release:docs-qa@sha256:",
        "prompt     prompt:docs-qa@sha256:",
        "index      index:python-docs@sha256:",
    ):
        assert part in said
    assert "recorded   byte for byte the same" in said
    assert "live       1 different answers, 1.00 alike" in said
    assert re.search(r"^with k=1   \w", said, re.MULTILINE)


def test_compare_two_releases(run, server):
    questions = [
        {"id": "q1", "question": "What does nonlocal do?", "answer": "It rebinds names.", "topics": ["nonlocal"]},
        {"id": "q2", "question": "What does yield do?", "answer": "It makes a generator.", "topics": ["yield"]},
    ]
    server.post("/api/datasets", {"name": "two-questions", "items": questions})
    said = run("compare_two_releases.py", "app/docs-qa@1", "app/docs-qa@2", "two-questions")
    assert said.count("2 answers, 0 failed (done)") == 2
    assert re.search(r"^token_f1 +\d\.\d+ → \d\.\d+ +[+-]\d\.\d+ \[", said, re.MULTILINE)


def test_embed_texts(run):
    said = run("embed_texts.py")
    assert said.startswith("3 vectors of 384 numbers;")
    near, far = (float(line.split()[0]) for line in said.splitlines()[1:])
    assert near > far
