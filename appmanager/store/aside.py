"""Damaged files are put aside, never removed: `.gridlink/damaged/` has the last of each name, for whoever asks why."""

from __future__ import annotations

from pathlib import Path

from appmanager.store.disk import Disk
from appmanager.store.tree import make_directory, move, remove_durably

DAMAGED = "damaged"


def put_aside(disk: Disk, own: Path, path: Path, name: str = "") -> Path:
    """Moves a file or directory below `own` (`.gridlink`) to where damaged ones lie; returns that. Raises OSError.

    `name`: there; without, it is made of its path.
    """
    target = own / DAMAGED / (name or "-".join(path.relative_to(own).parts))
    make_directory(disk, target.parent)
    remove_durably(disk, target)
    move(disk, path, target)
    return target
