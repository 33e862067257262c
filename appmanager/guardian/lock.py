"""A managed directory belongs to one guardian at a time: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os

from gridlink.errors import ManagedDirectoryBusy, ManagedDirectoryInvalid


class ManagedLock:
    """Holds `.gridlink/lock` in the state directory, in an open file that no child may keep."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "lock")
        self._fd = -1

    def take(self, holder: str) -> None:
        """Takes the lock in the name of `holder`. Raises ManagedDirectoryBusy that names who has it."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ManagedDirectoryInvalid(f"{self._path}: it must be writable: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.read(fd, 200).decode("utf-8", "replace").strip() or "another node"
            os.close(fd)
            managed = os.path.dirname(os.path.dirname(self._path))
            raise ManagedDirectoryBusy(
                f"{managed} is run by {other} already: stop that one, or use another directory"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, holder.encode(), 0)
        self._fd = fd

    def close(self) -> None:
        """Gives the lock back; in a forked child, leaves it to the guardian."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
