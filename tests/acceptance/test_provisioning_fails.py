"""A new version that doesn't work, in each way: the old one answers within 3 s, in its mode and with its state."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.gaps import asked
from tests.acceptance.running import LONG, Running, bundle, good, running
from tests.acceptance.test_provisioning import MODES, answer, counted, done, gridlink, leftovers, packed

WITHIN_S = 3.0
OF_A_BUSY_MACHINE = 2.0
LOOP = "\n        while True:\n            pass"
FAILING: dict[str, tuple[str, dict[str, str]]] = {
    "does not import": ("nothing_of_that_name", {"top": "import nothing_of_that_name"}),
    "raises in start": ("no start", {"more": "    async def start(self): raise RuntimeError('no start')"}),
    "raises in restore": (
        "no restore",
        {"more": "    async def restore(self, state: int): raise RuntimeError('no restore')"},
    ),
    "never ready": (
        "did not return within 1.5 s",
        {"top": "import asyncio", "more": "    async def start(self): await asyncio.sleep(60)"},
    ),
    "restore never returns": (
        "did not return within 1.5 s",
        {"top": "import asyncio", "more": "    async def restore(self, state: int): await asyncio.sleep(60)"},
    ),
    "hangs in start": ("in step start", {"more": "    async def start(self):" + LOOP}),
    "hangs in restore": ("in step start", {"more": "    async def restore(self, state: int):" + LOOP}),
    "unhealthy": ("sensor is silent", {"more": "    async def healthy(self): return 'the sensor is silent'"}),
    "hangs in healthy": ("in step watch", {"more": "    async def healthy(self):" + LOOP}),
    "computes in the window": (
        "the event loop",
        {"more": "    @every(seconds=0.5)\n    async def hang(self) -> None:" + LOOP},
    ),
    "sleeps in the window": (
        "the event loop",
        {"top": "import time", "more": "    @every(seconds=0.5)\n    async def hang(self) -> None: time.sleep(5)"},
    ),
    "dies in the window": (
        "watch",
        {"top": "import os", "more": "    @every(seconds=0.5)\n    async def dies(self) -> None: os._exit(3)"},
    ),
}
"""How a new version fails: what the operator is told of it, and its code. What ends a node comes last."""


@pytest.mark.slow
@pytest.mark.timeout(360)
@pytest.mark.parametrize("mode", MODES)
async def test_a_failing_update_leaves_the_old_version_with_its_state(tmp_path: Path, mode: str) -> None:
    """However it fails, the old version answers, from where it was, and after 3 s at most."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    first = await packed(tmp_path, "1.0.0", mode)
    async with running(managed, *LONG) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        for number, (how, (told, more)) in enumerate(FAILING.items(), 1):
            assert await counted(node, "add") == ("1.0.0", number)
            bad = await packed(tmp_path, f"2.{number}.0", mode, **more)
            gaps: list[float] = []
            async with asked(node, gaps):
                status, out, err = await gridlink(managed, "update", bad)
                assert await eventually(partial(answer, node), timeout_s=20) == ("1.0.0", number), how
            print(f"mode {mode}, {how}: nobody answered for {max(gaps):.2f} s; {err}")
            assert status == 1, f"{how}: {out}"
            assert told in err, how
            assert max(gaps) < WITHIN_S * OF_A_BUSY_MACHINE, how
            assert leftovers(managed) == [], how
            await eventually(lambda: _modes(node) == [mode], timeout_s=20)  # a killed one is shown for a while
        assert await counted(node, "add") == ("1.0.0", len(FAILING) + 1)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", MODES)
async def test_a_version_that_declares_a_longer_start_has_it(tmp_path: Path, mode: str) -> None:
    """Its author has decided that the old one may be away for so long; without that word the old one goes on."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    slow = {"top": "import asyncio", "more": "    async def start(self): await asyncio.sleep(2.5)"}
    declared = {**slow, "more": "    start_within_s = 8.0\n" + slow["more"]}
    first, second = await packed(tmp_path, "1.0.0", mode), await packed(tmp_path, "1.1.0", mode, **slow)
    third, fourth = await packed(tmp_path, "1.2.0", mode, **declared), await packed(tmp_path, "1.3.0", mode, **slow)
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        status, _, err = await gridlink(managed, "update", second)
        assert (status, "declare start_within_s" in err) == (1, True), err
        assert await counted(node, "add") == ("1.0.0", 1)
        await done(managed, "update", third)
        assert await counted(node, "add") == ("1.2.0", 2)
        status, _, err = await gridlink(managed, "update", fourth)
        assert (status, "declare start_within_s" in err) == (1, True), err
        assert await counted(node, "add") == ("1.2.0", 3)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_version_that_hangs_in_a_nodemanager_of_its_own_is_rolled_back(tmp_path: Path) -> None:
    """That one's watchdog is heard as well as that of the AppManager's own node."""
    managed, into = tmp_path / "managed", {"into": "node2"}
    bundle(managed, "lamp", good("lamp"))
    bundle(managed, "node2", "", entry="nodemanager:NodeManager", mode="process")
    first: Path = await packed(tmp_path, "1.0.0", **into)
    _, more = FAILING["sleeps in the window"]
    bad: Path = await packed(tmp_path, "1.1.0", **into, **more)
    async with running(managed) as node:
        await node.all_running("lamp", "node2")
        await done(managed, "install", first)
        assert await counted(node, "add") == ("1.0.0", 1)
        gaps: list[float] = []
        async with asked(node, gaps):
            status, _, err = await gridlink(managed, "update", bad)
            assert await eventually(partial(answer, node), timeout_s=20) == ("1.0.0", 1)
        print(f"nobody answered for {max(gaps):.2f} s; {err}")
        assert (status, "watchdog had to interrupt" in err) == (1, True), err
        assert max(gaps) < WITHIN_S * OF_A_BUSY_MACHINE
        assert await counted(node, "add") == ("1.0.0", 2)


def _modes(node: Running) -> list[str]:
    return [entry.mode for entry in node.registry.find(name="counter")]
