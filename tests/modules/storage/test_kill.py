"""What was acknowledged survives kill -9 at a random moment."""

import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from storage.store import Store

CHILD = Path(__file__).with_name("writer_child.py")
ROUNDS = 20


def _killed_after(folder: Path, first: int, delay_s: float) -> set[int]:
    """Run the child until it acknowledges, let it go on, kill it; returns what it acknowledged."""
    command = [sys.executable, str(CHILD), str(folder), "8", "100000", str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)}) as child:
        try:
            assert child.stdout is not None
            printed = b""
            end_s: float | None = None
            deadline_s = time.monotonic() + 20
            while end_s is None or time.monotonic() < end_s:
                assert time.monotonic() < deadline_s, "the child never acknowledged anything"
                if select.select([child.stdout], [], [], 0.001)[0]:
                    printed += os.read(child.stdout.fileno(), 65536)
                    end_s = end_s or time.monotonic() + delay_s
        finally:
            child.send_signal(signal.SIGKILL)
        printed += child.stdout.read()
    return {int(line) for line in printed.split(b"\n")[:-1]}


def test_everything_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Twenty rounds in one folder, so that recovery itself is followed by the next kill."""
    chance = random.Random(7)
    acknowledged: set[int] = set()
    for number in range(ROUNDS):
        acknowledged |= _killed_after(tmp_path, number * 1_000_000, chance.uniform(0.0, 0.12))
        with closing(sqlite3.connect(tmp_path / "measurements.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            stored = {int(at) for (at,) in connection.execute("SELECT timestamp_s FROM measurement")}
        assert acknowledged <= stored
    assert len(acknowledged) > 20 * ROUNDS


async def test_a_store_that_was_killed_counts_its_rows_anew(tmp_path: Path) -> None:
    """The number of rows is kept without writing it; after a crash it must still be right."""
    _killed_after(tmp_path, 0, 0.05)
    async with Store(tmp_path / "measurements.db") as store:
        with closing(sqlite3.connect(tmp_path / "measurements.db")) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM measurement").fetchone()
        assert store.status().rows == rows > 0
