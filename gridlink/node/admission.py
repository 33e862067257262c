"""Whether what the manifests say that they need (`resources.memory_mib`) is free: refused before anything starts.

Free is what the kernel could give without swapping (MemAvailable), or less where a cgroup of ours, v1 or v2, allows
less. A bundle that declares nothing counts as nothing. The decision is pure; `read_free` reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gridlink.node.plan import Planned

MIB = 1024 * 1024
RESERVE_MIB = 16.0  # kept for what declares nothing: the node itself, nats-server, the system
_NO_LIMIT_MIB = 1 << 30  # a petabyte: how cgroup v1 says that there is none


class Free(Struct, frozen=True):
    """Memory that is free, and of what: `this machine`, or a cgroup with its limit."""

    mib: float
    of: str


def admitted(planned: Sequence[Planned], free: Free | None, running: Collection[str] = ()) -> list[Planned]:
    """The plan, with what doesn't fit refused, in its order. Those that are `running` have their memory already.

    `free` is None where it isn't known: then nothing is refused.
    """
    found: list[Planned] = []
    promised: dict[str, float] = {}
    for one in planned:
        needs_mib = one.manifest.resources.memory_mib if one.manifest is not None else None
        if free is None or needs_mib is None or one.refused or one.name in running:
            found.append(one)
            continue
        why = refusal(needs_mib, free, promised)
        if not why:
            promised[one.name] = needs_mib
        found.append(replace(one, refused=why))
    return found


def refusal(needs_mib: float, free: Free, promised: dict[str, float], own_mib: float = 0.0) -> str:
    """Why a bundle that needs so much doesn't fit beside what was `promised` to others; empty where it does.

    `own_mib`: promised to what runs of it and gives that back: who needs no more than that has it already.
    """
    left_mib = free.mib + own_mib - RESERVE_MIB - sum(promised.values())
    if needs_mib <= max(left_mib, own_mib):
        return ""
    own = f", {_number(own_mib)} it gives back" if own_mib else ""
    others = f", {_number(sum(promised.values()))} promised to {', '.join(promised)}" if promised else ""
    return (
        f"it needs {_number(needs_mib)} MiB (resources.memory_mib), and {max(left_mib, 0):.0f} MiB are left for it: "
        f"{free.mib:.0f} MiB of {free.of} are free, {RESERVE_MIB:g} are kept{own}{others}: end something, give it "
        "more, or lower the number if the module takes less"
    )


def _number(mib: float) -> str:
    return f"{mib:.1f}".removesuffix(".0")


def read_free(root: Path = Path("/")) -> Free | None:
    """What is free now, by the tightest limit; None where this system doesn't say. `root`: where /proc and /sys are."""
    found = [*_machine(root), *_cgroups(root)]
    return min(found, key=lambda free: free.mib) if found else None


def _machine(root: Path) -> Iterator[Free]:
    available = _field(root / "proc/meminfo", "MemAvailable:")
    if available is not None:
        yield Free(available / 1024, "this machine")


def _cgroups(root: Path) -> Iterator[Free]:
    """Each cgroup that this process is in, up to the topmost, that has a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounted = root / "sys/fs/cgroup"
            names = ("memory.max", "memory.current", "inactive_file ")
        elif "memory" in controllers.split(","):
            mounted = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        else:
            continue
        directory = mounted / path.strip("/")
        for group in (directory, *directory.parents):
            if not group.is_relative_to(mounted):
                break
            yield from _cgroup(group, *names)


def _cgroup(group: Path, limit_file: str, used_file: str, reclaimable_field: str) -> Iterator[Free]:
    """A cgroup with a limit. Pages of files that nobody uses count as free: the kernel takes them first."""
    try:
        limit_mib = int((group / limit_file).read_text()) / MIB
        used_mib = int((group / used_file).read_text()) / MIB
    except (OSError, ValueError):  # another mount, or `max`: no limit
        return
    if limit_mib < _NO_LIMIT_MIB:
        reclaimable_mib = (_field(group / "memory.stat", reclaimable_field) or 0) / MIB
        yield Free(max(limit_mib - used_mib + reclaimable_mib, 0.0), f"the cgroup's {limit_mib:.0f} MiB ({group})")


def _field(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line[len(name) :].split()[0]) for line in lines if line.startswith(name)), None)
