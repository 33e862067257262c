"""Fresh copies of trees with native libraries, in the temporary directory. None outlives its bundle.

A copy is locked by whoever uses it, forked children included; whoever makes the next one removes those nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from nodemanager.isolation.layout import LIB, files_below

_PREFIX = "gridlink-lib-"
_held: dict[str, int] = {}


def fresh_copy(root: str) -> str:
    """Copies a tree without its `lib/`: native libraries as new files, the rest as links. Ends with `remove_copy`."""
    _remove_abandoned()
    copy = _locked_directory()
    for path in files_below(root):
        if path.startswith(f"{root}/{LIB}/"):
            continue
        target = Path(copy + path[len(root) :])
        target.parent.mkdir(parents=True, exist_ok=True)
        if ".so" in target.name:
            shutil.copy2(path, target)
        else:
            target.symlink_to(path)
    return copy


def remove_copy(copy: str) -> None:
    """Removes a copy. What the process has mapped of it stays mapped."""
    shutil.rmtree(copy, ignore_errors=True)
    if copy in _held:
        os.close(_held.pop(copy))


def _locked_directory() -> str:
    while True:
        copy = tempfile.mkdtemp(prefix=_PREFIX)
        lock = _lock(copy)
        if lock is not None and Path(copy).exists():  # else somebody took it for abandoned in between
            _held[copy] = lock
            return copy


def _remove_abandoned() -> None:
    for copy in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
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
