"""The writing side of the database: carries out a batch of operations in one transaction.

Always: used by one thread at a time; `commit` returns only after COMMIT, so after the fsync; when it raises,
none of the batch was acknowledged. A refused operation writes nothing and does not disturb its batch.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from storage import retention
from storage.errors import StoreError, StoreRefused, explain
from storage.io_count import written_bytes
from storage.limits import Limits
from storage.sample import Row
from storage.schema import connect_writer

TRIM_ROWS = 2000  # rows deleted at most in one transaction: some 10 ms

_INSERT = "INSERT INTO measurement VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
# An equal value is not written again: replaying a day costs no flash.
_REPLACE = "UPDATE measurement SET value = ?3 WHERE data_point = ?1 AND timestamp_s = ?2 AND value <> ?3"


class DataPoint(NamedTuple):
    """A data point as the database knows it."""

    id: int
    unit: str


@dataclass(slots=True)
class Counts:
    """What was written since the store was opened, and what is in it."""

    rows: int = 0
    data_points: int = 0
    commits: int = 0
    rows_added: int = 0
    rows_retired: int = 0
    written_bytes: int = 0


# Rows of one page follow each other: it is written once a transaction. Equal ones keep their order.
_place = itemgetter(0, 1)

Operation = Callable[["Database"], object]


class Database:
    """The writer's connection. Its owner calls `open` first and `close` last; both may be repeated."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Nothing is opened yet."""
        self.path = path
        self.limits = limits
        self.counts = Counts()
        self.now_s = 0.0
        self._points: dict[str, DataPoint] = {}
        self._connection: sqlite3.Connection | None = None
        self._data_version = 0
        self._marked = False  # counter.rows is NULL on disk

    def open(self) -> None:
        """Open or make the file. Raises StoreUnavailable or StoreDamaged."""
        try:
            self._connected()
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def commit(self, operations: Sequence[Operation], now_s: float) -> list[object]:
        """Carry out `operations` in one durable transaction; `now_s` is site time.

        Returns what each returned, or its StoreRefused. Raises StoreUnavailable or StoreDamaged: nothing
        of the batch is acknowledged then.
        """
        before = written_bytes()
        self.now_s = now_s
        rows = self.counts.rows, self.counts.data_points, self.counts.rows_added, self.counts.rows_retired
        try:
            outcomes, changed = self._transact(operations)
        except BaseException as error:
            counts = self.counts
            counts.rows, counts.data_points, counts.rows_added, counts.rows_retired = rows
            self._roll_back(error)
            if isinstance(error, sqlite3.Error):
                raise explain(self.path, error) from error
            raise
        self.counts.commits += changed
        self.counts.written_bytes += written_bytes() - before
        return outcomes

    def close(self) -> None:
        """Note the number of rows, move the log into the database, close it. Raises StoreUnavailable."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self._marked and self._alone(connection):
                connection.execute("UPDATE counter SET rows = ?", (self.counts.rows,))
        except sqlite3.Error as error:
            raise explain(self.path, error) from error
        finally:
            connection.close()

    def create(self, name: str, unit: str) -> None:
        """Operation: make the data point; nothing to do when it exists with that unit, else StoreRefused."""
        point = self._find(name)
        if point is None:
            self._insert_point(name, unit)
        elif point.unit != unit:
            raise StoreRefused(
                f"data point {name!r} has the unit {point.unit!r}, got {unit!r}: use its unit or another name"
            )

    def add(self, rows: Sequence[Row]) -> None:
        """Operation: write all `rows` or, when a data point is unknown, none (StoreRefused)."""
        ids = {name: self._known(name).id for name in {row.data_point for row in rows}}
        for name, timestamp_s, value in sorted(rows, key=_place):
            self._upsert((ids[name], timestamp_s, value))

    def add_events(self, rows: Sequence[Row], units: dict[str, str]) -> int:
        """Operation: write `rows`, making data points as needed; returns how many found no room to do so."""
        dropped = 0
        ids: dict[str, int | None] = {}
        for name, timestamp_s, value in sorted(rows, key=_place):
            if name not in ids:
                ids[name] = self._find_or_make(name, units[name])
            point = ids[name]
            if point is None:
                dropped += 1
            else:
                self._upsert((point, timestamp_s, value))
        return dropped

    def trim(self) -> int:
        """Operation: delete what is too old and shrink the file, a part of it; returns 0 when all is done."""
        deleted = retention.trim_by_age(self._live, self.limits.keep_days, self.now_s, TRIM_ROWS)
        deleted += retention.trim_by_size(self._live, self.limits.database_pages, self.now_s, TRIM_ROWS)
        self._retire(deleted)
        return deleted or retention.give_back(self._live)

    @property
    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("the database was used outside of a transaction")
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connection = connect_writer(self.path)
            rows = connection.execute("SELECT rows FROM counter").fetchone()[0]
            self._marked = rows is None
            if rows is None:
                rows = connection.execute("SELECT count(*) FROM measurement").fetchone()[0]
            self.counts.rows = rows
            self.counts.data_points = connection.execute("SELECT count(*) FROM data_point").fetchone()[0]
            self._data_version = connection.execute("PRAGMA data_version").fetchone()[0]
        return self._connection

    def _alone(self, connection: sqlite3.Connection) -> bool:
        # Another writer (an update in progress) makes this one's count wrong: the next start counts.
        return bool(connection.execute("PRAGMA data_version").fetchone()[0] == self._data_version)

    def _transact(self, operations: Sequence[Operation]) -> tuple[list[object], bool]:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        changes = connection.total_changes
        added = self.counts.rows_added
        outcomes = [self._attempt(operation) for operation in operations]
        room = max(TRIM_ROWS, 2 * (self.counts.rows_added - added))
        self._retire(retention.trim_by_size(connection, self.limits.database_pages, self.now_s, room))
        changed = connection.total_changes != changes
        if changed and not self._marked:
            connection.execute("UPDATE counter SET rows = NULL")
        connection.execute("COMMIT")
        self._marked = self._marked or changed
        return outcomes, changed

    def _attempt(self, operation: Operation) -> object:
        try:
            return operation(self)
        except StoreRefused as refusal:
            return refusal

    def _roll_back(self, error: BaseException) -> None:
        self._points.clear()  # it may hold data points that were just rolled back
        connection = self._connection
        if connection is None:
            return
        harmless = getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_BUSY")
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            reusable = harmless or not isinstance(error, sqlite3.Error)
        except sqlite3.Error:
            reusable = False
        if not reusable:
            # After an I/O error nothing cached is to be trusted: the next commit opens the file again.
            self._connection = None
            connection.close()

    def _find(self, name: str) -> DataPoint | None:
        point = self._points.get(name)
        if point is None:
            found = self._live.execute("SELECT id, unit FROM data_point WHERE name = ?", (name,)).fetchone()
            if found is not None:
                point = self._points[name] = DataPoint(*found)
        return point

    def _known(self, name: str) -> DataPoint:
        point = self._find(name)
        if point is None:
            raise StoreRefused(f"no data point {name!r}: make it with createDataPoint, or check its name")
        return point

    def _find_or_make(self, name: str, unit: str) -> int | None:
        point = self._find(name)
        if point is not None:
            return point.id
        try:
            return self._insert_point(name, unit)
        except StoreRefused:
            return None

    def _insert_point(self, name: str, unit: str) -> int:
        most = self.limits.max_data_points
        if self.counts.data_points >= most:
            raise StoreRefused(f"no room for data point {name!r}: there are {most}; raise max_data_points")
        made = self._live.execute("INSERT INTO data_point (name, unit) VALUES (?, ?)", (name, unit)).lastrowid
        if made is None:
            raise StoreError(f"SQLite gave no id to data point {name!r}")
        self._points[name] = DataPoint(made, unit)
        self.counts.data_points += 1
        return made

    def _upsert(self, row: tuple[int, float, float]) -> None:
        if self._live.execute(_INSERT, row).rowcount == 1:
            self.counts.rows += 1
        else:
            self._live.execute(_REPLACE, row)
        self.counts.rows_added += 1

    def _retire(self, rows: int) -> None:
        self.counts.rows -= rows
        self.counts.rows_retired += rows
