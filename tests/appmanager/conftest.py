"""What tests of the AppManager share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodemanager import NodeManager
from tests.appmanager.world import World, a_world


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Up, with the counter RUNNING; the parameter, if any, is the NodeManager's class."""
    async with a_world(tmp_path, getattr(request, "param", NodeManager)) as around:
        yield around
