"""A real spans database, registry and tracing for each test; both engines where PostgreSQL is asked for."""

from __future__ import annotations

import pytest

from genwright.access.types import Actor
from genwright.db import REGISTRY, SPANS, Database
from genwright.registry.service import Registry
from genwright.tracing import store  # noqa: F401
from genwright.tracing.service import Tracing
from genwright.vocab import Scope

SCOPE = Scope()
OTHER = Scope("other", "default")


def actor_in(scope: Scope = SCOPE, capture: str = "full", role: str = "admin", id: str = "key_1") -> Actor:
    return Actor(scope, id, "tester", "key", role, capture)


@pytest.fixture
def actor():
    return actor_in()


@pytest.fixture
def databases(tmp_path):
    made = {}
    for name, metadata in (("spans", SPANS), ("registry", REGISTRY)):
        made[name] = Database(name, f"sqlite:///{tmp_path / (name + '.sqlite')}")
        with made[name].engine.begin() as connection:
            metadata.create_all(connection)
    yield made
    for database in made.values():
        database.close()


@pytest.fixture
def database(databases):
    return databases["spans"]


@pytest.fixture
def registry(databases):
    return Registry(databases["registry"])


@pytest.fixture
def tracing(database, registry):
    made = Tracing(database, registry)
    yield made
    made.close()


@pytest.fixture(name="actor_in")
def actor_maker():
    return actor_in
