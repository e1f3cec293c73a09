"""The real rooms up to retrieval, wired as app.py wires them; also run as a program that a test kills and starts again:

    python rooms.py HOME [DATABASE_URL]

adds the documents below and builds an index, or goes on where it was killed; prints the result as JSON.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

from genwright.access.service import SYSTEM, Access
from genwright.blobs import Blobs
from genwright.db import METADATA, Database
from genwright.gateway.service import Gateway
from genwright.guardrails.service import Guardrails
from genwright.http import Http
from genwright.jobs import Jobs
from genwright.registry.service import Registry
from genwright.retrieval import building
from genwright.retrieval.service import Retrieval
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.tracing.service import Tracing
from genwright.vocab import Scope

TOPICS = ("assert", "break", "with", "lambda", "global", "import", "yield", "try")


@contextlib.asynccontextmanager
async def open_rooms(databases, settings):
    """All rooms that retrieval needs; jobs that were left unfinished go on."""
    home = settings.path
    registry_db = databases["registry"]
    secrets, blobs, http = Secrets(home), Blobs(home / "blobs"), Http()
    jobs, access, registry = Jobs(registry_db, home), Access(registry_db, secrets, settings), Registry(registry_db)
    tracing, guardrails = Tracing(databases["spans"], registry, blobs), Guardrails(registry)
    gateway = Gateway(databases, http, registry, tracing, guardrails, access, secrets, settings)
    retrieval = Retrieval(registry_db, registry, tracing, gateway, blobs, jobs, settings)
    scope = Scope()
    try:
        yield SimpleNamespace(
            scope=scope, actor=SYSTEM(scope), registry=registry, tracing=tracing, gateway=gateway, jobs=jobs, blobs=blobs,
            retrieval=retrieval, access=access, database=registry_db, home=home, settings=settings, resumed=await jobs.resume(),
        )  # fmt: skip
    finally:
        await jobs.stop()
        await tracing.flush()
        await http.close()
        retrieval.close()


async def main(home, url=""):
    from pydoc_data.topics import topics

    building.BATCH = 16
    building.GROUP_CHARS = 10_000
    databases = {name: Database(name, url or f"sqlite:///{home / (name + '.sqlite')}") for name in METADATA}
    async with open_rooms(databases, Settings(home=str(home), database_url=url, workers=1)) as rooms:
        for topic in TOPICS:
            await rooms.retrieval.add_document(rooms.actor, "docs", f"{topic}.txt", topics[topic].encode())
        found = await rooms.jobs.list(rooms.scope)
        job = found[0] if found else await rooms.retrieval.build(rooms.actor, "docs", "docs", label="fresh")
        job = await rooms.jobs.wait(rooms.scope, job.id, 60)
        print(json.dumps({"state": job.state, "error": job.error, "resumed": rooms.resumed, **(job.result or {})}))
    for database in databases.values():
        database.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
