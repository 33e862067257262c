"""Which files of a bundle are the author's, and when they were saved. Polled: a bundle has a few dozen of them."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = (".py", ".json", ".pyi", ".so")
PASSED_OVER = ("__pycache__", "lib", "tests", "node_modules")


def saved_files(directory: Path) -> dict[Path, tuple[int, int]]:
    """The bundle's files with their times of change (ns) and sizes; its libraries and tests are not among them."""
    found: dict[Path, tuple[int, int]] = {}
    for place, directories, names in os.walk(directory):
        directories[:] = [one for one in directories if not one.startswith(".") and one not in PASSED_OVER]
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith("."):
                path = Path(place, name)
                try:
                    status = path.stat()
                except OSError:
                    continue  # gone between the two: an editor saves by renaming
                found[path] = (status.st_mtime_ns, status.st_size)
    return found
