"""What a child's process may take, kept by the kernel: memory and processor by cgroups, else what rlimits can do.

Loaded where a bundle names `resources` or the site names another user, and nowhere else.
"""

from __future__ import annotations

import os

from appmanager.guardian import cgroups
from appmanager.guardian.cgroups import Cgroups, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appmanager.guardian.log import Log

PERIOD_US = 100_000
MIB = 1024 * 1024
STACKS_BYTES = 32 * MIB  # a data limit counts the stacks of threads as they are reserved: four worker threads'
NICENESS = 10


class Limits:
    """Makes the confinement of each child, by what the machine offers; that is looked up once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cgroups: Cgroups | None = None

    def confine(self, name: str, words: str, ours: Iterable[int]) -> Confinement:
        """`words`: `memory=BYTES`, `cpu=CPUS`, `user=NAME:UID:GID`, each of which may be missing."""
        wanted = dict(word.split("=", 1) for word in words.split())
        if self._cgroups is None and {"memory", "cpu"} & wanted.keys():
            self._cgroups = cgroups.find(ours)
            self._tell(self._cgroups)
        return Confinement(name, wanted, self._cgroups, self._log)

    def _tell(self, found: Cgroups) -> None:
        if set(cgroups.CONTROLLERS) <= found.parents.keys():
            self._log.info(f"limits of memory and processor are kept by cgroups v{2 if found.is_v2 else 1}")
            return
        self._log.info(
            "limits: there is no cgroup for memory and cpu that is ours to write to, so a module that takes too much "
            "memory gets a MemoryError, and one with a limit of cpu runs at a lower priority; systemd's Delegate=yes "
            "would give us one"
        )


class Confinement:
    """The limits of one child. Made in the guardian, entered in the child, closed when the child has ended."""

    def __init__(self, name: str, wanted: dict[str, str], found: Cgroups | None, log: Log) -> None:
        self._name, self._log = name, log
        self._memory_bytes, self._cpu = int(wanted.get("memory", 0)), float(wanted.get("cpu", 0))
        self._user = wanted.get("user", "")
        self._is_v2 = found is not None and found.is_v2
        self._places: dict[str, str] = {}
        if found is not None:
            needed = [name for name in cgroups.CONTROLLERS if name in wanted and name in found.parents]
            try:
                self._places = found.make(name, needed)
                if "memory" in self._places:
                    self._limit_memory(self._places["memory"])
            except OSError as error:
                self._log.error(f"{name}: no cgroup could be made for its limits: {error}")
                self.close()

    def _limit_memory(self, place: str) -> None:
        limit = str(self._memory_bytes)
        names = ("memory.max",) if self._is_v2 else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        for name in names:
            path = os.path.join(place, name)
            if name == names[0] or os.path.exists(path):
                write(path, limit)
        swap = os.path.join(place, "memory.swap.max")
        if self._is_v2 and os.path.exists(swap):
            write(swap, "0")

    def entered(self, run: Callable[[int, int], int], is_fresh: bool) -> Callable[[int, int], int]:
        """`run`, inside of the limits. `is_fresh`: it becomes another program, whose memory begins at nothing."""

        def confined(say_fd: int, held_fd: int) -> int:
            for place in set(self._places.values()):
                write(os.path.join(place, "cgroup.procs"), "0")
            if self._memory_bytes and "memory" not in self._places:
                _limit_data((0 if is_fresh else _data_bytes()) + self._memory_bytes + STACKS_BYTES)
            if self._cpu and "cpu" not in self._places:
                os.nice(NICENESS)
            if self._user:
                _become(self._user)
            return run(say_fd, held_fd)

        return confined

    def started(self) -> None:
        """The child is ready: from now on its processor time is limited too (its start is anybody's)."""
        place = self._places.get("cpu")
        if place is None:
            return
        quota_us = max(1000, int(self._cpu * PERIOD_US))
        try:
            if self._is_v2:
                write(os.path.join(place, "cpu.max"), f"{quota_us} {PERIOD_US}")
            else:
                write(os.path.join(place, "cpu.cfs_period_us"), str(PERIOD_US))
                write(os.path.join(place, "cpu.cfs_quota_us"), str(quota_us))
        except OSError as error:
            self._log.error(f"{self._name}: its processor time can't be limited: {error}")

    def verdict(self) -> str:
        """Whether the child was killed at its limit of memory, in words; else empty. Before `close`."""
        place = self._places.get("memory")
        if place is None:
            return ""
        file = "memory.events" if self._is_v2 else "memory.oom_control"
        if not cgroups.number_in(os.path.join(place, file), "oom_kill"):
            return ""
        mib = self._memory_bytes // MIB
        return (
            f"it was killed at its memory limit of {mib} MiB (resources.memory_mib, and 24 for the interpreter): look "
            "for what it keeps, or raise resources.memory_mib"
        )

    def close(self) -> None:
        """Says how long the limit of processor time held the child back, and removes the cgroups."""
        if "cpu" in self._places:
            file = os.path.join(self._places["cpu"], "cpu.stat")
            microseconds = cgroups.number_in(file, "throttled_usec") + cgroups.number_in(file, "throttled_time") // 1000
            if microseconds > 1_000_000:
                self._log.info(
                    f"{self._name}: its limit of {self._cpu:g} cpu held it back for {microseconds / 1e6:.0f} s in all"
                )
        for place in set(self._places.values()):
            cgroups.remove(place)
        self._places = {}


def _limit_data(limit_bytes: int) -> None:
    """Heap and anonymous memory; not the address space, in which libraries and thread arenas only reserve."""
    import resource  # noqa: PLC0415 - in the child alone

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))


def _data_bytes() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _become(user: str) -> None:
    """Another user, with that user's groups: for good. Raises OSError."""
    name, uid, gid = user.split(":")
    os.initgroups(name, int(gid))
    os.setgid(int(gid))
    os.setuid(int(uid))
