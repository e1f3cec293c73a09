"""Ingesting a user's own folder: every kind of file, files that cannot be read, kills in the middle, foreign embeddings."""

from __future__ import annotations

import http.server
import io
import json
import os
import signal
import subprocess
import threading

import pytest

from journey import COMMAND, DATA, Server, environment, genwright, until

MARS = "Mars is the fourth planet from the Sun and is often called the Red Planet."
TIDE = "The tide is caused by the gravity of the Moon."
BAD = {"empty.txt", "blank.md", "huge.txt", "picture.txt", "latin.csv", "torn.pdf", "torn.docx", "wrong.json", "noise.bin"}


def docx(*paragraphs):
    from docx import Document

    document, out = Document(), io.BytesIO()
    document.add_heading("Planets", 1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(out)
    return out.getvalue()


def pdf(text):
    """One page, written by hand after the PDF reference: no writer of the product's own is used."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def notebook(*cells):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": [cell]} for cell in cells]})  # fmt: skip


GOOD = {
    "guide/planets.md": f"# Planets\n\n## Inner\n\n{MARS}\n\n## Earth\n\n{TIDE}\n",
    "notes.txt": "Jupiter is the largest planet of the solar system.\n",
    "manual.rst": "Saturn\n======\n\nSaturn is known for its bright rings of ice.\n",
    "page.html": "<html><head><title>Venus</title><script>alert(1)</script></head><body><h1>Venus</h1><p>Venus is the hottest planet.</p></body></html>",  # noqa: E501
    "paper.pdf": pdf("Neptune was found by mathematics before it was seen."),
    "letter.docx": docx("Uranus rotates on its side."),
    "moons.csv": "moon,planet\nPhobos,Mars\nTitan,Saturn\n",
    "facts.json": json.dumps({"pluto": "Pluto is a dwarf planet since 2006."}),
    "lab.ipynb": notebook("# Mercury\n\nMercury is the smallest planet."),
    "orbit.py": '"""Kepler: planets sweep equal areas in equal times."""\n\ndef period(axis):\n    return axis ** 1.5\n',
    "grüße/umlaut.txt": "Die Sonne ist ein Stern, größer als alle Planeten.\n".encode("utf-16"),
}
ASKED = {
    "Which planet is red?": "guide/planets.md", "Whose rings are of ice?": "manual.rst", "hottest planet": "page.html",
    "found by mathematics": "paper.pdf", "rotates on its side": "letter.docx", "moon Titan": "moons.csv",
    "dwarf planet": "facts.json", "smallest planet": "lab.ipynb", "equal areas": "orbit.py", "Sonne Stern": "grüße/umlaut.txt",
}  # fmt: skip
"""Question → the document that answers it."""


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder as users have it: good files of every kind, bad ones, ignored ones."""
    files = {
        **GOOD,
        "empty.txt": b"", "blank.md": " \n\t\n", "huge.txt": "x" * 300_000, "picture.txt": b"\x89PNG\r\n\x1a\n" + bytes(2000),
        "latin.csv": b"a,b\n\x81\x8d\x8f\x90\x9d,\x00\xff\xfe\x00\x01\n" * 5, "torn.pdf": pdf("torn")[:200],
        "torn.docx": docx("torn")[:900], "wrong.json": '{"a": [1, 2', "noise.bin": os.urandom(4000),
        ".git/config": "hidden", ".gitignore": "*.log\n", "trace.log": "ignored", "node_modules/x.js": "ignored",
    }  # fmt: skip
    return write(tmp_path / "papers", files)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server that takes documents of 200 kB."""
    running = Server(tmp_path_factory.mktemp("small") / "home", GENWRIGHT_MAX_DOCUMENT_BYTES="200000")
    yield running
    running.stop()


def test_a_folder_of_all_kinds_is_taken_in_and_bad_files_are_listed(small, folder):
    report = small.cli("ingest", str(folder), "--corpus", "papers", "--label", "production")
    skipped = {row["name"]: row for row in report["skipped"]}
    assert set(skipped) == BAD
    assert all(row["reason"] for row in skipped.values())
    assert skipped["huge.txt"]["code"] == "too_large"
    assert skipped["empty.txt"]["code"] == skipped["blank.md"]["code"] == "empty_document"
    assert report["added"] == report["documents"] == len(GOOD)
    assert report["chunks"] >= len(GOOD)
    listed = {row["name"]: row["state"] for row in small.cli("documents", "list", "papers")["items"]}
    assert {name for name, state in listed.items() if state == "ok"} == set(GOOD)
    for question, name in ASKED.items():
        asked = {"index": "index:papers@production", "query": question, "mode": "hybrid", "k": 3}
        found = small.post("/api/retrieval/search", asked)
        assert name in [passage["name"] for passage in found["items"]], question
        best = next(passage for passage in found["items"] if passage["name"] == name)
        text = small.get("/api/retrieval/document", digest=best["document"], name=name)["text"]
        assert text[best["start"] : best["end"]].strip() == best["text"].strip()
    assert "alert(1)" not in json.dumps(small.get("/api/retrieval/corpora/papers/documents"))


def test_the_same_folder_again_changes_nothing_and_a_change_makes_a_version(small, tmp_path):
    folder = write(tmp_path / "again", GOOD)
    first = small.cli("ingest", str(folder), "--corpus", "again")
    second = small.cli("ingest", str(folder), "--corpus", "again")
    assert (second["added"], second["changed"], second["unchanged"]) == (0, 0, len(GOOD))
    assert (second["index"], second["number"]) == (first["index"], 1)
    (folder / "notes.txt").write_text("Jupiter has a great red spot.\n")
    (folder / "facts.json").unlink()
    third = small.cli("ingest", str(folder), "--corpus", "again", "--prune")
    assert (third["changed"], third["removed"], third["number"]) == (1, 1, 2)
    assert third["index"] != first["index"]
    old = small.post("/api/retrieval/search", {"index": first["index"], "query": "dwarf planet", "mode": "text", "k": 3})
    assert old["items"][0]["name"] == "facts.json", "an index version never changes"


def test_wrong_paths_are_said(small, tmp_path):
    nowhere = genwright(small.home, "ingest", str(tmp_path / "nowhere"))
    assert nowhere.code == 2
    assert "nowhere" in nowhere.err
    write(tmp_path / "only", {"a.txt": b""})
    nothing = genwright(small.home, "ingest", str(tmp_path / "only"), "--corpus", "only", "--json")
    assert nothing.code == 1
    assert nothing.json["skipped"][0]["code"] == "empty_document"
    lost = genwright(small.home, "documents", "search", "index:paperz", "planet")
    assert lost.code == 2
    assert "again" in lost.err or "papers" in lost.err


def test_the_vectors_may_come_from_any_openai_compatible_address(small, tmp_path):
    """A tiny embedding server of the test's own: letters counted, so that the right passage is the nearest."""
    asked = []

    class Embeddings(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, body["model"], len(body["input"])))
            rows = [[float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in body["input"]]
            data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
            usage = {"prompt_tokens": 7, "total_tokens": 7}
            out = json.dumps({"object": "list", "data": data, "model": body["model"], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(out)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(out)

        def log_message(self, *_):
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Embeddings)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{serving.server_port}/v1"
        small.cli("providers", "add", "vectors", "--kind", "openai-compatible", "--url", url, "--key", "k")
        folder = write(tmp_path / "letters", {"a.txt": "banana banana banana", "z.txt": "zzz zigzag puzzle"})
        report = small.cli("ingest", str(folder), "--corpus", "letters", "--embedding-model", "vectors/letters")
        found = small.post("/api/retrieval/search", {"index": report["index"], "query": "zizz", "mode": "vector", "k": 1})
        assert found["items"][0]["name"] == "z.txt"
        assert {(path, model) for path, model, _ in asked} == {("/v1/embeddings", "letters")}
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


@pytest.fixture
def wiki(tmp_path):
    """Real paragraphs, a file each."""
    source = DATA / "retrieval" / "xquad-en" / "xquad.en.json"
    if not source.exists():
        pytest.skip("needs ../shared/data/retrieval/xquad-en")
    texts = [part["context"] for article in json.loads(source.read_text())["data"] for part in article["paragraphs"]]
    return write(tmp_path / "wiki", {f"{n:03}.txt": text for n, text in enumerate(texts[:30])})


@pytest.mark.parametrize("crash", ["ingest.after_batch:1", "index.before_rename"])
def test_a_killed_ingest_goes_on_without_doubles(wiki, tmp_path, start, crash):
    server = start(tmp_path / "home", CRASH_AT=crash)
    broken = genwright(server.home, "ingest", str(wiki), "--corpus", "wiki", "--json")
    assert broken.code != 0
    assert "Traceback" not in broken.err
    assert server.process.wait(30) == 137
    server.start(CRASH_AT="")
    report = server.cli("ingest", str(wiki), "--corpus", "wiki")
    assert (report["documents"], report["skipped"], report["number"]) == (30, [], 1)
    until(lambda: not [job for job in server.get("/api/jobs")["items"] if job["state"] in ("queued", "running")], 60)
    versions = server.get("/api/retrieval/indexes", name="wiki")["items"]
    assert [version["number"] for version in versions] == [1]
    found = server.post("/api/retrieval/search", {"index": "index:wiki", "query": "Denver Broncos", "mode": "text", "k": 20})[
        "items"
    ]
    assert len({(p["document"], p["start"]) for p in found}) == len(found), "a chunk came in twice"
    listed = server.get("/api/retrieval/corpora/wiki/documents", limit=500)["items"]
    assert len(listed) == 30


def test_a_kill_9_from_outside_loses_nothing_that_was_said(wiki, tmp_path, start):
    server = start(tmp_path / "home")
    with subprocess.Popen(
        [*COMMAND, "--home", str(server.home), "ingest", str(wiki), "--corpus", "wiki"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(server.home),
    ) as ingest:  # fmt: skip
        until(lambda: len(server.get("/api/retrieval/corpora/wiki/documents", limit=500)["items"]) >= 10)
        said = {row["name"]: row["digest"] for row in server.get("/api/retrieval/corpora/wiki/documents", limit=500)["items"]}
        os.kill(server.process.pid, signal.SIGKILL)
        assert ingest.wait(60) != 0
    server.kill()
    server.start()
    kept = {row["name"]: row["digest"] for row in server.get("/api/retrieval/corpora/wiki/documents", limit=500)["items"]}
    assert said.items() <= kept.items()
    assert server.cli("ingest", str(wiki), "--corpus", "wiki", "--no-build")["documents"] == 30
