"""Events on their way to the disk: gathered in memory, written together at the latest after `flush_s`.

Always: one write of events is under way at a time; what failed is tried again, what is dropped is counted.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from storage.database import Database
from storage.event_buffer import EventBuffer
from storage.group_commit import GroupCommit
from storage.sample import Row

RETRY_S = 10.0  # longest time between two tries after a failure


class EventWriter:
    """Owns the timer of the next write. `flush_s` is asked anew each time. Its owner calls `aclose` last."""

    def __init__(self, commits: GroupCommit, buffer: EventBuffer, flush_s: Callable[[], float]) -> None:
        """Nothing is scheduled yet."""
        self._commits = commits
        self._buffer = buffer
        self._flush_s = flush_s
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[object] | None = None
        self._closing = False
        self.last_error: str | None = None

    async def record(self, rows: Sequence[Row], unit: str) -> None:
        """Keep `rows`; waits while the disk is behind. Cancelling it while it waits: they are not kept."""
        while self._writing is not None and not self._buffer.room(len(rows)):
            await asyncio.wait([self._writing])
        for row in rows:
            self._buffer.add(row, unit)
        if self._buffer.due and self.last_error is None:
            self._write()
        elif self._writing is None:
            self._start_timer(self._flush_s())

    async def flush(self) -> None:
        """Write what waits now. Raises StoreUnavailable; it waits on then. Cancelling ends only the wait."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        writing = self._write()
        if writing is not None:
            await asyncio.shield(writing)

    async def write_before(self, data_points: Iterable[str]) -> None:
        """Events of these came earlier, so they are queued earlier than what the caller submits next."""
        if any(self._buffer.has_pending(name) for name in data_points):
            if self._writing is not None:
                await asyncio.wait([self._writing])
            self._write()

    async def aclose(self) -> None:
        """One last try to write what waits; what fails is dropped. May be called twice."""
        self._closing = True
        self._stop_timer()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        writing = self._write()
        if writing is not None:
            await asyncio.wait([writing])
        self._buffer.forget()

    def _write(self) -> asyncio.Future[object] | None:
        if self._writing is None and len(self._buffer):
            self._stop_timer()
            rows = self._buffer.take()
            write = partial(Database.add_events, rows=rows, units=dict(self._buffer.units))
            self._writing = self._commits.submit_always(write, len(rows))
            self._writing.add_done_callback(self._written)
        return self._writing

    def _written(self, writing: asyncio.Future[object]) -> None:
        self._writing = None
        failure = writing.exception()
        if failure is None:
            dropped = writing.result()
            self._buffer.written(dropped if isinstance(dropped, int) else 0)
            self.last_error = None
        else:
            self._buffer.failed()
            self.last_error = str(failure)
        if len(self._buffer) and not self._closing:
            self._start_timer(self._flush_s() if failure is None else min(RETRY_S, self._flush_s()))

    def _start_timer(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._time_is_up)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _time_is_up(self) -> None:
        self._timer = None
        self._write()
