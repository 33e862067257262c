"""The reading side of the database, beside the writer: sees what is committed, never waits for a commit.

Always: used by one thread at a time; an answer is bounded.
"""

import math
import sqlite3
from pathlib import Path

from storage.errors import explain
from storage.sample import Sample, Series
from storage.schema import connect_reader

_POINT = "SELECT id, unit FROM data_point WHERE name = ?"
_SAMPLES = "SELECT timestamp_s, value FROM measurement WHERE data_point = ?"


class Reader:
    """A read-only connection. It is opened by the first read; `close` may be repeated."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def newest(self, name: str, until_s: float = math.inf) -> Series | None:
        """The newest sample up to a time, if there is one; None for an unknown data point. Raises StoreError."""
        return self._read(name, "AND timestamp_s <= ? ORDER BY timestamp_s DESC LIMIT 1", (until_s,))

    def between(self, name: str, from_s: float, to_s: float, limit: int) -> Series | None:
        """The first `limit` samples with from_s <= time stamp <= to_s; None for an unknown data point."""
        return self._read(name, "AND timestamp_s BETWEEN ? AND ? ORDER BY timestamp_s LIMIT ?", (from_s, to_s, limit))

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _read(self, name: str, clause: str, values: tuple[float, ...]) -> Series | None:
        try:
            if self._connection is None:
                self._connection = connect_reader(self._path)
            point = self._connection.execute("SELECT id, unit FROM data_point WHERE name = ?", (name,)).fetchone()
            if point is None:
                return None
            found = self._connection.execute(
                f"SELECT timestamp_s, value FROM measurement WHERE data_point = ? {clause}",
                (point[0], *values),
            )
            return Series(point[1], [Sample(*sample) for sample in found])
        except sqlite3.Error as error:
            self.close()  # the next read opens the file again
            raise explain(self._path, error) from error
