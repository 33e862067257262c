"""The record is bounded: its files are rotated, at most so many are kept, and what is on record stays known."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from appmanager.store.disk import RealDisk
from appmanager.store.record import BEGIN, Chain, Entry, Record, RecordDamaged, sealed, spelled
from appmanager.store.tree import read_whole
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk

PATH = Path("/own/record")
SEGMENT_BYTES = 1000  # three entries
SEGMENTS = 4


def entry(number: int, module: str = "lamp") -> Entry:
    """A command."""
    return Entry(f"c{number}", "update", module, "done", who="UABC", digests={"to": "d"}, at_s=float(number))


def a_record(disk: RealDisk | SimulatedDisk, path: Path) -> Record:
    """With small files, of which few are kept."""
    return Record(disk, path, SEGMENT_BYTES, SEGMENTS)


def with_entries(path: Path, count: int) -> Record:
    """On a real disk."""
    record = a_record(RealDisk(), path)
    for number in range(count):
        record.append(entry(number))
    return record


def files(directory: Path) -> list[str]:
    """The record's files."""
    return sorted(path.name for path in directory.glob("record*"))


class Watched(RealDisk):
    """A real disk that says which files are read, and has something happen while names are read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.meanwhile: list[Callable[[], object]] = []

    def open(self, path: Path) -> BinaryIO:
        self.read.append(path.name)
        return super().open(path)

    def names(self, path: Path) -> list[str]:
        found = super().names(path)
        if self.meanwhile:
            self.meanwhile.pop()()
        return found


def test_the_chain_goes_over_the_files(tmp_path: Path) -> None:
    """A file that is full is put behind the others under its first entry's number, and is whole."""
    record = with_entries(tmp_path / "record", 8)
    assert files(tmp_path) == ["record", "record.00000001", "record.00000004"]
    assert all((tmp_path / name).stat().st_size <= SEGMENT_BYTES for name in files(tmp_path))
    found = list(record.entries())
    assert [one.number for one in found] == list(range(1, 9))
    assert record.verify() == Chain(found[0], found[-1])
    assert [record.find(f"c{number}") for number in range(9)] == [*found, None]
    assert a_record(RealDisk(), tmp_path / "record").append(entry(8)).before == found[-1].hash


def test_the_oldest_is_dropped_when_all_are_full_and_the_chain_says_where_it_begins(tmp_path: Path) -> None:
    """A board's flash is small: that old ones are gone is said, what is there still holds."""
    record = with_entries(tmp_path / "record", 20)
    assert files(tmp_path) == ["record", *(f"record.{number:08d}" for number in (10, 13, 16))]
    chain = record.verify()
    assert chain is not None
    assert (chain.first.number, chain.last.number) == (10, 20)
    assert chain.first.before != BEGIN
    assert record.find("c8") is None
    assert record.find("c9") == chain.first


@pytest.mark.parametrize("count", [8, 20], ids=["not full yet", "full"])
@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_a_file_that_somebody_takes_away_is_missed(tmp_path: Path, count: int, which: str) -> None:
    """The bound is no excuse: we drop the oldest alone, and only where there are too many."""
    record = with_entries(tmp_path / "record", count)
    full = files(tmp_path)[1:]
    gone = {"first": full[0], "middle": full[1], "last": full[-1]}[which]
    (tmp_path / gone).unlink()
    with pytest.raises(RecordDamaged, match="taken files away" if which == "first" else r"record.*:1: .*changed here"):
        record.verify()


@pytest.mark.parametrize("change", ["edit", "torn"])
def test_a_change_in_a_full_file_is_found_and_it_is_named(tmp_path: Path, change: str) -> None:
    """A full file isn't written any more, so no power cut tears its last line."""
    record = with_entries(tmp_path / "record", 8)
    file = tmp_path / "record.00000004"
    body = file.read_bytes()
    file.write_bytes(body.replace(b'"at_s":5.0', b'"at_s":6.0') if change == "edit" else body[:-9])
    with pytest.raises(RecordDamaged, match=f"record.00000004:{3} *: ") as caught:
        record.verify()
    assert caught.value.line == 3
    assert [one.id for one in record.newest(9)] == [f"c{n}" for n in range(8) if n != 5 or change == "edit"]


def test_a_command_in_a_full_file_is_not_added_again(tmp_path: Path) -> None:
    """Its journal may be found at a start that comes long after its entry."""
    with_entries(tmp_path / "record", 8)
    record = a_record(RealDisk(), tmp_path / "record")
    assert record.append(entry(1)).number == 2
    assert record.append(replace(entry(1), kind="rollback")).number == 9
    assert record.find("c1") == list(record.entries())[-1]


def test_a_record_of_one_file_goes_on(tmp_path: Path) -> None:
    """As boards have it: however long it is, it is put behind as it is, and nothing of it is forgotten."""
    Record(RealDisk(), tmp_path / "record", 1_000_000).append(entry(0))
    old = Record(RealDisk(), tmp_path / "record", 1_000_000)
    for number in range(1, 20):
        old.append(entry(number))
    assert files(tmp_path) == ["record"]
    record = a_record(RealDisk(), tmp_path / "record")
    assert record.append(entry(3)).number == 4
    for number in range(20, 28):
        record.append(entry(number))
    assert files(tmp_path) == ["record", "record.00000001", "record.00000021", "record.00000024"]
    chain = record.verify()
    assert chain is not None
    assert (chain.first.number, chain.last.number) == (1, 28)
    assert record.find("c3") is not None


def test_what_is_full_is_read_once_for_ids_and_then_where_one_is(tmp_path: Path) -> None:
    """Each command looks its id up: on a board that must not cost the whole record."""
    with_entries(tmp_path / "record", 20)
    disk = Watched()
    record = a_record(disk, tmp_path / "record")
    assert record.find("nobody's") is None
    assert sorted(disk.read) == files(tmp_path)
    disk.read.clear()
    assert record.find("nobody's") is None
    assert record.append(entry(20)).number == 21
    assert set(disk.read) == {"record"}
    disk.read.clear()
    assert record.find("c13") is not None
    assert disk.read == ["record", "record.00000013"]


def test_history_and_the_last_command_of_a_module_are_read_from_the_newest_on(tmp_path: Path) -> None:
    """What is asked for most lies at the end."""
    disk = Watched()
    record = a_record(disk, tmp_path / "record")
    for number in range(12):
        record.append(entry(number, "fan" if number < 2 else "lamp"))
    disk.read.clear()
    assert [one.id for one in record.newest(4)] == ["c8", "c9", "c10", "c11"]
    assert record.latest({"lamp"}) == {"lamp": "c11"}
    assert [one.id for one in record.newest(5, "fan")] == ["c0", "c1"]
    assert record.latest({"lamp", "fan", "none"}) == {"lamp": "c11", "fan": "c1"}


@pytest.mark.parametrize("full", [True, False], ids=["the oldest is dropped", "nothing is dropped"])
def test_a_record_that_is_rotated_while_it_is_read_is_whole(tmp_path: Path, full: bool) -> None:
    """`history --verify` takes a while, and commands go on."""
    count = 18 if full else 6
    other = with_entries(tmp_path / "record", count)
    disk = Watched()
    record = a_record(disk, tmp_path / "record")
    disk.meanwhile.append(lambda: other.append(entry(count)))
    chain = record.verify()
    assert chain is not None
    assert chain.last.number == count + 1


def test_a_file_of_that_number_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    """Somebody has put a copy back: nothing is lost for it."""
    record = with_entries(tmp_path / "record", 3)
    (tmp_path / "record.00000001").write_bytes(b"a copy")
    with pytest.raises(FileExistsError, match="put it aside"):
        record.append(entry(3))
    assert (tmp_path / "record.00000001").read_bytes() == b"a copy"
    (tmp_path / "record.00000001").unlink()
    assert record.append(entry(3)).number == 4


def test_after_the_newest_file_was_put_aside_the_chain_goes_on_from_the_full_ones(tmp_path: Path) -> None:
    """It was damaged, and a person has done what the error says."""
    record = with_entries(tmp_path / "record", 8)
    (tmp_path / "record").unlink()
    assert record.append(entry(9)).number == 7
    chain = record.verify()
    assert chain is not None
    assert chain.last.number == 7


def test_ids_are_known_by_four_bytes_each(tmp_path: Path) -> None:
    """The AppManager of a board has them in memory for years."""
    last, lines = BEGIN, []
    for number in range(5000):
        one = sealed(replace(entry(number), number=number + 1, before=last))
        last = one.hash
        lines.append(spelled(one))
    (tmp_path / "record").write_bytes(b"".join(lines))
    record = Record(RealDisk(), tmp_path / "record")
    record.append(entry(5000))
    record = Record(RealDisk(), tmp_path / "record")
    assert files(tmp_path) == ["record", "record.00000001"]
    tracemalloc.start()
    try:
        assert record.find("nobody's") is None
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 32 * 1024
    assert most < 128 * 1024


def test_a_power_cut_at_any_operation_of_a_rotation_takes_nothing_that_was_acknowledged() -> None:
    """The rename, the drop of the oldest and the new file, each done, undone or torn; again while that is mended."""
    disk, chance = SimulatedDisk(), random.Random(5)
    disk.put(Path("/own/other"), b"")
    cuts: list[tuple[int, SimulatedDisk]] = []
    seen: set[str] = set()
    acknowledged = 0

    def before(operation: str) -> None:
        seen.add(operation.partition(" ")[0])
        cuts.extend((acknowledged, disk.after_cut(chance)) for _ in range(5))

    disk.before = before
    record = a_record(disk, PATH)
    for number in range(17):
        record.append(entry(number))
        acknowledged = number + 1
    assert seen >= {"rename", "unlink", "create", "fsync_dir", "write", "fsync"}
    for count, found in cuts:
        again: list[SimulatedDisk] = []
        found.before = lambda operation, found=found, again=again: again.append(found.after_cut(chance))  # type: ignore[misc]
        _goes_on(found, count)
        for once_more in again:
            once_more.before = lambda operation: None
            _goes_on(once_more, count)
    assert len(cuts) > 300


def _goes_on(disk: SimulatedDisk, count: int) -> None:
    """After a cut: every entry that was acknowledged and isn't older than the bound is there, once, in one chain."""
    record = a_record(disk, PATH)
    record.append(entry(99))
    chain, ids = record.verify(), [one.id for one in record.entries()]
    assert chain is not None
    assert chain.last.id == "c99"
    assert chain.last.number in (count + 1, count + 2)  # the one that was cut off may be there
    assert len(set(ids)) == len(ids) == chain.last.number - chain.first.number + 1
    assert ids[:-1] == [f"c{number}" for number in range(chain.first.number - 1, chain.last.number - 1)]
    assert len(ids) >= min(count, 3 * (SEGMENTS - 1))
    assert None not in map(record.find, ids)
    full = [name for name in disk.names(PATH.parent) if name.startswith("record.")]
    assert len(full) <= SEGMENTS
    assert all(len(read_whole(disk, PATH.parent / name)) <= SEGMENT_BYTES for name in full)
