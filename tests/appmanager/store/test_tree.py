"""Files written whole, and trees moved and removed, on a real disk and through power cuts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from appmanager.provisioning.pending import pending
from appmanager.store.disk import Disk, RealDisk
from appmanager.store.journal import Journal, whole_lines
from appmanager.store.layout import Layout
from appmanager.store.tree import copy, move, read_whole, remove_durably, write_whole
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk

FILE, OTHER = Path("/d/file"), Path("/e/file")


@pytest.mark.parametrize(
    "work", [lambda disk: write_whole(disk, FILE, b"new" * 500), lambda disk: copy(disk, OTHER, FILE)]
)
def test_a_file_is_old_or_new_after_a_power_cut(work: Callable[[Disk], None]) -> None:
    """Never half, never missing; new once the call has returned."""
    disk, chance = SimulatedDisk(), random.Random(5)
    disk.put(FILE, b"old")
    disk.put(OTHER, b"new" * 500)
    cuts: list[SimulatedDisk] = []
    disk.before = lambda operation: cuts.extend(disk.after_cut(chance) for _ in range(20))
    work(disk)
    assert {read_whole(found, FILE) for found in cuts} == {b"old", b"new" * 500}
    assert {read_whole(disk.after_cut(chance), FILE) for _ in range(20)} == {b"new" * 500}


def test_a_move_may_be_done_again() -> None:
    """After a cut in its middle."""
    disk = SimulatedDisk()
    disk.put(FILE, b"x")
    disk.put(Path("/e/other"), b"")
    move(disk, FILE, OTHER)
    move(disk, FILE, OTHER)
    assert (disk.kind(FILE), read_whole(disk, OTHER)) == ("", b"x")


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    """Whoever can put a link into a bundle must not be able to delete what it points to."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "precious")
    disk = RealDisk()
    assert disk.kind(tmp_path / "tree" / "link") == "other"
    remove_durably(disk, tmp_path / "tree")
    assert (tmp_path / "precious" / "file").exists()
    (tmp_path / "link").symlink_to(tmp_path / "precious" / "file")
    with pytest.raises(OSError, match="symbolic links"):
        disk.open(tmp_path / "link")


def test_a_journal_is_read_up_to_what_a_power_cut_tore(tmp_path: Path) -> None:
    """At every byte: the steps before it, and no other."""
    layout = Layout(tmp_path)
    journal = Journal(RealDisk(), layout)
    assert not pending(str(tmp_path))
    journal.begin("lamp", {"order": "x"})
    assert pending(str(tmp_path))
    for step in ("stage", "switch", "start"):
        journal.write("lamp", step)
    file = layout.journals / "lamp"
    body = file.read_bytes()
    ends = [at for at in range(len(body) + 1) if at == 0 or body[at - 1 : at] == b"\n"]
    for size in range(len(body)):
        assert len(whole_lines(body[:size])) == sum(end <= size for end in ends) - 1
        garbled = body[:size] + bytes([body[size] ^ 1]) + body[size + 1 :]
        assert len(whole_lines(garbled)) <= 4
    found = journal.read("lamp")
    assert found is not None
    assert (found.plan, found.steps) == ({"order": "x"}, ("stage", "switch", "start"))
    journal.end("lamp")
    journal.end("lamp")
    assert (journal.read("lamp"), journal.modules(), pending(str(tmp_path))) == (None, [], False)
    layout.journals.rmdir()
    layout.journals.write_text("no directory")
    assert pending(str(tmp_path))  # whoever mends says so
