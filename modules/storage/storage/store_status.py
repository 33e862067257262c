"""The figures of a store. Made in one place; reading them never touches the database."""

from pathlib import Path

from msgspec import Struct


class StoreStatus(Struct, frozen=True):
    """Figures of an open store. Sizes on disk are now, the other counts since it was opened."""

    rows: int  # in the database
    data_points: int
    database_bytes: int
    wal_bytes: int
    commits: int
    rows_added: int
    rows_retired: int  # deleted by retention
    written_bytes: int  # by the writer, to any file: the wear of the flash
    events_buffered: int
    events_dropped: int
    queued_rows: int
    busy: int  # requests that found the queue full
    last_error: str | None  # why events could not be written; None when that is over


def size_bytes(path: Path) -> int:
    """The size of a file; 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
