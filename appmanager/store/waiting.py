"""Commands that have been taken in and are not begun, or leave no journal: a small file each, until they have ended.

So a restart loses none of them; that none is done twice is the record's business, which has each that has ended.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appmanager.store.aside import put_aside
from appmanager.store.disk import Disk
from appmanager.store.journal import line, whole_lines
from appmanager.store.tree import make_directory, read_whole, remove_durably, write_whole

log = logging.getLogger("gridlink.provisioning")

ID_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """One of them. `what`: `order` or `run`; `document`: what it says."""

    what: str
    document: dict[str, Any]


class Waiting:
    """Of one managed directory. Blocks: call it in a thread, one at a time. Raises OSError."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._directory = disk, directory

    def add(self, id: str, what: str, document: dict[str, Any]) -> None:
        """Keeps a command, durably, behind those that are there. One that is there already stays where it is."""
        make_directory(self._disk, self._directory)
        names = self._names()
        if not any(name.endswith(_ending(id)) for name in names):
            number = max((int(name.partition("-")[0]) for name in names), default=0) + 1
            write_whole(
                self._disk, self._directory / f"{number:08d}{_ending(id)}", line({"what": what, "document": document})
            )

    def remove(self, id: str) -> None:
        """It has ended."""
        for name in self._names():
            if name.endswith(_ending(id)):
                remove_durably(self._disk, self._directory / name)

    def all(self) -> list[Kept]:
        """Those that are there and whole, in the order in which they came. A damaged one is put aside, and logged.

        One that the disk doesn't give now is left there for the next start, and logged. Raises OSError: the directory
        can't be listed.
        """
        return [kept for name in self._names() if (kept := self._read(self._directory / name)) is not None]

    def _read(self, path: Path) -> Kept | None:
        try:
            lines = whole_lines(read_whole(self._disk, path))
            if not lines:
                aside = put_aside(self._disk, self._directory.parent, path)
                log.error("%s: a command that waited is damaged, so it isn't carried out: put aside as %s", path, aside)
        except OSError as error:
            log.error("%s: a command that waited isn't carried out: it can't be read, or put aside: %s", path, error)  # noqa: TRY400
            return None
        return Kept(str(lines[0]["what"]), lines[0]["document"]) if lines else None

    def _names(self) -> list[str]:
        return [name for name in self._disk.names(self._directory) if name[:8].isdigit()]


def _ending(id: str) -> str:
    """Ids are made by whoever asks, and may be no file's name."""
    return f"-{hashlib.sha256(id.encode()).hexdigest()[:ID_CHARACTERS]}"
