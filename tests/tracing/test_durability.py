"""A 200 survives SIGKILL; roll-ups stay exact for random trees in random pieces."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys

import pytest

from genwright.db import SPANS, Database
from genwright.tracing import queries, store
from genwright.vocab import Scope

SERVER = """
import asyncio, json, sys
from genwright.access.types import Actor
from genwright.db import Database
from genwright.tracing.service import Tracing
from genwright.vocab import Scope

async def main(path):
    tracing = Tracing(Database("spans", "sqlite:///" + path), None)
    actor = Actor(Scope(), "key", "test", "key", "admin")

    async def client(number):
        for at in range(10_000):
            trace = f"{number + 1:016x}{at + 1:016x}"
            times = {"startTimeUnixNano": "5", "endTimeUnixNano": "6"}
            spans = [{"traceId": trace, "spanId": f"{n + 1:016x}", **times} for n in range(5)]
            body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
            status, _, _ = await tracing.ingest(actor, body, "application/json")
            if status == 200:
                print(trace, flush=True)

    await asyncio.gather(*(client(number) for number in range(8)))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("where", ["db.before_commit:30", "db.after_commit:30", "SIGKILL"])
def test_every_accepted_span_survives_a_kill(tmp_path, where):
    path = tmp_path / "spans.sqlite"
    database = Database("spans", f"sqlite:///{path}")
    with database.engine.connect() as connection:
        SPANS.create_all(connection)
    database.close()
    environment = dict(os.environ) if where == "SIGKILL" else {**os.environ, "CRASH_AT": where}
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(path)], stdout=subprocess.PIPE, text=True, env=environment)
    acknowledged = []
    for line in process.stdout:
        acknowledged.append(line.strip())
        if where == "SIGKILL" and len(acknowledged) == 200:
            process.send_signal(signal.SIGKILL)
    process.wait()
    acknowledged = [trace for trace in acknowledged if len(trace) == 32]
    assert len(acknowledged) >= 20
    database = Database("spans", f"sqlite:///{path}")
    with database.engine.connect() as connection:
        for trace in acknowledged:
            found = queries.read_trace(connection, Scope(), trace)
            assert (found.row.spans, len(found.spans)) == (5, 5)
    database.close()


def random_tree(generator: random.Random, size: int) -> list[dict]:
    spans = []
    for n in range(size):
        parent = generator.choice(spans)["spanId"] if spans and generator.random() < 0.9 else ""
        values = {"gen_ai.usage.input_tokens": generator.randrange(9), "gen_ai.usage.output_tokens": generator.randrange(9)}
        kept = {key: value for key, value in values.items() if generator.random() < 0.5}
        start = generator.randrange(1, 1000)
        spans.append(
            {
                "traceId": "1" * 32, "spanId": f"{n + 1:016x}", "parentSpanId": parent, "name": f"span {n}",
                "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + generator.randrange(1000)),
                "status": {"code": generator.choice([0, 1, 2])},
                "attributes": [{"key": key, "value": {"intValue": value}} for key, value in kept.items()],
            }
        )  # fmt: skip
    return spans


def usage(spans: list[dict], key: str) -> int:
    """Straight from the definition: each span counts the larger of its own and the sum of its children."""

    def total(span: dict) -> int:
        own = next((pair["value"]["intValue"] for pair in span["attributes"] if pair["key"] == key), 0)
        return max(own, sum(total(child) for child in spans if child["parentSpanId"] == span["spanId"]))

    return sum(total(span) for span in spans if not span["parentSpanId"])


@pytest.mark.parametrize("seed", range(25))
async def test_roll_ups_of_random_trees_in_random_pieces(tracing, actor, seed):
    generator = random.Random(seed)
    spans = random_tree(generator, generator.randrange(1, 30))
    sent = [*spans, *generator.choices(spans, k=5)]  # some twice
    generator.shuffle(sent)
    while sent:
        size = generator.randrange(1, 6)
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": sent[:size]}]}]}).encode()
        assert (await tracing.ingest(actor, body, "application/json"))[2] == b"{}"
        sent = sent[size:]
    row = (await tracing.trace(Scope(), "1" * 32)).row
    starts = [int(span["startTimeUnixNano"]) for span in spans]
    roots = [span for span in spans if not span["parentSpanId"]]
    root = min(roots, key=lambda span: (int(span["startTimeUnixNano"]), span["spanId"]))
    assert row.spans == len(spans)
    assert row.errors == sum(span["status"]["code"] == 2 for span in spans)
    assert (row.start_ns, row.start_ns + row.duration_ns) == (min(starts), max(int(span["endTimeUnixNano"]) for span in spans))
    assert (row.name, row.status) == (root["name"], "error" if root["status"]["code"] == 2 else "ok")
    assert row.tokens_in == usage(spans, "gen_ai.usage.input_tokens")
    assert row.tokens_out == usage(spans, "gen_ai.usage.output_tokens")


def test_a_circle_of_parents_ends():
    row = store.Narrow("w", "p", "t", "a", "b", "", "", "ok", 1, 1, "", "", "", "", "", "", "", 3, 1, 2, "", 0)
    other = row._replace(span_id="b", parent_id="a", start_ns=2)
    assert store.used([row, other]) == (6, 2, 4)
    assert store.root_of([other, row]) is row
