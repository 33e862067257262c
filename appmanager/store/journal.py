"""The journal: what is being done to a module, one durable record before each step is taken.

A record is a line: the digest of its JSON, and the JSON. A line that a power cut tore was never acted upon: it counts
as not written. The first one is there whole or not at all: without it the journal is damaged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from appmanager.store.disk import Disk
from appmanager.store.layout import Layout
from appmanager.store.tree import make_directory, read_whole, remove, remove_durably, write_whole
from gridlink.errors import GridlinkError

DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Journalled:
    """What a journal holds: the first record, and the names of the steps that were begun."""

    plan: dict[str, Any]
    steps: tuple[str, ...]


class JournalDamaged(GridlinkError):
    """What was being done to a module can't be read any more."""

    code = 422


class JournalUncertain(OSError):
    """A record could be neither written nor taken back: the next start reads what became of it."""


class Journal:
    """The journals of one managed directory, a file a module. Blocks: call it in a thread. Raises OSError."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._layout = disk, layout

    def modules(self) -> list[str]:
        """Those that something was being done to."""
        return [name for name in self._disk.names(self._layout.journals) if not name.startswith(".")]

    def begin(self, module: str, plan: dict[str, Any]) -> None:
        """Writes down what is going to be done. Nothing was begun before this returns."""
        for directory in self._layout.directories:
            make_directory(self._disk, directory)
        write_whole(self._disk, self._path(module), line(plan))

    def write(self, module: str, step: str) -> None:
        """Writes down that a step is begun. Raises JournalUncertain where it is not known whether that is there now."""
        path = self._path(module)
        before_bytes = len(read_whole(self._disk, path))
        try:
            with self._disk.append(path) as file:
                file.write(line({"step": step}))
                file.fsync()
            self._disk.fsync_dir(self._layout.journals)
        except OSError as error:
            self._take_back(path, before_bytes, error)
            raise

    def read(self, module: str) -> Journalled | None:
        """What was being done; None where it was not begun. Raises JournalDamaged."""
        if not self._disk.kind(self._path(module)):
            return None
        content = read_whole(self._disk, self._path(module))
        records = whole_lines(content)
        if not whole_lines(content.partition(b"\n")[0] + b"\n") or "step" in records[0]:
            raise JournalDamaged(f"{self._path(module)}: its first record is damaged")
        return Journalled(records[0], tuple(str(record["step"]) for record in records[1:]))

    def end(self, module: str) -> None:
        """It is done, or undone."""
        remove_durably(self._disk, self._path(module))

    def clear(self) -> None:
        """Removes what a power cut left of a journal that was not begun."""
        for name in self._disk.names(self._layout.journals):
            if name.startswith("."):
                remove(self._disk, self._layout.journals / name)

    def _take_back(self, path: Path, size_bytes: int, why: OSError) -> None:
        try:
            self._disk.truncate(path, size_bytes)
        except OSError as error:
            raise JournalUncertain(*why.args) from error

    def _path(self, module: str) -> Path:
        return self._layout.journals / module


def line(record: dict[str, Any]) -> bytes:
    """A record as it is written."""
    body = orjson.dumps(record)
    return digest(body) + b" " + body + b"\n"


def whole_lines(content: bytes) -> list[dict[str, Any]]:
    """The records of a journal that are whole. (One that is torn is the last; what has turned bad may be any.)"""
    found = []
    for one in content.split(b"\n")[:-1]:
        expected, _, body = one.partition(b" ")
        if digest(body) == expected:
            found.append(orjson.loads(body))
    return found


def digest(body: bytes) -> bytes:
    """What a line begins with."""
    return hashlib.sha256(body).hexdigest()[:DIGEST_CHARACTERS].encode()
