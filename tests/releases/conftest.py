"""A started house: see tests/app_sample.py."""

import pytest

from app_sample import Bench


@pytest.fixture
async def bench(settings):
    opened = await Bench.open(settings)
    yield opened
    await opened.close()
