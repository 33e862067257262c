"""A power cut before every single operation on the disk, of every command: the old version or the new one, whole."""

from __future__ import annotations

import random

import pytest

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind, Step
from appmanager.provisioning.outcome import Recovered
from appmanager.provisioning.recovery import recover
from appmanager.store.journal import Journal
from gridlink.errors import StartFailed
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, PLACE, Bundles, is_new, story

KINDS = pytest.mark.parametrize("kind", list(Kind))
FAILS = pytest.mark.parametrize("fails", [None, Step.WATCH], ids=["goes well", "is rolled back"])


@KINDS
@FAILS
async def test_a_power_cut_at_every_operation_leaves_the_old_or_the_new_version_whole(
    kind: Kind, fails: Step | None, bundles: Bundles
) -> None:
    """Boards lose their power in the middle of anything; so do those that are rolling back."""
    await _cut_everywhere(kind, fails, bundles, images=3)


@pytest.mark.slow
@KINDS
@FAILS
async def test_the_same_with_many_ways_to_lose_what_is_not_durable(
    kind: Kind, fails: Step | None, bundles: Bundles
) -> None:
    """What a disk loses is chance: the more is tried, the better."""
    await _cut_everywhere(kind, fails, bundles, images=60)


async def _cut_everywhere(kind: Kind, fails: Step | None, bundles: Bundles, images: int) -> None:
    it = await story(kind, bundles)
    host = it.host()
    if fails is not None:
        host.fails[fails] = StartFailed("it isn't healthy")
    chance = random.Random(f"{kind} {fails}")
    cuts: list[tuple[str, SimulatedDisk]] = []

    def cut(operation: str) -> None:
        where = f"before operation {len(cuts) // images}, {operation}"
        cuts.extend((where, it.disk.after_cut(chance)) for _ in range(images))

    it.disk.before = cut
    outcome = await Engine(it.disk, LAYOUT, host, versions_kept=1).run(it.order)
    cut("at the end")
    expected = End.DONE if fails is None or kind is Kind.UNINSTALL else End.ROLLED_BACK
    assert outcome.end is expected, outcome
    found = {True: 0, False: 0}
    for where, disk in cuts:
        found[is_new(disk, _recovered_through_cuts(disk, chance), it, where)] += 1
    print(f"{kind}: {len(cuts)} power cuts, {found[False]} old, {found[True]} new")
    assert found[False] > 20, found
    assert found[True] > 3 or expected is not End.DONE, found


def _recovered_through_cuts(disk: SimulatedDisk, chance: random.Random) -> list[Recovered]:
    """Recovers a disk; sometimes the power is cut at a random operation of the recovery itself, once or twice."""
    for _ in range(chance.choice((0, 0, 1, 2))):
        here, image = disk.after_cut(chance), [disk]
        _cut_at(here, chance.randrange(40), image, chance)
        recover(here, LAYOUT, 0.0)
        disk.root, disk.changes = image[0].root, image[0].changes
    return recover(disk, LAYOUT, 0.0)


def _cut_at(disk: SimulatedDisk, at: int, image: list[SimulatedDisk], chance: random.Random) -> None:
    """Puts into `image` what a cut before operation `at` leaves."""
    count = iter(range(10_000))

    def cut(operation: str) -> None:
        if next(count) == at:
            image[0] = disk.after_cut(chance)

    disk.before = cut


@KINDS
async def test_a_command_that_was_cut_off_can_be_given_again(kind: Kind, bundles: Bundles) -> None:
    """The operator sees that the old version is there, and asks again."""
    it = await story(kind, bundles)
    chance, images = random.Random(7), list[SimulatedDisk]()

    def cut(operation: str) -> None:
        if chance.random() < 0.1:
            images.append(it.disk.after_cut(chance))

    host = it.host()
    it.disk.before = cut
    await Engine(it.disk, LAYOUT, host).run(it.order)
    assert len(images) > 3
    for disk in images:
        if not is_new(disk, recover(disk, LAYOUT, 0.0), it, "at random"):
            it.disk = disk
            outcome = await Engine(disk, LAYOUT, it.host()).run(it.order)
            assert outcome.end is End.DONE, outcome
            assert disk.tree(PLACE) == it.new[0]
            assert not Journal(disk, LAYOUT).modules()


@pytest.mark.parametrize(("step", "tried"), [(Step.SNAPSHOT, False), (Step.START, True), (Step.WATCH, True)])
async def test_what_a_version_did_while_it_was_tried_is_the_reason_and_none_of_the_old_one_s_doing(
    step: Step, tried: bool, bundles: Bundles
) -> None:
    """Before the new one was started, whatever ended the node wasn't its doing."""
    it, images = await story(Kind.UPDATE, bundles), list[SimulatedDisk]()
    host = it.host()

    async def ends() -> None:
        images.append(it.disk.after_cut(random.Random(7)))

    host.waits[step] = ends
    await Engine(it.disk, LAYOUT, host).run(it.order)
    (recovered,) = recover(images[0], LAYOUT, 0.0, {"lamp": "it blocked its node"})
    assert recovered.outcome is not None
    assert recovered.outcome.end is End.ROLLED_BACK
    assert (recovered.tried, "(it blocked its node)" in recovered.outcome.reason) == (tried, tried)
