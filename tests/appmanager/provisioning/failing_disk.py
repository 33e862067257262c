"""Disks that say no: full, or read-only, from one operation on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

_NEEDS_SPACE = ("create", "write", "mkdir", "fsync")


def full_from(operation_number: int) -> Callable[[str], None]:
    """For `SimulatedDisk.before`: what needs space fails from then on; renames, removals and syncs of names don't."""
    return _failing(operation_number, errno.ENOSPC, lambda name: name in _NEEDS_SPACE)


def read_only_from(operation_number: int) -> Callable[[str], None]:
    """Every change fails from then on."""
    return _failing(operation_number, errno.EROFS, lambda name: True)


def _failing(at: int, number: int, concerns: Callable[[str], bool]) -> Callable[[str], None]:
    count = 0

    def before(operation: str) -> None:
        nonlocal count
        count += 1
        name, _, path = operation.partition(" ")
        if count > at and concerns(name):
            raise OSError(number, os.strerror(number), path or None)

    return before
