"""Fixtures of the retrieval tests."""

import msgspec
import pytest

from retrieval.rooms import open_rooms


@pytest.fixture
async def rooms(databases, settings):
    """The real rooms up to retrieval: see rooms.py."""
    async with open_rooms(databases, msgspec.structs.replace(settings, workers=1)) as rooms:
        yield rooms
