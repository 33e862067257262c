"""The record's files: `record`, which is appended to, and the full ones before it, named by their first entry's number.

A full file is renamed once and never written again. The oldest is removed only when the others are SEGMENTS - 1, so a
record that begins later than with entry 1 and has fewer was not cut by us. (Who makes SEGMENTS larger has to keep that
true for the records that are there.)
"""

from __future__ import annotations

import threading
import zlib
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from appmanager.store.disk import Disk
from appmanager.store.tree import remove_durably

SEGMENT_BYTES = 1024 * 1024
SEGMENTS = 16
MAX_LINE_BYTES = 64 * 1024


class Named(msgspec.Struct, frozen=True):
    """What of an entry tells whose it is."""

    id: str
    module: str


class Segments:
    """Of one record. Blocks. Raises OSError. `path`: of the file that is appended to."""

    def __init__(self, disk: Disk, path: Path, segment_bytes: int = SEGMENT_BYTES, segments: int = SEGMENTS) -> None:
        self._disk, self.path, self.segment_bytes = disk, path, segment_bytes
        self.full_most = segments - 1
        self._ids: dict[Path, array[int]] = {}
        self._alone = threading.Lock()  # of what is known of the full ones

    def full(self) -> list[Path]:
        """Those that are full, the oldest first."""
        before = f"{self.path.name}."
        names = [name for name in self._disk.names(self.path.parent) if name.startswith(before)]
        numbered = [name for name in names if name.removeprefix(before).isdecimal()]
        numbered.sort(key=lambda name: int(name.removeprefix(before)))
        return [self.path.with_name(name) for name in numbered]

    def rotate(self, first: int) -> None:
        """What is appended to is full: it is put behind the others, and the oldest goes where they are too many.

        Raises FileExistsError: somebody has put another one there.
        """
        target = self.path.with_name(f"{self.path.name}.{first:08d}")
        if self._disk.kind(target):
            raise FileExistsError(f"{target} is there already, and was not made by this record: put it aside")
        self._disk.rename(self.path, target)
        self._disk.fsync_dir(self.path.parent)
        for path in self.full()[: -self.full_most]:
            remove_durably(self._disk, path)

    def lines(self, path: Path) -> Iterator[bytes]:
        """The lines of one; none where it isn't there (any more). One that is too long comes in pieces."""
        try:
            file = self._disk.open(path)
        except FileNotFoundError:
            return
        with file:
            yield from pieces(file)

    def opened(self, closes: ExitStack) -> list[tuple[Path, BinaryIO]]:
        """All of them, the oldest first, as they are at one moment, to be read while others append and rotate."""
        while True:
            full = self.full()
            with ExitStack() as files:
                paths = [path for path in (*full, self.path) if self._disk.kind(path)]
                try:
                    found = [(path, files.enter_context(self._disk.open(path))) for path in paths]
                except FileNotFoundError:
                    continue
                if self.full() == full:
                    closes.push(files.pop_all())
                    return found

    def holders(self, id: str) -> list[Path]:
        """The full ones in which that id may be, the newest first: read once each, then four bytes an entry."""
        wanted = _short(id)
        with self._alone:
            full = self.full()
            for gone in self._ids.keys() - set(full):
                del self._ids[gone]
            for path in full:
                if path not in self._ids:
                    named = (named_in(line) for line in self.lines(path))
                    self._ids[path] = array("I", (_short(one.id) for one in named if one is not None))
            return [path for path in reversed(full) if wanted in self._ids[path]]


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """A file's lines. One that is longer than any entry comes in pieces, so that no file fills the memory."""
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def named_in(line: bytes) -> Named | None:
    """Whose an entry is; None for a line that is none."""
    try:
        return msgspec.json.decode(line, type=Named)
    except msgspec.DecodeError:  # a ValidationError is one
        return None


def _short(id: str) -> int:
    """Another id with the same one costs a look into a file, no more."""
    return zlib.crc32(id.encode(errors="surrogatepass"))
