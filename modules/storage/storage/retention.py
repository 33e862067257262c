"""What is deleted, oldest first: by age and by size, a bounded number of rows at a time.

Always: the newest measurement of each data point stays, so that its most recent value can always be asked.
"""

import math
import sqlite3
from typing import NamedTuple

from storage.limits import DAY_S

SLICES = 64  # to make room, the oldest 1/64 of the time span goes at once
VACUUM_PAGES = 256  # pages given back to the file system in one transaction
SPARE_PAGES = 64  # free pages that are kept for the next rows


class Span(NamedTuple):
    """The oldest and newest time stamp of one data point, Unix seconds of site time."""

    data_point: int
    oldest_s: float
    newest_s: float


def trim_by_age(connection: sqlite3.Connection, keep_days: float, now_s: float, rows: int) -> int:
    """Delete up to `rows` measurements older than `keep_days`; returns how many went.

    Age counts from the newest time stamp or from `now_s` (site time), whichever is earlier: neither one
    wrong time stamp nor a wrong clock can empty the store.
    """
    spans = _spans(connection)
    if not spans:
        return 0
    reference_s = min(max(span.newest_s for span in spans), now_s)
    return _delete_before(connection, spans, reference_s - keep_days * DAY_S, rows)


def trim_by_size(connection: sqlite3.Connection, pages: int, now_s: float, rows: int) -> int:
    """Delete up to `rows` of the oldest rows if more than `pages` pages are used; returns their number."""
    if _pragma(connection, "page_count") - _pragma(connection, "freelist_count") <= pages:
        return 0
    spans = [span for span in _spans(connection) if span.oldest_s < span.newest_s]
    if not spans:
        return 0
    oldest_s = min(span.oldest_s for span in spans)
    newest_s = max(span.newest_s for span in spans)
    end_s = min(newest_s, now_s) if now_s > oldest_s else newest_s
    cut_s = max(oldest_s + (end_s - oldest_s) / SLICES, math.nextafter(oldest_s, math.inf))
    return _delete_before(connection, spans, cut_s, rows)


def give_back(connection: sqlite3.Connection) -> int:
    """Shrink the file by up to `VACUUM_PAGES` free pages; returns how many it gave back."""
    free = _pragma(connection, "freelist_count") - SPARE_PAGES
    if free <= 0:
        return 0
    pages = min(free, VACUUM_PAGES)
    connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()  # one page a step: fetch them all
    return pages


def _spans(connection: sqlite3.Connection) -> list[Span]:
    # Two seeks a data point; min() and max() together in one SELECT would scan.
    found = connection.execute(
        "SELECT id, (SELECT min(timestamp_s) FROM measurement WHERE data_point = id),"
        " (SELECT max(timestamp_s) FROM measurement WHERE data_point = id) FROM data_point"
    )
    return [Span(*span) for span in found if span[1] is not None]


def _delete_before(connection: sqlite3.Connection, spans: list[Span], cut_s: float, rows: int) -> int:
    deleted = 0
    for span in spans:
        if deleted >= rows:
            break
        before_s = min(cut_s, span.newest_s)
        if span.oldest_s >= before_s:
            continue
        past_chunk = connection.execute(
            "SELECT timestamp_s FROM measurement WHERE data_point = ? AND timestamp_s < ?"
            " ORDER BY timestamp_s LIMIT 1 OFFSET ?",
            (span.data_point, before_s, rows - deleted),
        ).fetchone()
        deleted += connection.execute(
            "DELETE FROM measurement WHERE data_point = ? AND timestamp_s < ?",
            (span.data_point, past_chunk[0] if past_chunk else before_s),
        ).rowcount
    return deleted


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
