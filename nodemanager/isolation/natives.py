"""Decides whether native libraries can be loaded once more into this process. Looks before anything is loaded.

The same file twice (a hard link, a symlink, a path loaded before) shares C state: segfaults and silent wrong results.
Such files are copied to a fresh directory first (`scratch.py`). What keeps state beyond its file can't live twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nodemanager.isolation.layout import Native

ONE_COPY_A_PROCESS = {"lxml": "lxml keeps per-thread state under a fixed key"}
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Mapped:
    """The native libraries that this process has mapped, by path and by (device, inode)."""

    paths: frozenset[str]
    inodes: frozenset[tuple[int, int]]

    def holds(self, native: Native) -> bool:
        """Whether the dynamic linker would take this file for one it has. It goes by path first, then by inode."""
        return native.path in self.paths or native.inode in self.inodes


def mapped(also: Iterable[tuple[int, int]] = ()) -> Mapped:
    """Reads `/proc/self/maps` (0.3 ms). `also`: inodes that live bundles own and may still load."""
    paths, inodes = set(), set(also)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        columns = line.split(None, 5)
        if len(columns) == 6 and ".so" in columns[5]:
            paths.add(columns[5].removesuffix(_DELETED))
            major, _, minor = columns[3].partition(":")
            inodes.add((os.makedev(int(major, 16), int(minor, 16)), int(columns[4])))
    return Mapped(frozenset(paths), frozenset(inodes))


def refusal(natives: Iterable[Native], now: Mapped) -> str | None:
    """Why these can't live in this process, or None. Only libraries known to fail are refused."""
    for name in sorted({native.distribution for native in natives} & ONE_COPY_A_PROCESS.keys()):
        if any(f"/{name}/" in path for path in now.paths):
            return f"{ONE_COPY_A_PROCESS[name]}, and this process has a copy of it already"
    return None
