"""A store in a folder of its own, opened and closed around each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from storage.store import Store


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store with the data point `p` in kW."""
    async with Store(tmp_path / "measurements.db") as opened:
        await opened.create_data_point("p", "kW")
        yield opened
