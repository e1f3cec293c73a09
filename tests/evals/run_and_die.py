"""A process that runs an evaluation and may be killed in it (CRASH_AT): `python run_and_die.py HOME LOG [RUN]`.

Every call of the target is a line in LOG before it is answered. Prints the run as JSON when it is done. Not a test itself.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from evals.evals_sample import build, close, rows
from genwright.access.types import Actor
from genwright.db import METADATA, Database
from genwright.settings import Settings
from genwright.vocab import Scope

ITEMS, CONCURRENCY = 24, 3


async def main(home: Path, log: Path, run_id: str) -> None:
    databases = {name: Database(name, f"sqlite:///{home / (name + '.sqlite')}") for name in METADATA}
    rooms = build(databases, home, Settings(home=str(home)))
    scope = Scope()

    async def note(question: str) -> None:
        with log.open("a") as file:
            file.write(question + "\n")

    rooms.target.wait = note
    if run_id:
        await rooms.jobs.resume()
    else:
        actor = Actor(scope, "key_test", "test", "key", "admin")
        await rooms.datasets.put(actor, "d", rows(ITEMS))
        started = await rooms.evals.start_run(actor, "app/docs", "d", metrics=["token_f1", "hit"], concurrency=CONCURRENCY)
        run_id = started.id
    done = await rooms.evals.wait(scope, run_id, 30)
    traces = [len((await rooms.tracing.trace(scope, item.trace_id)).scores) for item in
              (await rooms.evals.items(scope, run_id, limit=100)).items]  # fmt: skip
    print(msgspec.json.encode({"run": done, "scores": traces}).decode())
    await close(rooms)
    for database in databases.values():
        database.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), (sys.argv[3:] or [""])[0]))
