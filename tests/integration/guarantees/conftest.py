"""A site for each test: each of them breaks something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gridlink.conftest import new_server
from tests.integration.guarantees.site import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server and the test's own node; workers are added by the test."""
    with new_server(tmp_path / "nats") as server:
        made = Site(tmp_path, server)
        await made.open()
        yield made
        await made.aclose()
