"""Updates while a module is asked without a break: what is lost, done twice, how long it waits, in each mode."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest

from gridlink.node.process import open_bus
from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.acceptance.test_move import CODE, Load, check
from tests.acceptance.test_provisioning import MODES, done

UPDATES = 2
PER_S = 300


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", MODES)
async def test_updates_lose_nothing_and_do_nothing_twice(tmp_path: Path, mode: str) -> None:
    """Requests of modules and of plain programs, sends, and events in their order."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    files = []
    for number in range(UPDATES + 1):
        made = bundle(tmp_path / str(number), "counter", CODE, version=f"1.{number}.0", mode=mode)
        files.append(tmp_path / f"{number}.glb")
        await done(managed, "pack", made, "-o", files[-1])
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", files[0])
        bus = await open_bus("site", f"load-{os.getpid()}", node.file["url"])
        try:
            load = Load(bus, PER_S)
            loading = asyncio.ensure_future(load.run())  # noqa: TID251
            for file in files[1:]:
                await eventually(partial(load.has_asked, len(load.asked) + PER_S / 5), timeout_s=10)
                await done(managed, "update", file)
            load.end()
            await loading
        finally:
            await bus.aclose()
        print(f"mode {mode}: {len(load.asked)} requests, {UPDATES} updates, the longest {1000 * load.longest_s:.0f} ms")
        await check(node, load)
