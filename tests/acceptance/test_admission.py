"""What no command starts on a real node: a module that doesn't fit into memory. What runs is not ended for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.cli.conftest import Done, run

FAILS = """
    async def start(self) -> None:
        raise OSError("there is no lamp")
"""


async def gridlink(node: Running, *arguments: str | Path) -> Done:
    """Runs a command for that node."""
    return await asyncio.to_thread(run, "-C", node.managed, *arguments)


async def refused(node: Running, *arguments: str | Path) -> str:
    """What a command says that is refused."""
    done = await gridlink(node, *arguments)
    assert done.status == 1, (arguments, done)
    return done.err


def needs(managed: Path, name: str, memory_mib: int) -> None:
    """Writes into a module's manifest what it needs, as whoever edits it by hand does."""
    path = managed / name / "module.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resources": {"memory_mib": memory_mib}}))


def packed(directory: Path, code: str, name: str, memory_mib: int) -> Path:
    """A newer version of a module."""
    newer = bundle(directory / "newer", name, code, resources={"memory_mib": memory_mib}, version="1.1.0")
    assert run("pack", newer, "-o", directory / f"{name}.glb").status == 0
    return directory / f"{name}.glb"


async def test_what_was_refused_with_the_nodes_start_is_refused_by_each_command(tmp_path: Path) -> None:
    """With the numbers; its new version, too: what doesn't run has no memory to give back."""
    managed = tmp_path / "managed"
    bundle(managed, "large", good("large"), resources={"memory_mib": 9_000_000})
    bundle(managed, "small", good("small"), resources={"memory_mib": 1})
    update = packed(tmp_path, good("large"), "large", 9_000_000)
    async with running(managed) as node:
        await node.all_running("small")
        commands = ("start", "large"), ("start", "large", "--dry-run"), ("restart", "large"), ("update", update)
        for command in (*commands, ("move", "large", "--mode", "fork")):
            told = await refused(node, *command)
            assert "it needs 9000000 MiB (resources.memory_mib), and " in told, command
            assert "MiB are left for it: " in told, command
        assert node.state("large")[0] == "FAILED"


async def test_a_restart_that_does_not_fit_leaves_what_runs(tmp_path: Path) -> None:
    """And one that needs no more than it had is done, however little is free."""
    managed = tmp_path / "managed"
    bundle(managed, "small", good("small"), resources={"memory_mib": 1})
    async with running(managed) as node:
        (before,) = await node.all_running("small")
        needs(managed, "small", 8_000_000)
        told = await refused(node, "restart", "small")
        assert "it needs 8000000 MiB" in told
        assert ", 1 it gives back: " in told
        assert await node.sender.request("small", "ping", reply=str) == "pong"
        assert node.registry.find(instance=before.instance) == [before]
        needs(managed, "small", 1)
        assert (await gridlink(node, "restart", "small")).status == 0
        assert await node.sender.request("small", "ping", reply=str) == "pong"


async def test_what_has_failed_is_not_started_by_a_configuration_where_it_does_not_fit(tmp_path: Path) -> None:
    """A process that outlived its AppManager is taken over, whatever its manifest says; once it ends, that holds."""
    managed = tmp_path / "managed"
    config = "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Config:\n    step: int = 1\n"
    code = config + good("small").replace("Module[None]", "Module[Config]")
    bundle(managed, "small", code, resources={"memory_mib": 1}, mode="process", restart={"intensity": 0})
    async with running(managed) as node:
        (before,) = await node.all_running("small")
        await eventually(lambda: "1 of 1 bundles are RUNNING" in node.output())
        needs(managed, "small", 8_000_000)
        (manager,) = node.registry.find(name="appmanager")
        os.kill(manager.pid, signal.SIGKILL)
        await eventually(lambda: node.output().count("1 of 1 bundles are RUNNING") == 2, timeout_s=10)
        assert node.registry.find(name="small")[0].pid == before.pid
        os.kill(before.pid, signal.SIGKILL)
        await eventually(lambda: node.state("small")[0] == "FAILED")
        assert "it needs 8000000 MiB" in await refused(node, "configure", "small", "step=2")


async def test_an_update_that_fails_does_not_start_what_an_operator_stopped(tmp_path: Path) -> None:
    """Nor what was refused: going back is to what there was."""
    managed = tmp_path / "managed"
    bundle(managed, "small", good("small"))
    bundle(managed, "large", good("large"), resources={"memory_mib": 9_000_000})
    small = packed(tmp_path / "small", good("small") + FAILS, "small", 1)
    large = packed(tmp_path / "large", good("large") + FAILS, "large", 1)
    async with running(managed) as node:
        await node.all_running("small")
        assert (await gridlink(node, "stop", "small")).status == 0
        for update in (small, large):
            told = await refused(node, "update", update)
            assert "rolled back in step start" in told
            assert "there is no lamp" in told
        assert (node.state("small")[0], node.state("large")[0]) == ("STOPPED", "FAILED")
        assert "it needs 9000000 MiB" in node.state("large")[1]
        assert not node.registry.find(role="small")
