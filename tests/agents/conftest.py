"""A started house with a scripted provider: see tests/app_sample.py."""

import pytest

from app_sample import Bench
from genwright.testing.provider import ScriptedProvider


@pytest.fixture
async def bench(settings):
    with ScriptedProvider() as provider:
        opened = await Bench.open(settings, provider)
        yield opened
        await opened.close()
