"""What was acknowledged survives a power cut at any moment, in a model harsher than a real file system."""

import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.modules.storage import power_cut

CHILD = Path(__file__).with_name("writer_child.py")
STRACE = shutil.which("strace")
CUTS = 200


def _traced(folder: Path, writers: int, each: int) -> list[power_cut.Step]:
    if STRACE is None:
        pytest.skip("strace is not installed: apt-get install strace")
    trace = folder.with_suffix(".trace")
    options = ["-f", "-y", "-xx", "-s", "70000", "-e", f"trace={power_cut.TRACED}", "-o", str(trace)]
    ended = subprocess.run(
        [STRACE, *options, sys.executable, str(CHILD), str(folder), str(writers), str(each), "0"],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        timeout=50,
        check=False,
    )
    if b"ptrace" in ended.stderr and ended.returncode:
        pytest.skip(f"strace may not trace here: {ended.stderr.decode()[:200]}")
    assert ended.returncode == 0, ended.stderr
    return power_cut.steps(trace, folder)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[power_cut.Step]:
    """What 4 writers wrote in 160 acknowledged rounds: enough for a checkpoint and a restart of the log."""
    folder = tmp_path_factory.mktemp("traced") / "data"
    folder.mkdir()
    return _traced(folder, writers=4, each=160)


def _acknowledged(disk: power_cut.Disk) -> set[int]:
    return {int(number) for printed in disk.printed for number in printed.split()}


def _stored(folder: Path, left: dict[str, bytes]) -> set[int]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in left.items():
        (folder / name).write_bytes(content)
    database = folder / "measurements.db"
    if not database.exists():
        return set()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return set()
        found = connection.execute("SELECT timestamp_s, value FROM measurement").fetchall()
    assert all(value == number * 0.5 for number, value in found)
    return {int(number) for number, _ in found}


def _lost(history: list[power_cut.Step], folder: Path, cuts: set[int], seed: int) -> list[str]:
    chance = random.Random(seed)
    disk = power_cut.Disk()
    lost = []
    for index, step in enumerate(history):
        if index in cuts:
            missing = _acknowledged(disk) - _stored(folder, disk.after_cut(chance))
            if missing:
                lost.append(f"cut before step {index}: {sorted(missing)[:5]} were acknowledged and are gone")
        disk.apply(step)
    return lost


def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(history: list[power_cut.Step], tmp_path: Path) -> None:
    """The promise of the store; the cuts cover making the file, commits, checkpoints, restarts of the log."""
    seed = 20260101
    checkpoints = {index + 1 for index, step in enumerate(history) if step.path.endswith(".db")}
    cuts = set(random.Random(seed).sample(range(len(history)), CUTS)) | set(range(60)) | checkpoints
    assert not _lost(history, tmp_path / "cut", cuts, seed)


def test_the_trace_covers_a_checkpoint_and_a_restart_of_the_log(history: list[power_cut.Step]) -> None:
    """Without them the test above would not try the moments where the log is written over."""
    wal_starts = [s for s in history if s.kind == "write" and s.path.endswith("-wal") and s.offset == 0]
    synced_database = [s for s in history if s.kind == "sync" and s.path.endswith(".db")]
    assert len(wal_starts) >= 2
    assert len(synced_database) >= 3


@pytest.mark.parametrize(
    "forget",
    [lambda step: step.path.endswith("-wal"), lambda step: step.path.endswith(".db")],
    ids=["log", "database"],
)
def test_the_model_notices_a_missing_fsync(
    history: list[power_cut.Step], tmp_path: Path, forget: Callable[[power_cut.Step], bool]
) -> None:
    """A model that loses nothing would prove nothing: without the fsyncs of one file it must find losses."""
    careless = [step for step in history if step.kind != "sync" or not forget(step)]
    cuts = set(range(len(careless) // 2, len(careless), len(careless) // 30))
    try:
        lost = _lost(careless, tmp_path / "cut", cuts, seed=1)
    except (AssertionError, sqlite3.DatabaseError):
        return
    assert lost


def test_each_acknowledgement_comes_after_an_fsync_of_the_log(history: list[power_cut.Step]) -> None:
    """Between two acknowledgements of one writer the log is synced: none is given from memory."""
    last: dict[int, int] = {}
    syncs = 0
    for step in history:
        if step.kind == "sync" and re.search(r"-wal$", step.path):
            syncs += 1
        elif step.kind == "printed":
            writer = int(step.data) // 160
            assert syncs > last.get(writer, 0)
            last[writer] = syncs
    assert len(last) == 4
