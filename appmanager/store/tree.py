"""Files and trees, by a disk's single steps: written whole or not at all, moved durably, removed from any half.

Each may be done again after a power cut in its middle, and ends the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from appmanager.store.disk import Disk

CHUNK_BYTES = 64 * 1024


def read_whole(disk: Disk, path: Path) -> bytes:
    """A small file's content. Raises OSError."""
    with disk.open(path) as file:
        return file.read()


def write_whole(disk: Disk, path: Path, body: bytes) -> None:
    """Replaces a file so that the old or the new content is found, whole; the new one when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    remove(disk, temporary)
    try:
        with disk.create(temporary) as file:
            file.write(body)
            file.fsync()
        disk.rename(temporary, path)
    except OSError:
        remove(disk, temporary)
        raise
    disk.fsync_dir(path.parent)


def make_directory(disk: Disk, path: Path) -> None:
    """Makes a directory and those above it, durably; one that is there is left as it is."""
    if disk.kind(path) == "directory":
        return
    make_directory(disk, path.parent)
    disk.mkdir(path)
    disk.fsync_dir(path.parent)


def move(disk: Disk, source: Path, target: Path) -> None:
    """Renames, durably. Done already (there is no source, and there is a target), it only makes sure of that."""
    if disk.kind(source):
        disk.rename(source, target)
    disk.fsync_dir(target.parent)
    disk.fsync_dir(source.parent)


def remove(disk: Disk, path: Path) -> None:
    """Removes a file or a tree, if it is there. Links are removed, never followed. Not durable by itself."""
    kind = disk.kind(path)
    if kind == "directory":
        for name in disk.names(path):
            remove(disk, path / name)
        disk.rmdir(path)
    elif kind:
        disk.unlink(path)


def remove_durably(disk: Disk, path: Path) -> None:
    """The same, and it stays removed."""
    if disk.kind(path):
        remove(disk, path)
        disk.fsync_dir(path.parent)


def copy(disk: Disk, source: Path, target: Path) -> None:
    """Copies a file, whole and durably."""
    temporary = target.with_name(f".{target.name}.new")
    remove(disk, temporary)
    with disk.open(source) as read, disk.create(temporary) as written:
        while chunk := read.read(CHUNK_BYTES):
            written.write(chunk)
        written.fsync()
    disk.rename(temporary, target)
    disk.fsync_dir(target.parent)


def files_below(disk: Disk, path: Path, prefix: str = "") -> Iterator[str]:
    """The paths of all that is no directory below a directory, in order of names."""
    for name in disk.names(path):
        if disk.kind(path / name) == "directory":
            yield from files_below(disk, path / name, f"{prefix}{name}/")
        else:
            yield prefix + name
