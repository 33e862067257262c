"""A record that is damaged goes on without the part that is: nothing of it is lost, and it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appmanager.store.disk import RealDisk
from appmanager.store.keeping_on import append_anyhow, unreadable
from appmanager.store.layout import Layout
from appmanager.store.record import Entry, Record, RecordDamaged

DISK = RealDisk()


def entry(id: str) -> Entry:
    """A command."""
    return Entry(id, "update", "lamp", "done", "x" * 300, at_s=1.0)


def zeroed(lines: list[bytes], at: int) -> bytes:
    """The lines, one of them nothing but zeros."""
    return b"".join(bytes(len(line) - 1) + b"\n" if n == at else line for n, line in enumerate(lines))


@pytest.mark.parametrize("at", [0, 2])
def test_a_damaged_middle_is_put_aside_and_the_next_entry_says_so(tmp_path: Path, at: int) -> None:
    """The chain that begins then holds, and a second part is put beside the first one."""
    layout = Layout(tmp_path)
    for number in (1, 2):
        record = Record(DISK, layout.record)
        for name in "abcd":
            append_anyhow(DISK, layout, record, entry(f"{name}{number}"))
        whole = layout.record.read_bytes()
        layout.record.write_bytes(zeroed(whole.splitlines(keepends=True), at))
        assert unreadable(DISK, layout).startswith(f"{layout.record}:{at + 1} can't be read")
        with pytest.raises(RecordDamaged):
            record.append(entry("e"))
        assert append_anyhow(DISK, layout, record, entry(f"e{number}")).number == 2
        mark, last = record.newest(9)
        assert (mark.kind, mark.outcome, last.id) == ("record", "damaged", f"e{number}")
        aside = layout.own / "damaged" / f"record-{number}"
        assert str(aside) in mark.reason
        assert aside.read_bytes() == zeroed(whole.splitlines(keepends=True), at)
        assert record.verify() is not None
        assert unreadable(DISK, layout) == ""


def spoil_full(layout: Layout) -> None:
    """The last entry of the newest full file is damaged, and nothing comes after it."""
    path = sorted(layout.own.glob("record.*"))[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(zeroed(lines, len(lines) - 1))
    layout.record.unlink()


def spoil_both(layout: Layout) -> None:
    """The file that is appended to, too."""
    spoil_full(layout)
    layout.record.write_bytes(b"\n" + bytes(70_000) + b"\n")


def spoil_end(layout: Layout) -> None:
    """Both, but of the file that is appended to the whole entries can still be read."""
    written = layout.record.read_bytes()
    spoil_full(layout)
    layout.record.write_bytes(written + bytes(70_000) + b"\n")


@pytest.mark.parametrize(("spoil", "parts"), [(spoil_full, 1), (spoil_both, 2)])
def test_a_full_file_by_which_the_chain_would_go_on_is_put_aside_too(
    tmp_path: Path, spoil: Callable[[Layout], None], parts: int
) -> None:
    """Each part has an entry of its own; the older files stay, and the chain goes on from them."""
    layout = Layout(tmp_path)
    record = Record(DISK, layout.record, segment_bytes=2000)
    for number in range(12):
        append_anyhow(DISK, layout, record, entry(str(number)))
    assert len(list(layout.own.glob("record.*"))) > 1
    spoil(layout)
    record = Record(DISK, layout.record, segment_bytes=20_000)
    append_anyhow(DISK, layout, record, entry("last"))
    assert [one.kind for one in record.newest(parts + 1)] == ["record"] * parts + ["update"]
    assert len(list((layout.own / "damaged").iterdir())) == parts
    assert record.verify() is not None


def test_what_is_no_damage_is_raised_as_it_was(tmp_path: Path) -> None:
    """A disk that refuses is not a record that is damaged: nothing is put aside."""
    layout = Layout(tmp_path)
    layout.record.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        append_anyhow(DISK, layout, Record(DISK, layout.record), entry("a"))
    assert layout.record.is_dir()


def test_a_full_file_that_was_put_aside_was_not_taken_away_where_the_oldest_is_dropped(tmp_path: Path) -> None:
    """The record says so itself; one more that is gone is missed, and once it is full again each one is."""
    layout = Layout(tmp_path)
    record = Record(DISK, layout.record, segment_bytes=2000, segments=4)

    def fill(name: str, count: int) -> None:
        for number in range(count):
            append_anyhow(DISK, layout, record, entry(f"{name}{number}"))

    fill("a", 24)
    for name, spoil in (("b", spoil_full), ("c", spoil_end)):
        spoil(layout)
        record = Record(DISK, layout.record, segment_bytes=2000, segments=4)
        fill(name, 1)
        chain = record.verify()
        assert chain is not None
        assert chain.first.number > 1
    assert len(list(layout.own.glob("record.*"))) < 3
    fill("d", 3)
    assert record.verify() is not None
    fill("e", 20)
    full = sorted(layout.own.glob("record.*"))
    assert len(full) == 3
    assert record.verify() is not None
    full[0].unlink()
    with pytest.raises(RecordDamaged, match="somebody has taken files away"):
        record.verify()


def test_one_more_than_the_record_says_is_missed(tmp_path: Path) -> None:
    """That one file was put aside is no excuse for another."""
    layout = Layout(tmp_path)
    record = Record(DISK, layout.record, segment_bytes=2000, segments=4)
    for number in range(24):
        append_anyhow(DISK, layout, record, entry(str(number)))
    spoil_full(layout)
    record = Record(DISK, layout.record, segment_bytes=2000, segments=4)
    append_anyhow(DISK, layout, record, entry("last"))
    assert record.verify() is not None
    min(layout.own.glob("record.*")).unlink()
    with pytest.raises(RecordDamaged, match=r"only 1 full files \(with 1 that it says were put aside\) come before"):
        record.verify()
