"""The real rooms up to retrieval, on SQLite in a temporary home."""

import contextlib
from types import SimpleNamespace

import pytest

from genwright.access.service import SYSTEM, Access
from genwright.blobs import Blobs
from genwright.db import METADATA, Database
from genwright.gateway.service import Gateway
from genwright.guardrails.service import Guardrails
from genwright.http import Http
from genwright.jobs import Jobs
from genwright.registry.service import Registry
from genwright.retrieval.service import Retrieval
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.tracing.service import Tracing
from genwright.vocab import Scope


@contextlib.asynccontextmanager
async def open_rooms(home, **options):
    """The rooms as app.py wires them, jobs resumed."""
    home.mkdir(exist_ok=True)
    settings = Settings(home=str(home), workers=1, **options)
    databases = {}
    for name, metadata in METADATA.items():
        databases[name] = Database(name, f"sqlite:///{home}/{name}.sqlite")
        with databases[name].engine.connect() as connection:
            metadata.create_all(connection)
    registry_db = databases["registry"]
    secrets, blobs, http = Secrets(home, ""), Blobs(home / "blobs"), Http()
    jobs, access, registry = Jobs(registry_db, home), Access(registry_db, secrets, settings), Registry(registry_db)
    tracing, guardrails = Tracing(databases["spans"], registry, blobs), Guardrails(registry)
    gateway = Gateway(databases, http, registry, tracing, guardrails, access, secrets, settings)
    retrieval = Retrieval(registry_db, registry, tracing, gateway, blobs, jobs, settings)
    resumed = await jobs.resume()
    scope = Scope()
    yield SimpleNamespace(
        scope=scope, actor=SYSTEM(scope), registry=registry, tracing=tracing, gateway=gateway, jobs=jobs, blobs=blobs,
        retrieval=retrieval, database=registry_db, home=home, resumed=resumed,
    )  # fmt: skip
    await jobs.stop()
    await tracing.flush()
    await http.close()
    retrieval.close()
    for database in databases.values():
        database.close()


@pytest.fixture
async def rooms(tmp_path):
    async with open_rooms(tmp_path / "home") as rooms:
        yield rooms
