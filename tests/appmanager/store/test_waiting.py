"""Commands that wait are on the disk, in their order, whenever the power is cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from appmanager.store.disk import RealDisk
from appmanager.store.waiting import Kept, Waiting
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk

DIRECTORY = Path("/own/waiting")


def test_they_are_there_in_the_order_in_which_they_came_until_they_are_removed() -> None:
    """Also one whose id would be no name of a file."""
    waiting = Waiting(SimulatedDisk(), DIRECTORY)
    for number, known_as in enumerate(("b/../c", "a", "b/../c")):
        waiting.add(known_as, "order", {"number": number})
    assert waiting.all() == [Kept("order", {"number": 0}), Kept("order", {"number": 1})]
    waiting.remove("b/../c")
    waiting.remove("nobody's")
    assert waiting.all() == [Kept("order", {"number": 1})]


def test_what_was_added_survives_a_power_cut_and_what_was_torn_counts_as_not_there() -> None:
    """At every operation of adding a second one: the first is whole, the second is there or isn't."""
    disk, chance = SimulatedDisk(), random.Random(3)
    Waiting(disk, DIRECTORY).add("1", "order", {"number": 1})
    cuts: list[SimulatedDisk] = []
    disk.before = lambda operation: cuts.extend(disk.after_cut(chance) for _ in range(5))
    Waiting(disk, DIRECTORY).add("2", "order", {"number": 2})
    assert cuts
    for cut in cuts:
        found = [kept.document["number"] for kept in Waiting(cut, DIRECTORY).all()]
        assert found in ([1], [1, 2])
    assert [kept.document["number"] for kept in Waiting(disk.after_cut(chance), DIRECTORY).all()] == [1, 2]


def test_one_that_the_disk_does_not_give_holds_up_no_other_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be read at the next start."""
    waiting = Waiting(RealDisk(), tmp_path)
    for known_as in "abc":
        waiting.add(known_as, "order", {"id": known_as})
    (second,) = tmp_path.glob("00000002-*")
    body = second.read_bytes()
    second.unlink()
    second.symlink_to(tmp_path)  # links are never followed
    assert [one.document["id"] for one in waiting.all()] == ["a", "c"]
    assert f"{second}: a command that waited isn't carried out" in caplog.text
    second.unlink()
    second.write_bytes(body)
    assert [one.document["id"] for one in waiting.all()] == ["a", "b", "c"]
