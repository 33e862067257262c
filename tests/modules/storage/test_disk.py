"""A disk that is full, read-only or damaged: the error says what to do, nothing is lost, work goes on."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import StoreDamaged, StoreError, StoreUnavailable
from storage.limits import Limits
from storage.sample import Row
from storage.schema import connect_writer
from storage.store import Store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here (needs root): {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True, timeout=10)


async def _add_until_refused(store: Store, first: int) -> tuple[int, StoreError]:
    """Returns the number after the last acknowledged one, and the error."""
    number = first
    while True:
        try:
            await store.add([Row("p", float(number + step), 1.0) for step in range(500)])
        except StoreError as error:
            return number, error
        number += 500


async def test_a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space(small_disk: Path) -> None:
    """The commonest failure of a board; and the writer must not need a restart after it."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    path = small_disk / "measurements.db"
    async with Store(path) as store:
        await store.create_data_point("p", "kW")
        acknowledged, error = await _add_until_refused(store, 0)
        assert isinstance(error, StoreUnavailable)
        assert str(path) in str(error)
        assert "free some space" in str(error)
        assert acknowledged > 0
        kept = await store.between("p", 0.0, 1e9, 10_000)
        assert [at for at, _ in kept.samples] == [float(n) for n in range(min(acknowledged, 10_000))]
        ballast.unlink()
        await store.add([Row("p", float(acknowledged), 2.0)])
        assert (await store.newest("p")).samples == [(float(acknowledged), 2.0)]
        assert store.status().rows == acknowledged + 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM measurement").fetchone() == (acknowledged + 1,)


async def test_events_outlast_a_full_disk(small_disk: Path) -> None:
    """They wait in memory, readable, and are written when there is space; the status says why they wait."""
    ballast = small_disk / "ballast"
    async with Store(small_disk / "m.db") as store:
        await store.create_data_point("p", "kW")
        await _fill_disk(ballast)
        await _add_until_refused(store, 0)
        await _fill_disk(ballast)
        await store.record([Row(f"v{number}", 1.0, 1.0) for number in range(999)], "pu")
        with pytest.raises(StoreUnavailable, match="free some space"):
            await store.flush()
        assert "free some space" in (store.status().last_error or "")
        assert (await store.newest("v7")).samples == [(1.0, 1.0)]
        ballast.unlink()
        await store.flush()
        assert store.status().last_error is None
        assert (store.status().events_buffered, store.status().events_dropped) == (0, 0)
        assert (await store.newest("v7")).samples == [(1.0, 1.0)]


async def _fill_disk(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


async def test_a_store_on_a_read_only_file_system_is_told_and_opens_after_a_remount(small_disk: Path) -> None:
    """What a board finds after a boot with a failing card: the file, and what to do about it."""
    async with Store(small_disk / "m.db") as store:
        await store.create_data_point("p", "kW")
        await store.add([Row("p", 1.0, 1.0)])
    _remount(small_disk, "ro")
    with pytest.raises(StoreUnavailable, match=r"m\.db: .*(writable|opened)"):
        await Store(small_disk / "m.db").open()
    _remount(small_disk, "rw")
    async with Store(small_disk / "m.db") as store:
        assert (await store.newest("p")).samples == [(1.0, 1.0)]


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """The text names the file and what to do; the store must not overwrite what it can't read."""
    path = tmp_path / "measurements.db"
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(StoreDamaged, match=r"measurements\.db is damaged.*\.recover.*start storage again"):
        await Store(path).open()
    assert path.read_bytes() == b"not a database " * 1000


async def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    """Not even its journal mode may change."""
    path = tmp_path / "measurements.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StoreDamaged, match="is no store of this module"):
        await Store(path).open()
    assert path.read_bytes() == before


async def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """After a roll-back of the module the newer file must not be written by the older code."""
    path = tmp_path / "measurements.db"
    async with Store(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreDamaged, match="schema version 99, expected 1"):
        await Store(path).open()


async def test_a_damaged_page_is_an_error_and_not_a_wrong_answer(tmp_path: Path) -> None:
    """Found in the middle of work: the request fails with the advice, other data points can still be read."""
    path = tmp_path / "measurements.db"
    async with Store(path, Limits()) as store:
        await store.create_data_point("p", "kW")
        for first in range(0, 20_000, 1000):
            await store.add([Row("p", float(first + step), 1.0) for step in range(1000)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 8192 * 4096)
        file.write(b"\xff" * 8192)
    store = await Store(path).open()
    with pytest.raises(StoreDamaged, match="recover"):
        for first in range(0, 20_000, 5000):
            await store.between("p", float(first), float(first + 5000), 10_000)
    await store.aclose()


async def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """The text says what to check."""
    with pytest.raises(StoreUnavailable, match="check that its folder exists"):
        await Store(tmp_path / "none" / "m.db").open()


async def test_the_connection_is_as_durable_as_promised(tmp_path: Path) -> None:
    """WAL with synchronous=FULL, a small cache and no mapped memory, read from the live connection."""
    promised = {
        "synchronous": 2,
        "journal_mode": "wal",
        "auto_vacuum": 2,
        "mmap_size": 0,
        "cache_size": -256,
        "wal_autocheckpoint": 256,
    }
    with closing(connect_writer(tmp_path / "m.db")) as connection:
        found = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in promised}
    assert found == promised


async def test_a_store_that_was_copied_away_opens_elsewhere(tmp_path: Path) -> None:
    """A backup is a plain copy of a closed file; odd characters in its path don't matter."""
    async with Store(tmp_path / "m.db") as store:
        await store.create_data_point("p", "kW")
        await store.add([Row("p", 1.0, 1.0)])
    odd = tmp_path / "a b?c#d%e"
    odd.mkdir()
    shutil.copy(tmp_path / "m.db", odd / "m.db")
    async with Store(odd / "m.db") as store:
        assert (await store.newest("p")).samples == [(1.0, 1.0)]
