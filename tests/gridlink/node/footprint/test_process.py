"""A process's figures, against psutil and against what was really written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gridlink.node.footprint.process import a_day, beside, process_footprint

MIB = 1024 * 1024


def test_memory_and_time_are_what_psutil_reads() -> None:
    """Two ways to the same kernel."""
    found, other = process_footprint("n", os.getpid()), psutil.Process()
    memory, cpu = other.memory_full_info(), other.cpu_times()
    assert (found.name, found.pid) == ("n", os.getpid())
    assert found.pss_bytes == pytest.approx(memory.pss, rel=0.05)
    assert found.uss_bytes == pytest.approx(memory.uss, rel=0.05)
    assert found.rss_bytes == pytest.approx(memory.rss, rel=0.05)
    assert found.cpu_s == pytest.approx(cpu.user + cpu.system, abs=0.2)
    assert found.threads == other.num_threads()


WRITER = """
import os, sys
with open(sys.argv[1], "wb") as file:
    file.write(bytes(8 << 20))
    os.fsync(file.fileno())
print("written", flush=True)
sys.stdin.read()
"""


def test_bytes_written_to_a_disk_are_counted(tmp_path: Path) -> None:
    """And not yet projected to a day: it is too young for that."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "file")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        found = process_footprint("writer", process.pid)
        if found.written_bytes in (0, None):
            pytest.skip("this directory is no disk, or this kernel counts no bytes")
        assert found.written_bytes == pytest.approx(8 * MIB, rel=0.1)
        assert found.written_a_day is None
    finally:
        process.communicate()


def test_a_pace_is_projected_to_a_day_once_the_start_is_over() -> None:
    """A young process has written what a start writes."""
    assert a_day(MIB, 3600.0) == 24 * MIB
    assert a_day(MIB, 59.0) is None
    assert a_day(None, 3600.0) is None


def test_a_process_that_is_gone_raises() -> None:
    """Its reader leaves it out."""
    with pytest.raises(OSError, match="No such file"):
        process_footprint("gone", 2**22 + 1)


def test_without_a_guardian_nothing_is_beside_us() -> None:
    """This test has none."""
    assert beside() == []
