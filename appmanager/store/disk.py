"""The few things that provisioning asks of a file system, and the real one.

Durable is only what was fsynced: the content of a file by its own `fsync`, its name (made, renamed, removed) by
`fsync_dir` of its directory. A rename that is not durable yet has happened or has not: nothing in between.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Protocol, Self

Kind = Literal["", "file", "directory", "other"]


class Written(Protocol):
    """A file that is being written. Closed by `with`; closing makes nothing durable."""

    def write(self, body: bytes) -> None:
        """Appends."""

    def fsync(self) -> None:
        """Returns when all that was written is durable."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Disk(Protocol):
    """All raise OSError, and none does half of what it says."""

    def open(self, path: Path) -> BinaryIO:
        """A file to read, which the caller closes."""

    def create(self, path: Path, mode: int = 0o644) -> Written:
        """A new file. Raises FileExistsError."""

    def append(self, path: Path) -> Written:
        """A file to go on with; made where it isn't there."""

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Cuts a file, durably."""

    def rename(self, source: Path, target: Path) -> None:
        """Moves a file (over another) or a directory (never over one that holds something)."""

    def unlink(self, path: Path) -> None:
        """Removes a file's name."""

    def mkdir(self, path: Path) -> None:
        """Makes one directory."""

    def rmdir(self, path: Path) -> None:
        """Removes an empty directory."""

    def fsync_dir(self, path: Path) -> None:
        """Returns when the names in a directory are durable."""

    def names(self, path: Path) -> list[str]:
        """What a directory holds, by name; nothing where it isn't there."""

    def kind(self, path: Path) -> Kind:
        """What a name stands for: `other` is a symbolic link or a device, empty that there is none."""


class RealFile:
    """A file that is being written, unbuffered: what was written is with the kernel."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, body: bytes) -> None:
        """Appends all of it. Raises OSError."""
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def fsync(self) -> None:
        """Returns when all that was written is durable."""
        os.fsync(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


class RealDisk:
    """The file system of this machine. Symbolic links are never followed at a path's last part."""

    def open(self, path: Path) -> BinaryIO:
        """A file to read, which the caller closes."""
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def create(self, path: Path, mode: int = 0o644) -> RealFile:
        """A new file. Raises FileExistsError."""
        return RealFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode))

    def append(self, path: Path) -> RealFile:
        """A file to go on with; made where it isn't there."""
        return RealFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Cuts a file, durably."""
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size_bytes)
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Moves a file (over another) or a directory (never over one that holds something)."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Removes a file's name."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """Makes one directory."""
        path.mkdir()

    def rmdir(self, path: Path) -> None:
        """Removes an empty directory."""
        path.rmdir()

    def fsync_dir(self, path: Path) -> None:
        """Returns when the names in a directory are durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def names(self, path: Path) -> list[str]:
        """What a directory holds, by name; nothing where it isn't there."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def kind(self, path: Path) -> Kind:
        """What a name stands for: `other` is a symbolic link or a device, empty that there is none."""
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
        if stat.S_ISDIR(mode):
            return "directory"
        return "file" if stat.S_ISREG(mode) else "other"
