"""Everything of a node is killed while it updates a module; after the next start it is one version, whole."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from functools import partial
from pathlib import Path

import psutil
import pytest

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import MODES, PROGRAM, answer, counted, done, leftovers, packed

ROUNDS = 4
MOMENTS_S = 1.2  # after the journal is there; an update takes some three seconds, of which two are the health window


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
async def test_killed_at_any_moment_of_an_update_it_is_the_old_or_the_new(tmp_path: Path, mode: str) -> None:
    """At random moments, over and over in the same managed directory."""
    managed, rng = tmp_path / "managed", random.Random(mode)
    bundle(managed, "lamp", good("lamp"))
    first, second = await packed(tmp_path, "1.0.0", mode), await packed(tmp_path, "1.1.0", mode)
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
    for number in range(1, ROUNDS + 1):
        _forget_node(managed)
        async with running(managed) as node:
            await node.all_running("lamp", "counter")
            assert (await counted(node, "add"))[1] == number
            await done(managed, "restart", "counter")  # its state is on the disk
            await _killed(node, second, rng.uniform(0, MOMENTS_S))
        _forget_node(managed)
        async with running(managed) as node:
            await node.all_running("lamp", "counter", within_s=40)
            version, count = await counted(node)
            assert version in ("1.0.0", "1.1.0")
            assert count == number, version
            manifest = json.loads((managed / "counter" / "module.json").read_text())
            assert manifest["version"] == version
            await eventually(lambda: leftovers(managed) == [], timeout_s=20)
            if version == "1.1.0":
                await done(managed, "rollback", "counter", "--keep-state")
            assert "verified" in await done(managed, "history", "--verify")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
async def test_where_the_node_alone_is_killed_in_an_update_its_successor_mends_it(tmp_path: Path, mode: str) -> None:
    """Processes of either version outlive the AppManager then: one version is to be left, with its state."""
    managed, rng = tmp_path / "managed", random.Random(f"node {mode}")
    bundle(managed, "lamp", good("lamp"))
    first, second = await packed(tmp_path, "1.0.0", mode), await packed(tmp_path, "1.1.0", mode)
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        for number in range(1, ROUNDS + 1):
            assert (await counted(node, "add"))[1] == number
            await done(managed, "restart", "counter")
            before = node.file["pids"]["node"]
            await _killed(node, second, rng.uniform(0, MOMENTS_S), whole=False)
            await eventually(partial(_another_node_than, node, before), timeout_s=20)
            await eventually(lambda: leftovers(managed) == [], timeout_s=20)
            version, count = await eventually(partial(answer, node), timeout_s=30)
            assert version in ("1.0.0", "1.1.0")
            assert count == number, version
            running_now = [e for e in node.registry.instances() if e.name == "counter"]
            assert [e.version for e in running_now] == [version]
            if version == "1.1.0":
                await done(managed, "rollback", "counter", "--keep-state")


def _another_node_than(node: Running, pid: int) -> bool:
    return bool(node.file["pids"]["node"] != pid)


async def _killed(node: Running, file: Path, after_s: float, *, whole: bool = True) -> None:
    command = [PROGRAM, "-C", str(node.managed), "update", str(file)]
    asked = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = node.managed / ".gridlink" / "journal" / "counter"
    await eventually(journal.exists, timeout_s=30)
    await asyncio.sleep(after_s)  # the moment
    if whole:
        guardian = psutil.Process(node.process.pid)
        for process in [guardian, *guardian.children(recursive=True)]:
            process.kill()
        node.process.wait()
    else:
        psutil.Process(node.file["pids"]["node"]).kill()
    asked.kill()
    await asked.wait()


def _forget_node(managed: Path) -> None:
    """So that what is read next is the next node's."""
    (managed / ".gridlink" / "node.json").unlink(missing_ok=True)
