"""Tracing over a real spans database and registry, on the engine that the suite runs on."""

from __future__ import annotations

import pytest

from genwright.access.types import Actor
from genwright.registry.service import Registry
from genwright.tracing.service import Tracing
from genwright.vocab import Scope


@pytest.fixture
def actor_in():
    """Makes actors: `actor_in(Scope("other"), capture="metadata", role="viewer", id="key_2")`."""

    def make(scope: Scope | None = None, capture: str = "full", role: str = "admin", id: str = "key_1") -> Actor:
        return Actor(scope or Scope(), id, "tester", "key", role, capture)

    return make


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
