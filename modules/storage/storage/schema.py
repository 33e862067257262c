"""The database file: how it is opened, made and recognised.

Always: a connection made here commits with an fsync of the write-ahead log, and overwrites no sector that
holds committed data (psow=0 and pages of a sector: a sector torn by a power cut takes nothing with it).
"""

import sqlite3
from pathlib import Path

from storage.errors import StoreDamaged, StoreUnavailable
from storage.limits import CHECKPOINT_PAGES, PAGE_BYTES, WAL_KEPT_BYTES

APPLICATION_ID = 0x47_4C_53_54  # "GLST"
VERSION = 1
BUSY_TIMEOUT_S = 5.0

# counter.rows is NULL while a writer is at work: counting is needed after a crash alone.
_TABLES = """
CREATE TABLE data_point (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, unit TEXT NOT NULL);
CREATE TABLE measurement (
    data_point INTEGER NOT NULL, timestamp_s REAL NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (data_point, timestamp_s)
) WITHOUT ROWID;
CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), rows INTEGER);
INSERT INTO counter VALUES (1, 0);
"""


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes; makes a missing file. Raises sqlite3.Error or StoreUnavailable."""
    connection = _connect(path, cache_kib=256)
    try:
        _recognise(connection, path)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreUnavailable(f"{path}: expected WAL, got {mode}; put it on a local file system")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        connection.execute("PRAGMA secure_delete = OFF")  # zeroing what is deleted only wears the flash
        _make_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A second connection, for reads beside the writer. Raises sqlite3.Error."""
    connection = _connect(path, cache_kib=128)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(path: Path, cache_kib: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?psow=0",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=24,
    )
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA mmap_size = 0")
    return connection


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    # Before anything is changed in it: it could be somebody else's database.
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        return
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise StoreDamaged(f"{path} is no store of this module (application id {application}): move it away")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise StoreDamaged(
            f"{path} has schema version {version}, expected {VERSION}: install the storage it was written by"
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
