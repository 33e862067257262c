"""A new version that takes memory without end: the old one answers again within 3 s, with its state, in each mode."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.gaps import asked
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import MODES, answer, counted, done, gridlink, leftovers, packed

WITHIN_S = 3.0
TAKE = (
    "\n        self.taken = []\n        while True:\n            "
    "self.taken.append(b'x' * (1 << 20))\n            {rest}"
)
START = "    async def start(self) -> None:" + TAKE.format(rest="pass")
WINDOW = "    @every(seconds=0.3)\n    async def takes(self) -> None:" + TAKE.format(rest="await asyncio.sleep(0.001)")
FILLS = {"in start": ("", START), "in the health window": ("import asyncio", WINDOW)}
LIMIT = {"memory_mib": 48}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("where", FILLS)
@pytest.mark.parametrize("mode", MODES)
async def test_an_update_that_fills_memory_leaves_the_old_version(tmp_path: Path, mode: str, where: str) -> None:
    """In its own process its limit ends it; a node is replaced, and the next one goes back."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    top, more = FILLS[where]
    first = await packed(tmp_path, "1.0.0", mode, resources=LIMIT)
    bad = await packed(tmp_path, "1.1.0", mode, top=top, more=more, resources=LIMIT)
    async with running(managed, "--memory", "170", "--checkpoint-every", "0.2") as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        for number in (1, 2, 3):
            assert await counted(node, "add") == ("1.0.0", number)
        gaps: list[float] = []
        async with asked(node, gaps):
            status, out, err = await gridlink(managed, "update", bad)
            assert await eventually(partial(old, node), timeout_s=20)
        print(f"mode {mode}, {where}: nobody answered for {max(gaps):.2f} s; {err}")
        assert status == 1, out
        assert max(gaps) < WITHIN_S
        await eventually(lambda: leftovers(managed) == [], timeout_s=10)
        assert await counted(node, "add") == ("1.0.0", 4)
        assert await node.sender.request("lamp", "ping", timeout_s=5) == "pong"
        assert "verified" in await done(managed, "history", "--verify")


@pytest.mark.slow
async def test_one_that_fills_memory_at_its_import_is_refused_before_the_old_one_is_touched(tmp_path: Path) -> None:
    """It is imported by a process with limits first."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    top = "taken = []\nwhile True:\n    taken.append(bytes(1 << 20))"
    first, bad = await packed(tmp_path, "1.0.0"), await packed(tmp_path, "1.1.0", top=top)
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        gaps: list[float] = []
        async with asked(node, gaps):
            status, _, err = await gridlink(managed, "update", bad)
        assert (status, "in step preflight" in err, "MemoryError" in err) == (1, True, True), err
        assert max(gaps) < 1.0
        assert await counted(node, "add") == ("1.0.0", 1)
        assert leftovers(managed) == []


async def old(node: Running) -> bool:
    """Whether the old version answers, with its state."""
    return await answer(node) == ("1.0.0", 3)
