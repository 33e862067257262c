"""The registry of a node that has no other beside it, on the in-process bus."""

from __future__ import annotations

import asyncio
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from gridlink.bus.local import LocalBus
from gridlink.clock import SiteClock
from gridlink.errors import TimeoutInvalid
from gridlink.node import Node
from gridlink.registry import Registry
from gridlink.tasks import Tasks
from tests.gridlink.registry.nodes import host


async def test_closing_a_registry_twice_is_fine() -> None:
    """And an observer's, too."""
    for observer in (False, True):
        bus = LocalBus("n1", "s")
        async with Registry(bus, "m", SiteClock(), observer=observer) as registry:
            await registry.aclose()
        await bus.aclose()


async def test_a_slow_watcher_loses_the_oldest_changes_and_no_memory(tmp_path: Path) -> None:
    """A watcher that never reads must not fill a board."""
    bus = LocalBus("n1", "s")
    async with Node(bus, "m") as node:
        watcher: Any = node.registry.watch()
        tasks = Tasks("test")
        first = tasks.spawn(anext(watcher), name="first")
        await asyncio.sleep(0)
        for number in range(600):
            await host(node, f"m{number % 3}", tmp_path)
            await node.release(f"m{number % 3}@n1")
        await first
        ((queue,),) = node.registry._watchers.values()
        assert queue.full()
        await watcher.aclose()


@pytest.mark.parametrize("timeout_s", [nan, inf, -1.0])
async def test_waiting_for_no_number_of_seconds_is_refused(timeout_s: float) -> None:
    """It would wait for ever, or not at all."""
    bus = LocalBus("n1", "s")
    async with Registry(bus, "m", SiteClock()) as registry:
        with pytest.raises(TimeoutInvalid, match="expected seconds from 0 up, and an end"):
            await registry.wait_for(role="nobody", timeout_s=timeout_s)
    await bus.aclose()
