"""The record: what is in it can't be changed unseen, and a power cut takes nothing that was written."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import pytest

from appmanager.moving import MoveOrder
from appmanager.orders import BundleOrder, ConfigureOrder, RollbackOrder, RunOrder, UninstallOrder
from appmanager.store import record as store_record
from appmanager.store.disk import RealDisk
from appmanager.store.record import (
    BEGIN,
    Chain,
    Entry,
    EntryTooLong,
    Record,
    RecordDamaged,
    sealed,
    spelled,
)
from appmanager.store.segments import MAX_LINE_BYTES
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk

PATH = Path("/own/record")


def entry(number: int) -> Entry:
    """A command."""
    return Entry(f"c{number}", "update", "lamp", "done", who="UABC", digests={"to": "d"}, at_s=float(number))


def _verified(record: Record) -> tuple[int, int]:
    """From which entry to which."""
    chain = record.verify()
    assert chain is not None
    return chain.first.number, chain.last.number


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Five entries."""
    made = Record(RealDisk(), tmp_path / "record")
    for number in range(5):
        made.append(entry(number))
    return made


def test_entries_are_chained(record: Record) -> None:
    """Each names the one before."""
    found = list(record.entries())
    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert found[0].before == BEGIN
    assert [one.before for one in found[1:]] == [one.hash for one in found[:-1]]
    assert record.verify() == Chain(found[0], found[-1])
    assert record.find("c2") == found[2]
    assert record.find("none") is None


def test_the_same_command_is_not_added_twice(record: Record) -> None:
    """A power cut came between its entry and the end of its journal."""
    assert record.append(entry(3)).number == 4
    assert len(list(record.entries())) == 5


@pytest.mark.parametrize("change", ["edit", "remove", "swap", "insert", "rehash", "cut in a line"])
def test_a_change_is_found_and_its_line_named(record: Record, tmp_path: Path, change: str) -> None:
    """Whoever covers a command up has to write anew all that follows it."""
    file = tmp_path / "record"
    lines = file.read_bytes().splitlines(keepends=True)
    match change:
        case "edit":
            lines[2] = lines[2].replace(b"UABC", b"UXYZ")
        case "remove":
            del lines[2]
        case "swap":
            lines[2], lines[3] = lines[3], lines[2]
        case "insert":
            lines.insert(2, lines[1])
        case "rehash":
            other = Record(RealDisk(), tmp_path / "other")
            lines[2] = (tmp_path / "other").read_bytes() if other.append(entry(2)) else b""
        case "cut in a line":
            lines[2] = lines[2][:20] + b"\n"
    file.write_bytes(b"".join(lines))
    with pytest.raises(RecordDamaged, match="record:3: ") as caught:
        record.verify()
    assert caught.value.line == 3


def test_a_last_line_that_was_torn_is_cut_off(record: Record, tmp_path: Path) -> None:
    """It was never acknowledged; the next entry must not be glued to it."""
    with (tmp_path / "record").open("ab") as file:
        file.write(b'{"id": "c9", "kin')
    assert _verified(record) == (1, 5)
    assert record.append(entry(5)).number == 6
    assert _verified(Record(RealDisk(), tmp_path / "record")) == (1, 6)


def test_damage_in_the_middle_stops_it_from_going_on(record: Record, tmp_path: Path) -> None:
    """What is damaged is put aside by a person, not cut off by a program."""
    file = tmp_path / "record"
    file.write_bytes(file.read_bytes().replace(b'{"id":"c1"', b'{"id":!!!!', 1))
    with pytest.raises(RecordDamaged, match="put the file aside"):
        record.append(entry(9))


def test_what_was_read_once_is_not_decoded_again(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board has its record for years: a command must not cost a second for it."""
    decoded: list[bytes] = []
    read = store_record._read

    def counted(body: bytes) -> Entry | None:
        decoded.append(body)
        return read(body)

    monkeypatch.setattr(store_record, "_read", counted)
    for number in range(5, 25):
        record.append(entry(number))
    assert len(decoded) == 20
    decoded.clear()
    assert record.append(entry(7)).number == 8
    assert record.find("c20") is not None
    assert record.find("c99") is None
    assert len(decoded) == 3


@pytest.mark.parametrize("becomes", ["gone", "shorter", "another", "longer"])
def test_a_record_that_was_put_aside_or_changed_meanwhile_is_read_anew(
    record: Record, tmp_path: Path, becomes: str
) -> None:
    """A person may do so while the node runs."""
    file, number = tmp_path / "record", 1
    lines = file.read_bytes().splitlines(keepends=True)
    match becomes:
        case "gone":
            file.unlink()
        case "shorter":
            file.write_bytes(b"".join(lines[:3]))
            number = 4
        case "another":
            file.write_bytes(b"".join(lines[:-1]) + spelled(sealed(replace(entry(4), who="UXYZ", number=5, hash=""))))
            number = 6
        case "longer":
            Record(RealDisk(), file).append(entry(5))
            number = 7
    added = record.append(entry(9))
    assert (added.number, list(record.entries())[-1]) == (number, added)
    assert [one.number for one in record.entries()] == list(range(1, number + 1))


@pytest.mark.parametrize("reason", ["x" * 70_000, "\x00" * 70_000, "\U0001f4a1" * 70_000, "a\udcffb"])
def test_a_reason_of_any_length_is_cut_and_its_entry_stays(record: Record, reason: str) -> None:
    """A module says in its error what it likes; a command that was done must stay on record."""
    record.append(replace(entry(5), reason=reason))
    record.append(entry(6))
    assert [one.id for one in record.entries()][-2:] == ["c5", "c6"]
    assert _verified(record) == (1, 7)
    found = record.find("c5")
    assert found is not None
    assert found.reason[0] == reason[0]


@pytest.mark.parametrize("field", ["id", "who", "signed"])
def test_an_entry_that_would_be_too_long_is_refused(record: Record, field: str) -> None:
    """Read again, it would look like one that a power cut tore."""
    with pytest.raises(EntryTooLong, match="its entry is 7"):
        record.append(msgspec.convert({**asdict(entry(5)), field: "x" * 70_000}, Entry))
    assert record.append(entry(6)).number == 6


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_longer_than_any_entry_is_damage_and_is_not_cut_off(record: Record, tmp_path: Path, ends: bool) -> None:
    """No power cut tears more than one entry off."""
    file = tmp_path / "record"
    with file.open("ab") as written:
        written.write(b'{"id":"c9"' + b"," * MAX_LINE_BYTES + (b"}\n" if ends else b""))
    before = file.read_bytes()
    with pytest.raises(RecordDamaged, match="record:6: "):
        record.verify()
    with pytest.raises(RecordDamaged, match="put the file aside"):
        record.append(entry(6))
    assert file.read_bytes() == before


@pytest.mark.parametrize("type", [BundleOrder, ConfigureOrder, UninstallOrder, RollbackOrder, RunOrder, MoveOrder])
def test_an_order_with_a_long_id_or_sender_is_not_taken(type: type) -> None:
    """It is refused before anything is done, since what is done has to fit on record."""
    order = {"id": "1", "module": "lamp", "name": "lamp", "mode": "node", "digest": "d", "source": "s", "who": "desk"}
    msgspec.convert(order, type)
    for field, length in (("id", 65), ("who", 129)):
        with pytest.raises(msgspec.ValidationError, match="length <= "):
            msgspec.convert({**order, field: "x" * length}, type)


def test_what_was_acknowledged_outlasts_a_power_cut_at_every_operation() -> None:
    """Written, fsynced, and only then answered."""
    disk, chance = SimulatedDisk(), random.Random(3)
    disk.put(Path("/own/other"), b"")
    acknowledged: list[str] = []
    cuts: list[tuple[int, SimulatedDisk]] = []
    disk.before = lambda operation: cuts.extend((len(acknowledged), disk.after_cut(chance)) for _ in range(10))
    record = Record(disk, PATH)
    for number in range(6):
        record.append(entry(number))
        acknowledged.append(entry(number).id)
    assert len(cuts) > 100
    for count, found in cuts:
        again = Record(found, PATH)
        again.append(entry(99))
        again.verify()
        ids = [one.id for one in again.entries()]
        assert ids[:count] == acknowledged[:count]
        assert ids[-1] == "c99"
        assert len(ids) <= count + 2
