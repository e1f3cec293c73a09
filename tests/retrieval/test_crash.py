"""SIGKILL at every failpoint of an ingest: the next run goes on without doubles, to the same index as without a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from genwright.db import Database
from genwright.retrieval import store
from genwright.vocab import Scope

PROGRAM = Path(__file__).with_name("rooms.py")


def run(home, url, crash=""):
    environment = {**os.environ, "CRASH_AT": crash} if crash else dict(os.environ)
    command = [sys.executable, str(PROGRAM), str(home), *([url] if url else [])]
    done = subprocess.run(command, capture_output=True, timeout=120, env=environment, text=True)
    if crash:
        assert done.returncode == 137, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def expected(tmp_path_factory, request):
    """The result without a crash."""
    home = tmp_path_factory.mktemp("whole")
    for file in request.getfixturevalue("_template").glob("*.sqlite"):
        (home / file.name).write_bytes(file.read_bytes())
    return run(home, "")


@pytest.mark.parametrize(
    "crash", ["ingest.after_parse:4", "ingest.after_batch:2", "index.before_rename", "index.after_rename", "db.after_commit:16"]
)
def test_a_killed_ingest_goes_on(home, database_url, expected, crash):
    run(home, database_url, crash)
    result = run(home, database_url)
    assert result["state"] == "done", result
    assert result["resumed"] == (0 if crash.startswith("ingest.after_parse") else 1)
    assert (result["digest"], result["chunks"], result["number"]) == (expected["digest"], expected["chunks"], 1)
    folders = [path.name for path in (home / "indexes" / "default").iterdir()]
    assert len(folders) == 1, folders
    assert not folders[0].startswith(".")
    database = Database("registry", database_url or f"sqlite:///{home}/registry.sqlite")
    with database.engine.connect() as connection:
        rows = store.page(connection, Scope(), "docs", "", "", 100)
        embedded = connection.execute(sa.select(store.embedded.c.text_digest, store.embedded.c.blob)).all()
    database.close()
    assert len(rows) == 8
    assert all(row.state == "ok" for row in rows)
    assert len(embedded) == len({digest for digest, _ in embedded}) == result["chunks"]
    assert len({blob for _, blob in embedded}) == -(-result["chunks"] // 16), "no batch was embedded twice"
