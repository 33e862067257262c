"""Counting memory: what /proc says is read right, and nothing outside of the set changes what the set takes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gridlink.bench import pages
from gridlink.bench.errors import BenchFailed
from gridlink.bench.pages import OF_A_FILE, PAGE_BYTES, PRESENT, FileMapping, Sample

ROLLUP = """5633b4ade000-7ffff2792000 ---p 00000000 00:00 0                          [rollup]
Rss:                1696 kB
Pss:                 310 kB
Pss_Anon:            112 kB
Pss_Shmem:             0 kB
Private_Clean:        40 kB
Private_Dirty:       112 kB
"""
MAPS = """00400000-00403000 r-xp 00001000 fe:00 42                         /usr/bin/python3.11
00600000-00700000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 r--p 00000000 fe:00 43                 /usr/lib/a name with spaces.so
"""
KIB = 1024


def sample(anonymous_kib: int, *numbers: int) -> Sample:
    """A process with so much anonymous memory, and these pages of one file."""
    rollup = parsed(anonymous_kib)
    return Sample(rollup, tuple(("fe:00", "42", number) for number in numbers))


def parsed(anonymous_kib: int) -> dict[str, int]:
    """The fields of a rollup, in bytes."""
    fields = pages.parse_rollup(ROLLUP)
    return {**fields, "Pss_Anon": anonymous_kib * KIB}


@contextmanager
def idle_python() -> Iterator[int]:
    """The pid of a bare interpreter that has started and waits."""
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


def test_a_rollup_is_read_in_bytes() -> None:
    """kB is KiB in /proc: a factor wrong here would be wrong in every report."""
    fields = pages.parse_rollup(ROLLUP)
    assert fields["Rss"] == 1696 * KIB
    assert fields["Private_Dirty"] == 112 * KIB


@pytest.mark.parametrize(
    ("text", "names"),
    [("", "Pss_Anon"), (ROLLUP.replace("Pss_Anon", "Pss_Other"), "Pss_Anon"), (ROLLUP + "Rss: many kB\n", "many")],
)
def test_a_rollup_of_another_kernel_is_refused(text: str, names: str) -> None:
    """A field that is missing must not count as 0."""
    with pytest.raises(BenchFailed, match=names):
        pages.parse_rollup(text)


def test_only_mappings_of_files_are_kept() -> None:
    """Anonymous memory is the rollup's; a name with spaces must not shift the columns."""
    found = pages.parse_maps(MAPS)
    assert found == [
        FileMapping(0x400000, 0x403000, "fe:00", "42", 0x1000 // PAGE_BYTES),
        FileMapping(0x7F0000000000, 0x7F0000001000, "fe:00", "43", 0),
    ]


def test_pages_that_are_absent_or_written_to_are_not_the_files() -> None:
    """A page that was written to is the process's own copy, and counted as anonymous already."""
    mapping = FileMapping(0, 4 * PAGE_BYTES, "fe:00", "42", 7)
    entries = [PRESENT | OF_A_FILE, OF_A_FILE, PRESENT, PRESENT | OF_A_FILE | 5]
    assert [number for _, _, number in pages.file_pages(mapping, entries)] == [7, 10]


@pytest.mark.parametrize(
    ("samples", "expected_kib"),
    [
        ({1: sample(100, 0, 1)}, {1: 108}),
        ({1: sample(100, 0, 1), 2: sample(50, 1)}, {1: 106, 2: 52}),
        ({1: sample(0, 0, 0)}, {1: 4}),
        ({1: sample(0, 0), 2: sample(0, 0), 3: sample(0, 0), 4: sample(0, 0)}, dict.fromkeys((1, 2, 3, 4), 1)),
    ],
)
def test_a_page_is_divided_among_those_of_the_set_that_map_it(
    samples: dict[int, Sample], expected_kib: dict[int, int]
) -> None:
    """The sum over the set counts each page once, also one that is mapped twice by a process."""
    if PAGE_BYTES != 4096:
        pytest.skip("the table is for pages of 4 KiB")
    found = pages.footprints(samples)
    assert {pid: one.pss / KIB for pid, one in found.items()} == expected_kib


def test_what_is_counted_of_a_process_is_all_that_is_resident() -> None:
    """Anonymous memory and the files' pages must add up to the kernel's own RSS, or pages are missed."""
    with idle_python() as pid:
        one = pages.sample(pid)
        counted = one.rollup["Anonymous"] + len(one.file_pages) * PAGE_BYTES
        assert counted == pytest.approx(one.rollup["Rss"], abs=64 * KIB)


def test_another_python_beside_the_set_changes_the_kernels_pss_but_not_ours() -> None:
    """This is why pss is not simply read from smaps_rollup: the bench itself would make its subject smaller."""
    with idle_python() as pid:
        alone = pages.measure([pid])[pid]
        with idle_python(), idle_python():
            beside = pages.measure([pid])[pid]
    assert beside.kernel_pss < alone.kernel_pss
    assert beside.pss == pytest.approx(alone.pss, rel=0.02)
    assert beside.kernel_pss < beside.pss <= beside.rss


def test_two_processes_of_the_set_share_the_interpreter() -> None:
    """Two take less than twice one, or sharing is not seen at all."""
    with idle_python() as first, idle_python() as second:
        alone = pages.measure([first])[first].pss
        both = sum(one.pss for one in pages.measure([first, second]).values())
    assert alone * 1.05 < both < alone * 1.95


def test_a_process_that_is_gone_is_said_so() -> None:
    """A node that died while it settled must not be reported as small."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    with pytest.raises(BenchFailed, match=str(process.pid)):
        pages.measure([process.pid])


def test_those_that_run_the_same_interpreter_are_found() -> None:
    """The report names what dilutes the kernel's figure."""
    with idle_python() as pid:
        assert {pid, os.getpid()} <= set(pages.sharers(sys.executable, []))
        assert pid not in pages.sharers(sys.executable, [pid])
