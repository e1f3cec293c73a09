"""The acceptance tests' fixtures; what they do is in tests/journey.py."""

import pytest

from genwright.testing.provider import ScriptedProvider
from journey import demo, empty, server, start  # noqa: F401  (fixtures)


@pytest.fixture(scope="module")
def provider():
    """A provider of its own, on loopback, whose answers and faults are scripted."""
    with ScriptedProvider(models=["test-model"]) as running:
        yield running


@pytest.fixture(autouse=True)
def _scripts(request):
    """No script of one test reaches the next."""
    if "provider" in request.fixturenames:
        request.getfixturevalue("provider").clear()
