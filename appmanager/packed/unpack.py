"""Unpacks a bundle into a new directory, checking each byte on its way; whatever is wrong, nothing of it stays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appmanager.packed.contents import MAX_LINE_BYTES, Header, read_header, read_listed
from appmanager.packed.errors import BundleInvalid
from appmanager.packed.limits import Limits
from appmanager.packed.names import CONTENTS, order
from appmanager.packed.reader import PackedBundle
from appmanager.packed.zipform import PROGRAM, ZipEntry
from appmanager.store.disk import Disk
from appmanager.store.tree import remove_durably

NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A bundle that was unpacked. `digest`: of its list of files; `size_bytes`: of all of them."""

    header: Header
    digest: str
    files: int
    size_bytes: int


def unpack(
    disk: Disk,
    file: Path,
    to: Path,
    *,
    digest: str = "",
    limits: Limits = NO_LIMITS,
    progress: Callable[[int], None] = lambda size_bytes: None,
) -> Unpacked:
    """Unpacks `file` into the new directory `to`, durably. Blocks: call it in a thread.

    `digest`: the bundle that is expected; `progress` gets the number of bytes unpacked so far. Raises BundleInvalid
    with the reason, OSError; `to` is gone then. Takes less than 1 MiB, whatever the bundle's size.
    """
    try:
        with PackedBundle(disk, file, limits) as packed:
            disk.mkdir(to)
            try:
                return _Unpacking(disk, packed, to, progress).run(digest)
            except Exception:
                remove_durably(disk, to)
                raise
    except BundleInvalid as error:
        raise BundleInvalid(f"{file.name}: {error}") from error


class _Unpacking:
    """One run. Directories come in order: those of the last file that aren't those of the next one are finished."""

    def __init__(self, disk: Disk, packed: PackedBundle, to: Path, progress: Callable[[int], None]) -> None:
        self._disk, self._packed, self._to, self._progress = disk, packed, to, progress
        self._open: tuple[str, ...] = ()
        self._size_bytes = 0

    def run(self, expected: str) -> Unpacked:
        """Unpacks all. Raises BundleInvalid."""
        entries = self._packed.entries()
        digest = self._write(next(entries), self._to / CONTENTS)
        if expected and digest != expected:
            raise BundleInvalid(f"expected the bundle of digest {expected}, got {digest}")
        files = 0
        with self._disk.open(self._to / CONTENTS) as contents:
            header = read_header(contents.readline(MAX_LINE_BYTES))
            for entry in entries:
                self._unpack(entry, contents.readline(MAX_LINE_BYTES))
                files += 1
            left = contents.readline(MAX_LINE_BYTES)
            if left:
                raise BundleInvalid(f"{read_listed(left).path!r} is in the list of files, and missing")
        self._enter(())
        self._disk.fsync_dir(self._to)
        self._disk.fsync_dir(self._to.parent)
        return Unpacked(header, digest, files, self._size_bytes)

    def _unpack(self, entry: ZipEntry, line: bytes) -> None:
        if not line:
            raise BundleInvalid(f"{entry.name!r} is not in the list of files")
        listed = read_listed(line)
        if listed.path != entry.name:
            if order(listed.path) < order(entry.name):
                raise BundleInvalid(f"{listed.path!r} is in the list of files, and missing")
            raise BundleInvalid(f"{entry.name!r} is not in the list of files")
        if listed.size_bytes != entry.size_bytes or listed.program != (entry.mode == PROGRAM):
            raise BundleInvalid(f"{entry.name!r}: size or mode isn't that in the list of files")
        parts = entry.name.split("/")
        self._enter(tuple(parts[:-1]))
        if self._write(entry, self._to.joinpath(*parts)) != listed.sha256:
            raise BundleInvalid(f"{entry.name!r}: the digest of its content isn't that in the list of files")

    def _enter(self, directory: tuple[str, ...]) -> None:
        """Finishes the directories that no more files come into, makes those of the next file."""
        same = 0
        while same < min(len(directory), len(self._open)) and directory[same] == self._open[same]:
            same += 1
        for depth in range(len(self._open), same, -1):
            self._disk.fsync_dir(self._to.joinpath(*self._open[:depth]))
        for depth in range(same + 1, len(directory) + 1):
            self._disk.mkdir(self._to.joinpath(*directory[:depth]))
        self._open = directory

    def _write(self, entry: ZipEntry, path: Path) -> str:
        digest = hashlib.sha256()
        with self._disk.create(path, entry.mode) as file:
            for chunk in self._packed.read(entry):
                digest.update(chunk)
                file.write(chunk)
                self._size_bytes += len(chunk)
                self._progress(self._size_bytes)
            file.fsync()
        return digest.hexdigest()
