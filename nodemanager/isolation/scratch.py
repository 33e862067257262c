"""Fresh copies of trees with native libraries, in a directory of their own. None outlives its bundle.

A copy is locked by whoever uses it, forked children included. Where a process was killed, its copies are removed by
the next one that starts, or that makes a copy. Together they take MOST_BYTES at most, and leave LEAST_FREE_BYTES.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from nodemanager.isolation.layout import LIB, files_below

MOST_BYTES = 256 << 20
LEAST_FREE_BYTES = 16 << 20
_PREFIX = "gridlink-lib-"
_held: dict[str, int] = {}


class _Place:
    """Where the copies of this process are."""

    directory = ""  # none is named: the temporary one


def keep_in(directory: Path) -> None:
    """Has copies made there from now on, and removes those that killed processes have left there."""
    _Place.directory = str(directory)
    _remove_abandoned()
    _remove_if_empty()


def fresh_copy(root: str) -> str:
    """Copies a tree without its `lib/`: native libraries as new files, the rest as links. Ends with `remove_copy`.

    Raises OSError, also where copies would take too much; then nothing is left of it.
    """
    _remove_abandoned()
    paths = [path for path in files_below(root) if not path.startswith(f"{root}/{LIB}/")]
    _check_room(sum(os.path.getsize(path) for path in paths if _is_native(path)))
    copy = _locked_directory()
    try:
        for path in paths:
            target = Path(copy + path[len(root) :])
            target.parent.mkdir(parents=True, exist_ok=True)
            if _is_native(path):
                shutil.copy2(path, target)
            else:
                target.symlink_to(path)
    except OSError:
        remove_copy(copy)
        raise
    return copy


def _is_native(path: str) -> bool:
    return ".so" in os.path.basename(path)


def _check_room(needed_bytes: int) -> None:
    directory = _directory()
    taken = sum(os.path.getsize(path) for copy in _copies() for path in files_below(str(copy)) if _is_native(path))
    if taken + needed_bytes > MOST_BYTES:
        raise OSError(
            errno.EFBIG,
            f"{needed_bytes >> 20} MiB more beside {taken >> 20} MiB of copies, all may take {MOST_BYTES >> 20} MiB",
            str(directory),
        )
    free = shutil.disk_usage(directory).free
    if needed_bytes + LEAST_FREE_BYTES > free:
        raise OSError(errno.ENOSPC, f"{needed_bytes >> 20} MiB are needed, {free >> 20} MiB are free", str(directory))


def _directory() -> Path:
    if not _Place.directory:
        return Path(tempfile.gettempdir())
    directory = Path(_Place.directory)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _copies() -> list[Path]:
    return list(Path(_Place.directory or tempfile.gettempdir()).glob(f"{_PREFIX}*"))


def _remove_if_empty() -> None:
    if _Place.directory:
        with contextlib.suppress(OSError):  # it isn't there, or isn't empty
            os.rmdir(_Place.directory)


def remove_copy(copy: str) -> None:
    """Removes a copy. What the process has mapped of it stays mapped."""
    shutil.rmtree(copy, ignore_errors=True)
    if copy in _held:
        os.close(_held.pop(copy))
    _remove_if_empty()


def remove_all() -> None:
    """Removes every copy of this process; may be called twice."""
    for copy in list(_held):
        remove_copy(copy)


def _locked_directory() -> str:
    while True:
        copy = tempfile.mkdtemp(prefix=_PREFIX, dir=_directory())
        lock = _lock(copy)
        if lock is not None and Path(copy).exists():  # else somebody took it for abandoned in between
            _held[copy] = lock
            return copy


def _remove_abandoned() -> None:
    for copy in _copies():
        lock = None if str(copy) in _held else _lock(str(copy))
        if lock is not None:
            shutil.rmtree(copy, ignore_errors=True)
            os.close(lock)


def _lock(copy: str) -> int | None:
    try:
        lock = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
