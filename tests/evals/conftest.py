"""Rooms up to evals over this test's databases."""

import pytest

from evals.evals_sample import build, close


@pytest.fixture
async def rooms(databases, home, settings):
    found = build(databases, home, settings)
    yield found
    await close(found)
