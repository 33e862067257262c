"""Install, update, configure, roll back and uninstall, as an operator does it, on a real node in each mode."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gridlink.errors import GridlinkError
from tests.acceptance.running import NODE, Running, bundle, good, running

PROGRAM = str(Path(NODE).with_name("gridlink"))
MODES = ("node", "fork", "process")
COUNTER = """
from dataclasses import dataclass
from gridlink import Module, every, request
from gridlink.errors import Refused
{top}

@dataclass(frozen=True)
class Config:
    step: int = 1

class Probe(Module[Config]):
    '''Counts.'''
    roles = ("counter",)

    def __init__(self):
        self.count = 0

    @request("add")
    async def add(self) -> tuple[str, int]:
        self.count += self.config.step
        return ("{version}", self.count)

    @request("look")
    async def look(self) -> tuple[str, int]:
        return ("{version}", self.count)

    async def snapshot(self): return self.count

    async def configure(self, old, new):
        if new.step > 9:
            raise Refused("step: expected at most 9")

    async def restore(self, state: int):
        self.count = state
{more}
"""


async def gridlink(managed: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Runs the command; its exit status and what it printed."""
    command = [PROGRAM, "-C", str(managed), *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def done(managed: Path, *arguments: str | Path) -> str:
    """Runs a command that is to succeed; what it printed."""
    status, out, err = await gridlink(managed, *arguments)
    assert status == 0, out + err
    return out


def source(directory: Path, version: str, mode: str, *, top: str = "", more: str = "", **manifest: Any) -> Path:
    """A bundle of the counter."""
    code = COUNTER.format(version=version, top=top, more=more)
    return bundle(directory / version, "counter", code, version=version, mode=mode, **manifest)


async def packed(directory: Path, version: str, mode: str = "node", **more: Any) -> Path:
    """The counter in that version as a packed bundle."""
    made, file = source(directory, version, mode, **more), directory / f"counter-{version}.glb"
    await done(directory, "pack", made, "-o", file)
    return file


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with one module that is not the tests' business."""
    directory = tmp_path / "managed"
    bundle(directory, "lamp", good("lamp"))
    return directory


async def counted(node: Running, what: str = "look") -> tuple[str, int]:
    """The version that answers, and its count."""
    found: tuple[str, int] = await node.sender.request("counter", what, reply=tuple[str, int], timeout_s=5)
    return found


async def answer(node: Running) -> tuple[str, int] | None:
    """The same; None while nobody answers."""
    try:
        return await counted(node)
    except GridlinkError:
        return None


def leftovers(managed: Path) -> list[str]:
    """What a command has left in progress."""
    own = managed / ".gridlink"
    return [str(p) for name in ("journal", "incoming", "staged") for p in (own / name).glob("*") if p.exists()]


async def test_a_packed_bundle_is_installed_and_one_that_can_not_be_imported_is_refused(
    managed: Path, tmp_path: Path
) -> None:
    """From nothing to running; and what can't run is found out before the one that runs is touched."""
    first = await packed(tmp_path, "1.0.0")
    bad = await packed(tmp_path, "1.1.0", top="import nothing_of_that_name")
    async with running(managed) as node:
        await node.all_running("lamp")
        assert await done(managed, "install", first) == "counter: install done 1.0.0\n"
        assert await counted(node, "add") == ("1.0.0", 1)
        status, _, err = await gridlink(managed, "update", bad)
        assert (status, "in step preflight" in err, "nothing_of_that_name" in err) == (1, True, True)
        assert await counted(node) == ("1.0.0", 1)
        assert leftovers(managed) == []


@pytest.mark.slow
async def test_a_module_goes_from_nothing_to_running_and_back(managed: Path, tmp_path: Path) -> None:
    """The whole life of a module, as an operator types it."""
    first, second = await packed(tmp_path, "1.0.0"), await packed(tmp_path, "1.1.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        lines = (await done(managed, "install", first, "--json")).splitlines()
        steps = [json.loads(line) for line in lines]
        assert steps[0]["step"] == "receive"
        assert steps[-1]["end"] == "done"
        assert await counted(node, "add") == ("1.0.0", 1)
        assert "would take the steps" in await done(managed, "update", second, "--dry-run")
        assert "1.0.0 -> 1.1.0" in await done(managed, "update", second)
        assert await counted(node, "add") == ("1.1.0", 2)
        await done(managed, "configure", "counter", "step=5")
        assert await counted(node, "add") == ("1.1.0", 7)
        status, _, err = await gridlink(managed, "configure", "counter", "step=10")
        assert status == 1
        assert "at most 9" in err
        status, _, err = await gridlink(managed, "configure", "counter", "step=many")
        assert (status, "step" in err, "config.json of counter" in err) == (1, True, True)
        assert ".gridlink" not in err  # where it was tried is nothing to an operator
        assert await counted(node, "add") == ("1.1.0", 12)
        assert json.loads((managed / "counter" / "config.json").read_text()) == {"step": 5}
        assert "1.1.0 -> 1.0.0" in await done(managed, "rollback", "counter")
        assert await counted(node) == ("1.0.0", 1)
        await done(managed, "stop", "counter")
        assert node.state("counter")[0] == "STOPPED"
        await done(managed, "start", "counter")
        assert await counted(node) == ("1.0.0", 1)
        await done(managed, "uninstall", "counter")
        assert node.state("counter") == ("", "")
        assert not (managed / "counter").exists()
        assert leftovers(managed) == []
        assert "verified: 9 entries" in await done(managed, "history", "--verify")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_an_update_keeps_state_and_loses_nothing(managed: Path, tmp_path: Path, mode: str) -> None:
    """Asked without a break, each request is answered once, and the count is right."""
    first, second = await packed(tmp_path, "1.0.0", mode), await packed(tmp_path, "1.1.0", mode)
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "install", first)
        answers: list[tuple[str, int]] = []
        updating = asyncio.ensure_future(done(managed, "update", second))  # noqa: TID251
        while not updating.done() or answers[-1][0] != "1.1.0":
            answers.append(await counted(node, "add"))
        await updating
        assert [count for _, count in answers] == list(range(1, len(answers) + 1))
        assert answers[0][0] == "1.0.0"


async def test_where_the_record_can_not_be_read_a_command_is_refused_with_that(managed: Path) -> None:
    """Whether it was done before can't be told then."""
    (managed / ".gridlink" / "record").mkdir(parents=True)
    async with running(managed) as node:
        await node.all_running("lamp")
        status, _, err = await gridlink(managed, "uninstall", "lamp")
        assert (status, "the record can't be read: Is a directory" in err) == (1, True), err
        assert node.registry.find(name="lamp")


@pytest.mark.slow
async def test_a_directory_that_was_emptied_still_starts(managed: Path, tmp_path: Path) -> None:
    """Or the last `uninstall` would be one from which nobody comes back."""
    first = await packed(tmp_path, "1.0.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        await done(managed, "uninstall", "lamp")
        assert node.stop() == 0
    (managed / ".gridlink" / "node.json").unlink(missing_ok=True)
    async with running(managed) as node:
        await node.all_running("appmanager")
        await done(managed, "install", first)
        assert await counted(node, "add") == ("1.0.0", 1)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_the_modules_of_another_nodemanager_are_provisioned_through_the_appmanager(
    managed: Path, tmp_path: Path
) -> None:
    """It asks that NodeManager; who is in charge of what is known to both, and shown."""
    node2 = {"name": "node2", "version": "1.0.0", "entry": "nodemanager:NodeManager", "mode": "process"}
    (managed / "node2").mkdir()
    (managed / "node2" / "module.json").write_text(json.dumps(node2))
    first = await packed(tmp_path, "1.0.0", into="node2")
    second = await packed(tmp_path, "1.1.0", into="node2")
    bad = await packed(tmp_path, "1.2.0", into="node2", more="    async def healthy(self): return 'no'")
    async with running(managed) as node:
        await node.all_running("lamp", "node2")
        await done(managed, "install", first)
        assert await counted(node, "add") == ("1.0.0", 1)
        await done(managed, "update", second)
        assert await counted(node, "add") == ("1.1.0", 2)
        status, _, err = await gridlink(managed, "update", bad)
        assert (status, "healthy" in err) == (1, True)
        assert await counted(node) == ("1.1.0", 2)
        here = node.file["node"]
        shown = await done(managed, "show", "counter")
        assert f"app-managed by appmanager@{here}, node-managed by node2@{here}-node2" in shown
        status, _, err = await gridlink(managed, "uninstall", "node2")
        assert (status, "hosts counter" in err) == (1, True)
        await done(managed, "uninstall", "counter")
        assert node.state("counter") == ("", "")


async def test_a_version_without_a_configuration_that_is_rolled_back_to_misses_none(
    managed: Path, tmp_path: Path
) -> None:
    """What the newer one took is no business of its; nothing is gone that an operator had to put back."""
    first, second = await packed(tmp_path, "1.0.0"), await packed(tmp_path, "1.1.0")
    async with running(managed) as node:
        await done(managed, "install", first)
        assert not (managed / "counter" / "config.json").exists()
        await done(managed, "update", second)
        await done(managed, "configure", "counter", "step=2")
        assert await counted(node, "add") == ("1.1.0", 2)
        await done(managed, "rollback", "counter", "--keep-state")
        assert await counted(node, "add") == ("1.0.0", 3)
        assert "is gone" not in node.output()
