"""How much memory a set of processes takes, whatever else runs on the machine. Reads /proc; the arithmetic is pure.

The kernel's PSS divides a page of the interpreter or of a `.so` among all processes that map it, also those outside
of the set: this very benchmark, a shell (libc), another Python. A set would seem the smaller, the more runs beside it.
So a page of a file is divided here among the processes *of the set* that map it (`/proc/PID/pagemap` says which those
are); pages of no file can be shared by fork alone, inside the set, so the kernel's figure is right for them. On a
machine where nothing else maps the files, both are the same number.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gridlink.bench.errors import BenchFailed

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PRESENT, OF_A_FILE = 1 << 63, 1 << 61
MIB = 1024 * 1024

Page = tuple[str, str, int]
"""A page of a file: device, inode, number of the page in the file."""


@dataclass(frozen=True, slots=True)
class FileMapping:
    """One line of /proc/PID/maps that maps a file: addresses, and the first page of the file that is mapped."""

    start: int
    end: int
    device: str
    inode: str
    first_page: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one process takes, in bytes. `pss`: as if only the set ran; `kernel_pss`: as the kernel divides it now."""

    pss: float
    kernel_pss: int
    uss: int
    rss: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One process, as /proc showed it: the fields of smaps_rollup in bytes, and its pages that belong to files."""

    rollup: Mapping[str, int]
    file_pages: tuple[Page, ...]


def parse_rollup(text: str) -> dict[str, int]:
    """The fields of a `smaps_rollup`, in bytes. Raises BenchFailed for a text that has none of them."""
    fields: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        if unit != "kB" or not number.isdigit():
            raise BenchFailed(f"smaps_rollup: expected `Name: number kB`, came {line!r}: this kernel isn't known")
        fields[name] = int(number) * 1024
    missing = {"Rss", "Pss", "Pss_Anon", "Pss_Shmem", "Private_Clean", "Private_Dirty"} - fields.keys()
    if missing:
        raise BenchFailed(
            f"smaps_rollup: expected {', '.join(sorted(missing))}, not there: Linux 5.4 or later has them"
        )
    return fields


def parse_maps(text: str) -> list[FileMapping]:
    """The mappings of files in a `maps`; those of no file (inode 0) are left out."""
    found = []
    for line in text.splitlines():
        addresses, _, offset, device, inode, *_ = line.split(None, 5)
        if inode != "0":
            start, end = (int(address, 16) for address in addresses.split("-"))
            found.append(FileMapping(start, end, device, inode, int(offset, 16) // PAGE_BYTES))
    return found


def file_pages(mapping: FileMapping, entries: Iterable[int]) -> list[Page]:
    """The pages of the file that are present, by the mapping's entries of `pagemap`; written ones are the process's."""
    wanted = PRESENT | OF_A_FILE
    return [
        (mapping.device, mapping.inode, mapping.first_page + number)
        for number, entry in enumerate(entries)
        if entry & wanted == wanted
    ]


def footprints(samples: Mapping[int, Sample]) -> dict[int, Footprint]:
    """What each process of a set takes. The sum of `pss` counts every page of the set once."""
    holders = Counter(page for sample in samples.values() for page in set(sample.file_pages))
    return {pid: _footprint(sample, holders) for pid, sample in samples.items()}


def _footprint(sample: Sample, holders: Mapping[Page, int]) -> Footprint:
    rollup = sample.rollup
    of_files = sum(PAGE_BYTES / holders[page] for page in set(sample.file_pages))
    return Footprint(
        pss=rollup["Pss_Anon"] + of_files,
        kernel_pss=rollup["Pss"],
        uss=rollup["Private_Clean"] + rollup["Private_Dirty"],
        rss=rollup["Rss"],
    )


def sample(pid: int) -> Sample:
    """Reads one process. Raises BenchFailed where it is gone or can't be read."""
    process = Path("/proc") / str(pid)
    try:
        rollup = parse_rollup((process / "smaps_rollup").read_text())
        pages: list[Page] = []
        with (process / "pagemap").open("rb", buffering=0) as pagemap:
            for mapping in parse_maps((process / "maps").read_text()):
                first, last = mapping.start // PAGE_BYTES, mapping.end // PAGE_BYTES
                body = os.pread(pagemap.fileno(), (last - first) * 8, first * 8)
                pages += file_pages(mapping, struct.unpack(f"={len(body) // 8}Q", body))
    except OSError as error:
        raise BenchFailed(
            f"process {pid}: its memory can't be read: {error}: run as its user, on Linux 5.4 or later"
        ) from error
    return Sample(rollup, tuple(pages))


def measure(pids: Iterable[int]) -> dict[int, Footprint]:
    """What each of these processes takes, as a set. Raises BenchFailed."""
    return footprints({pid: sample(pid) for pid in pids})


def sharers(program: str, of_the_set: Iterable[int]) -> list[int]:
    """The processes outside of the set, ours too, that run the same interpreter: they dilute the kernel's PSS."""
    wanted = os.stat(program)
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            its = os.stat(f"/proc/{name}/exe")
        except OSError:
            continue  # gone, a kernel thread, or somebody else's
        if (its.st_dev, its.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(int(name))
    return sorted(set(found) - set(of_the_set))


def mib(number: float) -> float:
    """Bytes as MiB, to what can be measured."""
    return round(number / MIB, 2)
