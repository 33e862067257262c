"""What a process takes, as /proc shows it: memory, CPU time, bytes written. Read on demand, never on a timer.

The kernel's PSS divides a shared page among all processes that map it. Reading it costs the more the larger
the process is: 0.4 ms for a bare interpreter.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_DAY_S = 86400.0
_SETTLED_S = 60.0  # a younger process has written what a start writes: that times a day says nothing


@dataclass(frozen=True, slots=True)
class ProcessFootprint:
    """One process; bytes, and None for what this kernel or user can't read.

    `written_bytes`: to block devices since its start; a RAM disk's don't count. `written_a_day`: at that pace.
    """

    name: str  # a node's, or guardian, nats-server
    pid: int
    up_s: float
    cpu_s: float
    threads: int
    rss_bytes: int
    pss_bytes: int | None
    uss_bytes: int | None
    written_bytes: int | None
    written_a_day: float | None


def process_footprint(name: str, pid: int) -> ProcessFootprint:
    """Reads one process. Raises OSError where it is gone."""
    process = Path("/proc") / str(pid)
    fields = (process / "stat").read_text().rpartition(")")[2].split()  # from the third on: see proc(5)
    up_s = float(Path("/proc/uptime").read_text().split()[0]) - int(fields[19]) / _TICKS
    rollup, io = _kilobytes(process / "smaps_rollup"), _numbers(process / "io")
    written = io.get("write_bytes")
    return ProcessFootprint(
        name=name,
        pid=pid,
        up_s=up_s,
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
        threads=int(fields[17]),
        rss_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        pss_bytes=rollup.get("Pss"),
        uss_bytes=rollup["Private_Clean"] + rollup["Private_Dirty"] if "Private_Dirty" in rollup else None,
        written_bytes=written,
        written_a_day=a_day(written, up_s),
    )


def a_day(written: int | None, up_s: float) -> float | None:
    """Bytes a day at the pace since the start; None where that is not known yet."""
    return written / up_s * _DAY_S if written is not None and up_s >= _SETTLED_S else None


def _kilobytes(path: Path) -> dict[str, int]:
    """The fields of a `smaps_rollup` in bytes; none where it can't be read (Linux before 4.14, another user's)."""
    try:
        lines = path.read_text().splitlines()[1:]
    except OSError:
        return {}
    fields = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in fields if rest.endswith(" kB")}


def _numbers(path: Path) -> dict[str, int]:
    """The fields of an `io`; none where it can't be read."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {name: int(rest) for name, _, rest in (line.partition(":") for line in lines)}


def beside() -> list[ProcessFootprint]:
    """The guardian that has forked this node, and the nats-servers that it runs; nothing where none has."""
    guardian = os.getppid()
    found = []
    try:
        if b"appmanager.guardian" not in (Path("/proc") / str(guardian) / "cmdline").read_bytes():
            return []
        children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
        found.append(process_footprint("guardian", guardian))
        servers = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "nats-server"]
        found += [process_footprint("nats-server", int(pid)) for pid in servers]
    except OSError:  # one has just ended, or this kernel lists no children
        return found
    return found
