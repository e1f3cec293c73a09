"""A run killed at its failpoints goes on: no item whose answer was recorded is called again (promise W2)."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from genwright.db import Database
from genwright.evals import store

HERE = Path(__file__).parent
ITEMS, CONCURRENCY = 24, 3


def start(home, log, *more, crash_at=""):
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "CRASH_AT": crash_at}
    if not crash_at:
        environment.pop("CRASH_AT")
    command = [sys.executable, str(HERE / "run_and_die.py"), str(home), str(log), *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def recorded(home):
    database = Database("registry", f"sqlite:///{home / 'registry.sqlite'}")
    try:
        with database.engine.connect() as connection:
            run = connection.execute(sa.select(store.runs.c.id)).scalar_one()
            query = sa.select(store.items.c.question).where(store.items.c.run == run, store.items.c.state != "asking")
            return run, set(connection.execute(query).scalars())
    finally:
        database.close()


@pytest.mark.parametrize("point", ["evals.before_record:7", "evals.after_record:24", "db.after_commit:20"])
def test_a_killed_run_goes_on_and_asks_no_recorded_item_again(home, tmp_path, point, database_url):
    if database_url:
        pytest.skip("kills a process of its own on SQLite files; the queries are the same on PostgreSQL")
    log = tmp_path / "calls.log"
    assert start(home, log, crash_at=point).returncode == 137
    before = Counter(log.read_text().split("\n")[:-1])
    run_id, kept = recorded(home)
    ended = start(home, log, run_id)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    calls = Counter(log.read_text().split("\n")[:-1])
    again = {question for question, count in calls.items() if count > 1}
    assert found["run"]["state"] == "done"
    assert (found["run"]["done"], found["run"]["failed"]) == (ITEMS, 0)
    assert len(calls) == ITEMS
    assert not again & kept, "an item whose answer was recorded was called again"
    assert len(again) <= CONCURRENCY
    assert max(calls.values()) <= 2
    assert found["run"]["repeated"] >= len(again)
    assert found["scores"] == [2] * ITEMS, "every trace has both scores, once"
    assert before.total() < calls.total() or not again
