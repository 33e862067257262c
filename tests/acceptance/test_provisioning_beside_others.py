"""An update while other modules of the same NodeManager come up: what they do to the loop isn't the new version's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.acceptance.test_provisioning import COUNTER, counted, done, packed

SLOW = "import time\ntime.sleep(1.5)\n"


@pytest.mark.slow
async def test_a_neighbour_that_is_imported_in_the_health_window_rolls_nothing_back(tmp_path: Path) -> None:
    """It holds the loop that they share, for longer than a process of a module's own may be silent."""
    managed, into = tmp_path / "managed", {"into": "node2"}
    bundle(managed, "node2", "", entry="nodemanager:NodeManager", mode="process")
    bundle(managed, "counter", COUNTER.format(version="1.0.0", top="", more=""), **into)
    bundle(managed, "neighbour", SLOW + good("neighbour"), **into)
    second = await packed(tmp_path, "1.1.0", **into)
    async with running(managed) as node:
        await node.all_running("counter", "node2", "neighbour")
        await done(managed, "stop", "neighbour")
        manager = node.registry.find(name="appmanager")[0].instance
        updating = asyncio.ensure_future(done(managed, "update", second))  # noqa: TID251
        await eventually(lambda: [one.version for one in node.registry.find(name="counter")] == ["1.1.0"], timeout_s=20)
        await node.sender.request(manager, "start", {"id": "again", "module": "neighbour"}, timeout_s=20)
        assert not updating.done()
        assert "1.0.0 -> 1.1.0" in await updating
        assert await counted(node, "add") == ("1.1.0", 1)
