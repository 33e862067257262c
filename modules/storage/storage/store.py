"""The store: measurements by data point and time stamp, durable once acknowledged; asyncio, without gridlink.

Always: a request returns only after its transaction is on the disk (WAL, synchronous=FULL), so it survives
kill -9 and a power cut; the event loop never waits for the disk; memory and disk are bounded by `Limits`.
A later write of the same data point and time stamp replaces the earlier one.
"""

import asyncio
import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from storage.database import Database
from storage.errors import StoreBusy, StoreClosed, StoreError, StoreRefused
from storage.event_buffer import EventBuffer, merge
from storage.event_writer import EventWriter
from storage.group_commit import GroupCommit
from storage.limits import MAX_RANGE, Limits
from storage.reader import Reader
from storage.sample import Row, Series, row, text
from storage.store_status import StoreStatus, size_bytes

_R = TypeVar("_R")
FUTURE_S = 300.0  # of site time: by so much the clocks of a site and of its meters may differ


class Store:
    """A store in one file. `async with Store(path)`, or `open` and `aclose`.

    Resource handling: it owns two threads and two connections; `aclose` ends them and may be called twice.
    Error handling: every failure is a StoreError; after StoreUnavailable it goes on when the cause is gone.
    """

    def __init__(self, path: Path, limits: Limits | None = None, now: Callable[[], float] = time.time) -> None:
        """`now` is site time in Unix seconds. Nothing is opened yet."""
        self.path = path
        self._now = now
        limits = limits or Limits()
        self._database = Database(path, limits)
        self._reader = Reader(path)
        self._buffer = EventBuffer(limits.event_rows)
        self._writing: ThreadPoolExecutor | None = None
        self._reading: ThreadPoolExecutor | None = None
        self._commits: GroupCommit | None = None
        self._events: EventWriter | None = None
        self._reads = 0
        self._closing = False

    @property
    def limits(self) -> Limits:
        """The bounds; assign new ones to change `keep_days`, `keep_mib` and `flush_s` of an open store."""
        return self._database.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._database.limits = limits

    async def open(self) -> Self:
        """Open or make the file. Raises StoreUnavailable, StoreDamaged, StoreClosed when called again."""
        if self._closing or self._writing is not None:
            raise StoreClosed(f"{self.path}: a store is opened once; make a new one")
        self._writing = ThreadPoolExecutor(1, "storage-writer")
        self._reading = ThreadPoolExecutor(1, "storage-reader")
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._writing, self._database.open)
        except BaseException:
            await self.aclose()
            raise
        self._commits = GroupCommit(self._database.commit, self._writing, self.limits.queue_rows, self._now)
        self._events = EventWriter(self._commits, self._buffer, lambda: self.limits.flush_s)
        return self

    async def aclose(self) -> None:
        """Write what waits, close the file, end the threads. Raises StoreError when that failed.

        Cancelling it leaves it closing: call it again to wait for the end.
        """
        self._closing = True
        if self._writing is None or self._reading is None:
            return
        try:
            await self._finish_writing(self._writing, self._reading)
        except StoreError:
            self._end_threads()
            raise
        self._end_threads()

    async def __aenter__(self) -> Self:
        """Open it."""
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    def __del__(self) -> None:
        """Warn when it was opened and never closed."""
        if getattr(self, "_writing", None) is not None:
            warnings.warn(f"unclosed store {self.path}", ResourceWarning, stacklevel=1)

    async def create_data_point(self, name: str, unit: str) -> None:
        """Make a data point, durably; again is fine. Raises StoreRefused, StoreBusy, StoreUnavailable."""
        commits, events = self._open_queues()
        text("dataPoint", name, 1)
        text("unit", unit, 0)
        await events.write_before([name])
        await commits.submit(lambda database: database.create(name, unit))

    async def add(self, rows: Iterable[Row]) -> int:
        """Write all of `rows`, durably, or none; returns how many.

        Raises StoreRefused, StoreBusy, StoreUnavailable. Cancelling it: all are written, or none.
        """
        commits, events = self._open_queues()
        checked = [row(*each) for each in rows]
        if not checked:
            return 0
        if len(checked) > self.limits.queue_rows:
            raise StoreRefused(
                f"at most {self.limits.queue_rows} measurements a request, got {len(checked)}: split them"
            )
        await events.write_before({each.data_point for each in checked})
        await commits.submit(lambda database: database.add(checked), len(checked))
        return len(checked)

    async def record(self, rows: Sequence[Row], unit: str) -> None:
        """Keep events in memory, to be written within `flush_s`; makes their data points with `unit`.

        Waits when the disk is behind; when it fails, the oldest are dropped and counted. Raises StoreRefused.
        """
        _, events = self._open_queues()
        checked = [row(text("dataPoint", each.data_point, 1), each.timestamp_s, each.value) for each in rows]
        await events.record(checked, text("unit", unit, 0))

    async def flush(self) -> None:
        """Write the events that wait. Raises StoreUnavailable; they go on waiting then."""
        _, events = self._open_queues()
        await events.flush()

    async def newest(self, name: str) -> Series:
        """The newest sample alone: one of the future where there is no other, as after a clock that was set back.

        Raises StoreRefused if there is none, StoreUnavailable.
        """
        unit, until_s = self._buffer.units.get(name), self._now() + FUTURE_S
        for latest_s in (until_s, math.inf):
            unwritten = {at: value for at, value in self._buffer.samples(name).items() if at <= latest_s}
            series = self._known(name, unit, await self._read(partial(self._reader.newest, name, latest_s)))
            samples = merge(series.samples, unwritten)
            if samples:
                break
        if not samples:
            raise StoreRefused(f"data point {name!r} has no measurement yet: add one first")
        return Series(series.unit, samples[-1:])

    async def between(self, name: str, from_s: float, to_s: float, limit: int = 1000) -> Series:
        """The first `limit` (1 to 10,000) samples with from_s <= time stamp <= to_s, in order of time.

        To go on, ask again from the last time stamp. Raises StoreRefused, StoreBusy, StoreUnavailable.
        """
        if not 1 <= limit <= MAX_RANGE:
            raise StoreRefused(f"limit: expected 1 to {MAX_RANGE}, got {limit}")
        if math.isnan(from_s) or math.isnan(to_s) or from_s > to_s:
            raise StoreRefused(f"expected from_s <= to_s, got {from_s} and {to_s}")
        waiting = self._buffer.samples(name)
        unwritten = {at: value for at, value in waiting.items() if from_s <= at <= to_s}
        unit = self._buffer.units.get(name)
        found = await self._read(partial(self._reader.between, name, from_s, to_s, limit))
        series = self._known(name, unit, found)
        return Series(series.unit, merge(series.samples, unwritten)[:limit])

    async def retain(self) -> None:
        """Delete what is older than `keep_days` and shrink the file, in short steps between other requests.

        Size needs no call: it is kept with every commit. Cancelling it stops after the present step.
        """
        commits, _ = self._open_queues()
        while await commits.submit_always(Database.trim, 1):
            continue

    def status(self) -> StoreStatus:
        """What is in the store and what it did; doesn't touch the database."""
        commits, events = self._open_queues()
        counts = self._database.counts
        return StoreStatus(
            rows=counts.rows,
            data_points=counts.data_points,
            database_bytes=size_bytes(self.path),
            wal_bytes=size_bytes(self.path.with_name(f"{self.path.name}-wal")),
            commits=counts.commits,
            rows_added=counts.rows_added,
            rows_retired=counts.rows_retired,
            written_bytes=counts.written_bytes,
            events_buffered=len(self._buffer),
            events_dropped=self._buffer.dropped,
            queued_rows=commits.queued_rows,
            busy=commits.refused,
            last_error=events.last_error,
        )

    def _open_queues(self) -> tuple[GroupCommit, EventWriter]:
        if self._closing or self._commits is None or self._events is None:
            raise StoreClosed(f"{self.path}: the store is {'closed' if self._closing else 'not open yet'}")
        return self._commits, self._events

    async def _read(self, read: Callable[[], _R]) -> _R:
        self._open_queues()
        if self._reads >= self.limits.reads:
            raise StoreBusy(f"{self._reads} reads wait already; try again later")
        self._reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, read)
        finally:
            self._reads -= 1

    def _known(self, name: str, unit: str | None, series: Series | None) -> Series:
        if series is not None:
            return series
        if unit is not None:  # its events wait to be written, so the data point does too
            return Series(unit, [])
        raise StoreRefused(f"no data point {name!r}: make it with createDataPoint, or check its name")

    async def _finish_writing(self, writing: Executor, reading: Executor) -> None:
        if self._commits is not None and self._events is not None:
            await self._events.aclose()
            await self._commits.aclose()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(reading, self._reader.close)
        await loop.run_in_executor(writing, self._database.close)

    def _end_threads(self) -> None:
        for executor in (self._reading, self._writing):
            if executor is not None:
                executor.shutdown(wait=False)
        self._reading = self._writing = None
