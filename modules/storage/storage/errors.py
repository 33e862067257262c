"""What can go wrong in the store, by whose fault it is; SQLite's errors are translated here and nowhere else.

Always: a request that ended in one of these was not acknowledged; the text names the file at fault.
"""

import sqlite3
from pathlib import Path


class StoreError(Exception):
    """Any failure of the store; the text says what was expected, what came, and what to do."""


class StoreRefused(StoreError):
    """The caller's fault: an unknown data point, a value that is no number, too many rows."""


class StoreBusy(StoreError):
    """Too much is waiting already; nothing was written. Try again later."""


class StoreClosed(StoreError):
    """The store was used before it was opened or after it was closed."""


class StoreUnavailable(StoreError):
    """The disk's fault: full, read-only, an I/O error. The store goes on by itself when the cause is gone."""


class StoreDamaged(StoreUnavailable):
    """The file is not a store, or it is damaged. A person has to decide what becomes of it."""


_ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space or lower keep_mib; storage goes on by itself",
    "SQLITE_READONLY": "it can't be written: make its file system writable; storage goes on by itself",
    "SQLITE_CANTOPEN": "it can't be opened: check that its folder exists and belongs to this user",
    "SQLITE_PERM": "access was denied: check that the file and its folder belong to this user",
    "SQLITE_BUSY": "another process holds it locked: end that process, or give each its own folder",
    "SQLITE_IOERR": "the disk reports an I/O error: check it (dmesg, smartctl); storage tries again",
}


def explain(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """The StoreError for what SQLite reported about the database `path`."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreDamaged(
            f"{path} is damaged ({error}): stop storage, save what can be read with "
            f"`sqlite3 {path} .recover`, move the file away (with -wal and -shm), and start storage again"
        )
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return StoreUnavailable(f"{path}: {advice} ({error})")
    return StoreUnavailable(f"{path}: SQLite reports {name or type(error).__name__}: {error}")
