"""How much a bundle may hold, and how much of that there is room for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
RESERVE_MIB = 8  # of the disk: for the states, logs and measurements of what runs


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one bundle: files, bytes of all of them unpacked, bytes of one, bytes that are free on the disk."""

    files: int = 20_000
    unpacked_bytes: int = 1024 * MIB
    file_bytes: int = 512 * MIB
    free_bytes: int | None = None  # None: not known


def limits_on(directory: Path) -> Limits:
    """The limits on the disk that holds a directory: what is free now, but for a reserve. Raises OSError."""
    disk = os.statvfs(directory)
    return Limits(free_bytes=max(0, disk.f_bavail * disk.f_frsize - RESERVE_MIB * MIB))
