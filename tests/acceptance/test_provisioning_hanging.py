"""New versions that hold their node's loop, old ones that hang when they are to be replaced, and busy ones."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import MODES, answer, counted, done, gridlink, leftovers, packed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
HOLDS = {  # in one call into C: nothing interrupts it
    "start": "    async def start(self): sum(range(2**62))",
    "restore": "    async def restore(self, state: int): sum(range(2**62))",
}
HANGS = """
    @every(seconds=0.2)
    async def hangs(self) -> None:
        while self.count > 2: pass
"""
BUSY = """
    asked = 0
    async def busy(self):
        self.asked += 1
        return "" if self.count > 2 else "a switching sequence runs"

    @request("asked")
    async def was_asked(self) -> int:
        return self.asked
"""


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with one module that is not the tests' business."""
    directory = tmp_path / "managed"
    bundle(directory, "lamp", good("lamp"))
    return directory


def mode_and_reason(node: Running) -> tuple[str, str]:
    """How the counter runs."""
    found = node.registry.find(name="counter")
    return (found[0].mode, found[0].reason) if found else ("", "")


@pytest.mark.parametrize("where", HOLDS)
async def test_a_new_version_that_holds_the_loop_leaves_the_old_one_answering_in_its_mode(
    managed: Path, tmp_path: Path, where: str
) -> None:
    """What the new one did to the node isn't held against the old one, nor against a third."""
    first, third = await packed(tmp_path, "1.0.0"), await packed(tmp_path, "1.0.1")
    bad = await packed(tmp_path, "2.0.0", more=HOLDS[where])
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        assert await counted(node, "add") == ("1.0.0", 1)
        status, out, err = await gridlink(managed, "update", bad)
        assert (status, "it blocked the event loop for 10 s" in err, "rolled back" in err) == (1, True, True), out + err
        assert await eventually(partial(answer, node), timeout_s=20) == ("1.0.0", 1)
        assert mode_and_reason(node) == ("node", "")
        await done(managed, "restart", "counter")
        assert "1.0.0 -> 1.0.1" in await done(managed, "update", third)
        assert await counted(node) == ("1.0.1", 1)
        os.kill(node.file["pids"]["node"], signal.SIGKILL)
        await eventually(lambda: node.registry.find(name="counter") == [], timeout_s=20)
        assert await eventually(partial(answer, node), timeout_s=20) == ("1.0.1", 1)
        assert mode_and_reason(node) == ("node", "")


async def test_an_update_gives_a_module_another_chance_that_was_kept_out_of_the_node(
    managed: Path, tmp_path: Path
) -> None:
    """It is other code; the version that did it stays out until then, whoever starts it, and after a failing update."""
    marker = tmp_path / "marker"
    holds = f"    async def start(self):\n        while Path({str(marker)!r}).exists(): pass"
    first = await packed(tmp_path, "1.0.0", top="from pathlib import Path", more=holds)
    bad = await packed(tmp_path, "1.0.1", more="    async def start(self): raise RuntimeError('no start')")
    good_one = await packed(tmp_path, "1.0.2")
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        marker.touch()
        await gridlink(managed, "restart", "counter")
        await eventually(lambda: "blocked the event loop" in node.state("counter")[1], timeout_s=30)
        status, _, err = await gridlink(managed, "start", "counter")
        assert (status, "it blocked the event loop" in err) == (1, True), err
        assert (await gridlink(managed, "update", bad))[0] == 1
        assert (await gridlink(managed, "start", "counter"))[0] == 1
        assert "1.0.0 -> 1.0.2" in await done(managed, "update", good_one)
        assert await counted(node, "add") == ("1.0.2", 1)
        os.kill(node.file["pids"]["node"], signal.SIGKILL)
        await eventually(lambda: node.registry.find(name="counter") == [], timeout_s=20)
        assert (await eventually(partial(answer, node), timeout_s=20))[0] == "1.0.2"
        assert mode_and_reason(node) == ("node", "")


@pytest.mark.parametrize("mode", ["fork", "process"])
@pytest.mark.parametrize("command", ["rollback", "update"])
async def test_a_module_that_hangs_is_replaced_from_its_last_checkpoint(
    managed: Path, tmp_path: Path, mode: str, command: str
) -> None:
    """That is when somebody needs another version: it can't be asked for its state, and that is said."""
    first, third = await packed(tmp_path, "1.0.0", mode), await packed(tmp_path, "1.2.0", mode)
    hangs = await packed(tmp_path, "1.1.0", mode, more=HANGS)
    async with running(managed, "--checkpoint-every", "0.3") as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        await done(managed, "update", hangs)
        assert [await counted(node, "add"), await counted(node, "add")] == [("1.1.0", 1), ("1.1.0", 2)]
        checkpoint = managed / ".gridlink" / "states" / "counter"
        await eventually(lambda: checkpoint.exists() and checkpoint.read_bytes().endswith(b"\n2"), timeout_s=10)
        assert await counted(node, "add") == ("1.1.0", 3)
        await eventually(lambda: node.registry.find(name="counter") == [], timeout_s=20)
        arguments = ("rollback", "counter", "--keep-state") if command == "rollback" else ("update", third)
        async with asyncio.timeout(40):
            out = await done(managed, *arguments)
        assert "did not answer, so its state is that of its last checkpoint" in out
        version = "1.0.0" if command == "rollback" else "1.2.0"
        assert await eventually(partial(answer, node), timeout_s=5) in ((version, 2), (version, 3))
        assert leftovers(managed) == []
        assert node.registry.find(name="counter")[0].mode == mode


@pytest.mark.parametrize("mode", MODES)
async def test_an_update_waits_while_the_module_is_busy(managed: Path, tmp_path: Path, mode: str) -> None:
    """A switching sequence is not cut in two; what is asked meanwhile is answered, by the old version."""
    first, second = await packed(tmp_path, "1.0.0", mode, more=BUSY), await packed(tmp_path, "1.1.0", mode)
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        updating = asyncio.ensure_future(done(managed, "update", second))  # noqa: TID251

        async def asked_often() -> bool:
            asked: int = await node.sender.request("counter", "asked", reply=int, timeout_s=5)
            return asked > 4

        await eventually(asked_often, timeout_s=20)
        for number in (1, 2):
            assert await counted(node, "add") == ("1.0.0", number)
        assert not updating.done()
        assert await counted(node, "add") == ("1.0.0", 3)
        assert "1.0.0 -> 1.1.0" in await updating
        assert await counted(node) == ("1.1.0", 3)
