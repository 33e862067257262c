"""Keeps a node from taking the machine's last memory: what one module takes too much of is refused to it, and named.

The process may hold as much private memory as was free, on the machine or in a cgroup of its own, but for a reserve, or
as the operator says. Past it Python raises MemoryError where more is asked for. Then the module with the most objects
is told to the guardian, and the node ends: the next one is without it, and all that it held is the machine's again.
"""

from __future__ import annotations

import resource
from pathlib import Path

from gridlink.node.admission import read_free

MIB = 1024 * 1024
RESERVE_PART = 0.05  # of the machine's memory, kept for the rest of it
RESERVE_LEAST_MIB = 16.0


class MemoryLimit:
    """Of this process. `memory_mib`: what it may take; None: what is free when `renew` is called, but for a reserve."""

    def __init__(self, memory_mib: float | None) -> None:
        self._memory_mib = memory_mib
        self._former = resource.getrlimit(resource.RLIMIT_DATA)
        self._is_lifted = False

    def renew(self) -> None:
        """Sets the limit by what is free now."""
        hard = self._former[1]
        room = self._room_bytes()
        if room is None or self._is_lifted:
            return
        wanted = _status_bytes("VmData:") + room
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))

    def lift(self) -> None:
        """Gives the room that it takes to say what happened, for good; may be called twice."""
        self._is_lifted = True
        resource.setrlimit(resource.RLIMIT_DATA, self._former)

    def _room_bytes(self) -> int | None:
        if self._memory_mib is not None:
            return max(0, int(self._memory_mib * MIB) - _status_bytes("RssAnon:"))
        try:
            lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
            total_mib, free_mib = (int(lines[name].split()[0]) / 1024 for name in ("MemTotal", "MemAvailable"))
        except (OSError, KeyError, ValueError):
            return None  # this system doesn't say
        room_mib = free_mib - max(RESERVE_LEAST_MIB, total_mib * RESERVE_PART)
        tightest = read_free()
        if tightest is not None:  # a cgroup may leave less than the machine
            room_mib = min(room_mib, tightest.mib - RESERVE_LEAST_MIB)
        return int(max(0.0, room_mib) * MIB)


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0
