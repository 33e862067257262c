"""Files that have turned bad below `.gridlink`, at any moment of any command: every module is mended or named."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind
from appmanager.provisioning.plan import Order
from appmanager.provisioning.recovery import recover
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from appmanager.store.versions import Versions
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, PLACE, Bundles, story

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "half": lambda body: body[: len(body) // 2],
    "zeros": lambda body: bytes(len(body)),
    "other": lambda body: bytes(byte ^ 0x5A for byte in body),
    "first line": lambda body: body.partition(b"\n")[2],
    "a bit in its middle": lambda body: body[: len(body) // 2] + b"\xff" + body[len(body) // 2 + 1 :],
}
EMPTY = (Kind.INSTALL, Kind.UNINSTALL)  # those that begin or end with nothing in place


def is_whole(place: dict[str, bytes], version: dict[str, bytes], damaged: str) -> bool:
    """Whether it is that version; a file of it that was damaged where it was kept is as it was there."""
    differ = [name for name in {*place, *version} if place.get(name) != version.get(name)]
    return all(name in place and damaged.endswith((name, "/before.json")) for name in differ)


def damaged(disk: SimulatedDisk) -> Iterator[tuple[str, SimulatedDisk]]:
    """The disk with one file below `.gridlink` damaged, for each of them and in each way."""
    chance = random.Random(1)
    for path, body in disk.tree(LAYOUT.own).items():
        for how, damage in DAMAGES.items():
            if damage(body) != body:
                other = disk.after_cut(chance)
                other.put(LAYOUT.own / path, damage(body))
                yield f"{path}: {how}", other


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_damaged_file_keeps_no_module_from_its_old_or_new_version(kind: Kind, bundles: Bundles) -> None:
    """In each step of each command: what is in place afterwards is whole, and nothing is left to be mended twice."""
    it = await story(kind, bundles)
    cuts: dict[str, SimulatedDisk] = {}

    def cut(operation: str) -> None:
        if operation.startswith(("rename", "rmdir")) and "journal" not in operation:
            cuts[operation] = it.disk.after_cut(random.Random(3))

    it.disk.before = cut
    await Engine(it.disk, LAYOUT, it.host()).run(it.order)
    cuts["at the end"] = it.disk.after_cut(random.Random(3))
    tried = 0
    for where, image in cuts.items():
        for what, disk in damaged(image):
            tried += 1
            recovered = recover(disk, LAYOUT, 0.0)
            told = f"{where}, {what}: {[one.outcome or one.resume for one in recovered]}"
            place = disk.tree(PLACE)
            path = what.partition(":")[0]
            whole = is_whole(place, it.old[0], path) or is_whole(place, it.new[0], path)
            assert whole or (not place and kind in EMPTY), told
            assert not any(one.outcome and one.outcome.end is End.BROKEN for one in recovered), told
            if not any(one.resume for one in recovered):
                assert Journal(disk, LAYOUT).modules() == [], told
            if what.startswith("journal/") and what.endswith(("empty", "half", "zeros", "other")):
                assert recovered, told
    assert tried > 50


@pytest.mark.parametrize("file", ["version.json", "bundle/module.json"])
@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "first line"])
async def test_a_damaged_version_counts_as_not_kept_and_rollback_says_which_others_are(
    file: str, how: str, bundles: Bundles, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is taken further back than they think; and the next update removes it, aloud."""
    it = await story(Kind.ROLLBACK, bundles)
    one, digest = bundles["1.0.0"]
    it.receives, host = one, it.host()
    engine = Engine(it.disk, LAYOUT, host)
    again = Order("3", Kind.UPDATE, "lamp", digest=digest, older=True)
    host.receives = one
    assert (await engine.run(again)).end is End.DONE
    last = Versions(it.disk, LAYOUT).kept("lamp")[-1]
    path = LAYOUT.version("lamp", last.number) / file
    it.disk.put(path, DAMAGES[how](it.disk.tree(path.parent)[path.name]))
    refused = await engine.run(Order("4", Kind.ROLLBACK, "lamp"))
    assert refused.end is End.REFUSED
    assert f"(kept: 1.0.0; {last.number} is damaged: {path}" in refused.reason, refused
    assert "with --to" in refused.reason
    assert (await engine.run(Order("5", Kind.UPDATE, "lamp", digest=digest, older=True))).reason == ""
    assert f"version {last.number} can't be gone back to, and is removed: {path}" in caplog.text
    assert Journal(it.disk, LAYOUT).modules() == []
    assert (await engine.run(Order("6", Kind.ROLLBACK, "lamp", to="1.0.0"))).end is End.DONE


async def test_a_module_between_two_renames_whose_journal_is_damaged_is_put_back(bundles: Bundles) -> None:
    """It would be gone, else: no version is in place then, and nobody knows why."""
    it = await story(Kind.UPDATE, bundles)
    images: list[SimulatedDisk] = []

    def cut(operation: str) -> None:
        if operation == f"rename {LAYOUT.staged('lamp')} {PLACE}":
            images.append(it.disk.after_cut(random.Random(3)))

    it.disk.before = cut
    await Engine(it.disk, LAYOUT, it.host()).run(it.order)
    (disk,) = images
    assert disk.tree(PLACE) == {}
    disk.put(LAYOUT.journals / "lamp", b"")
    (recovered,) = recover(disk, LAYOUT, 0.0)
    assert recovered.outcome is not None
    assert "version 1.0.0, which was kept last, is put back" in recovered.outcome.reason
    assert disk.tree(PLACE) == it.old[0]
    assert disk.tree(Layout(LAYOUT.managed).own / "damaged") == {"journal-lamp": b""}


async def test_one_that_was_being_uninstalled_is_not_brought_back_nor_is_an_older_one(bundles: Bundles) -> None:
    """Nobody has asked for a version of last year."""
    it = await story(Kind.ROLLBACK, bundles)  # 2.0.0 is in place, 1.0.0 is kept
    images: list[SimulatedDisk] = []

    def cut(operation: str) -> None:
        if "journal" in operation and it.disk.kind(PLACE) == "" and not images:
            images.append(it.disk.after_cut(random.Random(3)))

    it.disk.before = cut
    await Engine(it.disk, LAYOUT, it.host()).run(Order("u", Kind.UNINSTALL, "lamp"))
    (disk,) = images
    assert disk.tree(LAYOUT.versions("lamp") / "000001" / "bundle")
    disk.put(LAYOUT.journals / "lamp", b"")
    (recovered,) = recover(disk, LAYOUT, 0.0)
    assert recovered.outcome is not None
    assert "none is put back" in recovered.outcome.reason
    assert "000002 was being uninstalled" in recovered.outcome.reason
    assert disk.tree(PLACE) == {}
