"""A bundle as it comes, piece by piece: what has come is kept over lost links, restarts and power cuts.

How much of the file is durable is written down beside it, every so many bytes. After a restart what lies behind that is
cut off: it may be garbage, and a transfer that began with garbage would have to be made from its beginning.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import orjson

from appmanager.store.disk import Disk, Written
from appmanager.store.tree import make_directory, read_whole, remove_durably, write_whole

SYNC_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Progress:
    digest: str
    durable_bytes: int


class Incoming:
    """One transfer. `with Incoming(disk, file, digest) as incoming`. Blocks: call it in a thread. Raises OSError."""

    def __init__(self, disk: Disk, file: Path, digest: str, sync_bytes: int = SYNC_BYTES) -> None:
        """`digest`: of the bundle; what has come of another one is thrown away."""
        self._disk, self._file, self._digest, self._sync_bytes = disk, file, digest, sync_bytes
        self._written: Written
        self._durable_bytes = 0
        self.received_bytes = 0
        """How much of the file is here: go on from there."""

    def open(self) -> None:
        """Finds what is here already."""
        make_directory(self._disk, self._file.parent)
        self._durable_bytes = durable_bytes(self._disk, self._file, self._digest)
        if self._durable_bytes:
            self._disk.truncate(self._file, self._durable_bytes)
        else:
            forget(self._disk, self._file)
        self.received_bytes = self._durable_bytes
        self._written = self._disk.append(self._file)
        self._disk.fsync_dir(self._file.parent)

    def add(self, chunk: bytes) -> None:
        """Appends what came."""
        self._written.write(chunk)
        self.received_bytes += len(chunk)
        if self.received_bytes - self._durable_bytes >= self._sync_bytes:
            self.sync()

    def sync(self) -> None:
        """Makes what has come durable, and writes down how much it is."""
        self._written.fsync()
        self._durable_bytes = self.received_bytes
        progress = _Progress(self._digest, self._durable_bytes)
        write_whole(self._disk, progress_of(self._file), msgspec.json.encode(progress))

    def close(self) -> None:
        """Keeps what has come: the transfer is done, or was cut off."""
        with self._written:
            self.sync()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def durable_bytes(disk: Disk, file: Path, digest: str) -> int:
    """How much is here of a bundle, surely. Raises OSError."""
    path = progress_of(file)
    if not disk.kind(path) or not disk.kind(file):
        return 0
    try:
        progress = msgspec.convert(orjson.loads(read_whole(disk, path)), _Progress)
    except (orjson.JSONDecodeError, msgspec.ValidationError):
        return 0
    return progress.durable_bytes if progress.digest == digest else 0


def progress_of(file: Path) -> Path:
    """Where it is written how much of a file has come."""
    return file.with_name(f"{file.name}.progress")


def forget(disk: Disk, file: Path) -> None:
    """Removes what has come."""
    remove_durably(disk, progress_of(file))
    remove_durably(disk, file)


def forget_but(disk: Disk, directory: Path, modules: Collection[str]) -> None:
    """Removes what has come for other modules than these, so that what is kept of orders that expired is bounded."""
    for name in disk.names(directory):
        if name.partition(".")[0] not in modules:
            remove_durably(disk, directory / name)
