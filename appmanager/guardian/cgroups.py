"""The cgroups of this machine, as the guardian finds them: v1 or v2, where its own may be written to.

A limited child gets one below the guardian's own, `gridlink.GUARDIAN.NAME`, in each hierarchy that it needs. v2 wants
that a cgroup with children holds no process itself, so what runs already moves into `gridlink.GUARDIAN.main`; where
somebody else's process is in it (a shell's session), nothing is touched: systemd's `Delegate=yes` gives us one alone.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CONTROLLERS = ("memory", "cpu")
PREFIX = "gridlink."


class Cgroups:
    """Where cgroups can be made: a directory for each controller that is to be had; v2 has one for both."""

    def __init__(self, parents: dict[str, str], is_v2: bool) -> None:
        self.parents, self.is_v2 = parents, is_v2

    def make(self, name: str, controllers: Iterable[str]) -> dict[str, str]:
        """Makes the cgroups of a child; returns their directories by controller. Raises OSError."""
        made = {}
        for controller in controllers:
            directory = os.path.join(self.parents[controller], f"{PREFIX}{os.getpid()}.{name}")
            os.makedirs(directory, exist_ok=True)
            made[controller] = directory
        return made


def find(ours: Iterable[int]) -> Cgroups:
    """What can be used; `ours` are the processes that it may move. What dead guardians have left is removed."""
    v1, v2 = own_directories(_read("/proc/self/cgroup"), _read("/proc/self/mountinfo"))
    usable = {name: path for name, path in v1.items() if os.access(path, os.W_OK)}
    is_v2 = not usable and bool(v2) and _delegated(v2, set(ours))
    if is_v2:
        usable = dict.fromkeys(CONTROLLERS, v2)
    for path in usable.values():
        _sweep(path)
    return Cgroups(usable, is_v2)


def own_directories(groups: str, mounts: str) -> tuple[dict[str, str], str]:
    """From /proc/self/cgroup and mountinfo: our directory in each v1 hierarchy that we use, and in that of v2."""
    paths: dict[str, str] = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))  # v2 has no controllers here: its key is ""
    v1, v2 = {}, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        (root, place), (kind, _, options) = left.split()[3:5], right.split(" ", 2)
        if kind == "cgroup2" and "" in paths:
            v2 = _below(place, root, paths[""])
        elif kind == "cgroup":
            for name in set(CONTROLLERS).intersection(options.split(","), paths):
                v1[name] = _below(place, root, paths[name])
    return v1, v2


def _below(place: str, root: str, path: str) -> str:
    return place + path.removeprefix(root if root != "/" else "")


def _delegated(directory: str, ours: set[int]) -> bool:
    """Makes a v2 cgroup ready for children with limits; False where it isn't ours alone, or lacks a controller."""
    if not set(CONTROLLERS) <= set(_read(os.path.join(directory, "cgroup.controllers")).split()):
        return False
    control = os.path.join(directory, "cgroup.subtree_control")
    if set(CONTROLLERS) <= set(_read(control).split()):
        return os.access(directory, os.W_OK)
    inside = [int(pid) for pid in _read(os.path.join(directory, "cgroup.procs")).split()]
    if not set(inside) <= ours:
        return False
    try:
        main = os.path.join(directory, f"{PREFIX}{os.getpid()}.main")
        os.makedirs(main, exist_ok=True)
        for pid in inside:
            write(os.path.join(main, "cgroup.procs"), str(pid))
        write(control, " ".join(f"+{name}" for name in CONTROLLERS))
    except OSError:
        return False
    return True


def _sweep(directory: str) -> None:
    for name in os.listdir(directory):
        if name.startswith(PREFIX):
            remove(os.path.join(directory, name))


def remove(directory: str) -> None:
    """Removes a cgroup; one that holds a process stays."""
    try:
        os.rmdir(directory)
    except OSError:
        return


def write(path: str, text: str) -> None:
    """Writes one of the kernel's files. Raises OSError."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def number_in(path: str, key: str) -> int:
    """The number after a key in one of the kernel's files of lines `key number`; 0 where there is none."""
    for line in _read(path).splitlines():
        name, _, number = line.partition(" ")
        if name == key:
            return int(number)
    return 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
