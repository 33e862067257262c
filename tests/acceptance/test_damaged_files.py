"""Files of a managed directory that have turned bad: the node starts, what is whole runs, and what isn't is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from appmanager.provisioning.machine import Kind, Step
from appmanager.provisioning.plan import Order, Plan, spelled, spelled_order
from appmanager.store.disk import RealDisk
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from appmanager.store.waiting import Waiting
from gridlink.testing import eventually
from tests.acceptance.running import LONG, Running, bundle, good, running
from tests.acceptance.test_provisioning import answer, counted, done, gridlink, packed

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "half": lambda body: body[: len(body) // 2],
    "zeros": lambda body: bytes(len(body)),
    "other": lambda body: bytes(byte ^ 0x5A for byte in body),
}
UNREAD = ("/bundle/", "/state", ".contents.json", "lock", "nats", "record", "accepted", "version.json", ".pyc", "logs/")
"""Parts of the paths of what a start doesn't read, or writes anew: there is nobody to name it."""


async def used(directory: Path) -> Path:
    """A managed directory that has seen all kinds of commands; and one that was cut off, and one that waits."""
    managed = directory / "managed"
    for name in ("lamp", "bulb"):
        bundle(managed, name, good(name))
    versions = [await packed(directory, f"1.{number}.0") for number in range(3)]
    async with running(managed) as node:
        await node.all_running("lamp", "bulb")
        await done(managed, "install", versions[0])
        for version in versions[1:]:
            await counted(node, "add")
            await done(managed, "update", version)
        await done(managed, "configure", "counter", "step=2")
        await done(managed, "move", "bulb", "--mode", "fork")
        assert node.stop() == 0
    layout = Layout(managed)
    journal = Journal(RealDisk(), layout)
    journal.begin("counter", spelled(Plan(Order("x", Kind.CONFIGURE, "counter", settings={"step": 3}), "counter")))
    journal.write("counter", Step.STAGE)
    Waiting(RealDisk(), layout.waiting).add(
        "y", "run", {"id": "y", "kind": "stop", "module": "bulb", "who": "", "signed": ""}
    )
    return managed


def damage(file: Path, how: str) -> None:
    """Has the file turn bad."""
    file.write_bytes(DAMAGES[how](file.read_bytes()))


async def settled(node: Running, name: str) -> str:
    """The state of a module once it runs, or was found not to."""

    async def found() -> str:
        state = node.state(name)[0]
        return state if state in ("RUNNING", "FAILED", "BACKOFF") else ""

    reached: str = await eventually(found, timeout_s=20)
    return reached


@pytest.mark.timeout(120)
async def test_a_node_starts_though_everything_that_it_can_do_without_is_damaged(tmp_path: Path) -> None:
    """All at once, as when a flash chip dies; and the module can be brought back with commands."""
    managed = await used(tmp_path)
    own = managed / ".gridlink"
    waiting, kept = next((own / "waiting").iterdir()), own / "versions" / "counter"
    last = max(kept.iterdir())
    files = [own / "modes.json", own / "journal" / "counter", waiting, own / "states" / "counter"]
    files += [last / "version.json", own / "accepted" / "counter.json", managed / "counter" / "module.json"]
    for file, how in zip(files, cycle(DAMAGES), strict=False):
        damage(file, how)
    async with running(managed) as node:
        await node.all_running("lamp", "bulb")
        assert await settled(node, "counter") == "FAILED"
        assert f"{managed}/counter/module.json: expected JSON" in node.state("counter")[1]
        for name in ("modes.json", "journal-counter", f"waiting-{waiting.name}"):
            await eventually(partial(_says, node, f"put aside as {own}/damaged/{name}"), timeout_s=10)
            assert (own / "damaged" / name).exists()
        status, _, err = await gridlink(managed, "rollback", "counter")
        assert status == 1
        assert f"(kept: 1.0.0; {last.name} is damaged: {last}/version.json: " in err, err
        bad = await packed(tmp_path, "9.0.0", more="    async def start(self): raise RuntimeError('no start')")
        status, _, err = await gridlink(managed, "update", bad)
        assert (status, "no start" in err, "going back" in err) == (1, True, False), err
        assert node.state("counter")[0] == "FAILED"
        assert f"{managed}/counter/module.json: expected JSON" in node.state("counter")[1]
        assert "1.0.0" in await done(managed, "rollback", "counter", "--to", "1.0.0")
        assert await counted(node) == ("1.0.0", 1)
        assert f"version {last.name} can't be gone back to, and is removed" in node.output()


async def _says(node: Running, text: str) -> bool:
    return text in node.output()


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_each_file_of_a_managed_directory_may_turn_bad(tmp_path: Path) -> None:
    """One after the other, each in one of four ways: the node starts, the others run, the damaged one is named."""
    managed = await used(tmp_path)
    files = [path.relative_to(managed) for path in sorted(managed.rglob("*")) if path.is_file()]
    assert len(files) > 20
    for number, (file, how) in enumerate(zip(files, cycle(DAMAGES), strict=False)):
        here = tmp_path / str(number) / "managed"
        shutil.copytree(managed, here)
        damage(here / file, how)
        told = f"{file}: {how}"
        async with running(here, *LONG) as node:
            victim = file.parts[0] if file.parts[0] != ".gridlink" else ""
            await node.all_running(*{"lamp", "bulb", "counter"} - {victim})
            if victim:
                state = await settled(node, victim)
                assert state == "RUNNING" or str(here / file) in node.output() or victim in node.state(victim)[1], told
            else:
                assert (await answer(node) or ("", 0))[0] == "1.2.0", told
            if (not victim or file.suffix == ".json") and not any(part in str(file) for part in UNREAD):
                await eventually(partial(_says, node, str(here / file)), timeout_s=10)
        shutil.rmtree(here.parent)


def deep(directory: Path) -> None:
    """A directory whose last names are longer than a path may be, so that `remove` fails, for whoever it is."""
    directory.mkdir()
    here = os.open(directory, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


async def test_what_the_disk_does_not_give_at_all_keeps_nothing_else_from_being_done(tmp_path: Path) -> None:
    """Neither read nor removed nor put aside: the journals are mended, and the other command that waited is done."""
    managed = tmp_path / "managed"
    for name in ("lamp", "bulb"):
        bundle(managed, name, good(name))
    layout = Layout(managed)
    journal, waiting = Journal(RealDisk(), layout), Waiting(RealDisk(), layout.waiting)
    journal.begin("bulb", spelled(Plan(Order("x", Kind.CONFIGURE, "bulb", settings={"a": 3}), "bulb")))
    journal.write("bulb", Step.STAGE)
    waiting.add("bad", "order", {})
    (bad,) = layout.waiting.iterdir()
    waiting.add("y", "order", spelled_order(Order("y", Kind.UNINSTALL, "lamp")))
    bad.unlink()
    bad.mkdir()
    deep(layout.dry_run)
    (layout.own / "modes.json").mkdir()
    (layout.own / "damaged").write_text("no directory")
    async with running(managed) as node:
        await eventually(partial(_says, node, "what a dry run has left can't be removed"), timeout_s=10)
        await eventually(lambda: Journal(RealDisk(), layout).modules() == [], timeout_s=10)
        await eventually(lambda: list(layout.waiting.iterdir()) == [bad], timeout_s=10)
        await node.all_running("bulb")
        assert not layout.place("lamp").exists()
        assert "what operators chose is lost, it is left where it is: " in node.output()
        assert f"{bad}: a command that waited isn't carried out: it can't be read" in node.output()
