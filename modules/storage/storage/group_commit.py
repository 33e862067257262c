"""Group commit: what queued while the last transaction ran goes into the next one, with one fsync for all.

Always: one batch is in the writer at a time, batches and the operations in them keep the order of arrival,
an operation is answered only after its batch has been committed, and the queue is bounded (in rows).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from storage.database import Operation
from storage.errors import StoreBusy, StoreClosed, StoreError

Commit = Callable[[list[Operation], float], list[object]]


@dataclass(slots=True)
class _Waiting:
    operation: Operation
    rows: int
    answer: asyncio.Future[object]


class GroupCommit:
    """A bounded queue before the writer's thread, for one event loop; its owner calls `aclose` last."""

    def __init__(self, commit: Commit, executor: Executor, max_rows: int, now: Callable[[], float]) -> None:
        """`commit` runs in `executor`, `now` (site time) in the loop; `max_rows` bounds queue and batch."""
        self._commit = commit
        self._executor = executor
        self._max_rows = max_rows
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._scheduled = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.queued_rows = 0
        self.submitted = 0
        self.refused = 0

    async def submit(self, operation: Operation, rows: int = 1) -> object:
        """Have `operation` committed; returns what it returned once that is durable.

        Raises StoreBusy when the queue is full (nothing was written), StoreRefused, StoreUnavailable.
        Cancelling it: an operation that still waits is dropped; one that the writer has is committed, or not.
        """
        if self.queued_rows and self.queued_rows + rows > self._max_rows:
            self.refused += 1
            raise StoreBusy(
                f"the writer is behind: {self.queued_rows} rows wait, {self._max_rows} may; try again later"
            )
        return await self.submit_always(operation, rows)

    def submit_always(self, operation: Operation, rows: int) -> asyncio.Future[object]:
        """Like `submit` without the bound: for the store's own operations, one of a kind at a time."""
        if self._closed:
            raise StoreClosed("the store was closed before it took the request: nothing was written")
        answer: asyncio.Future[object] = self._loop.create_future()
        self._queue.append(_Waiting(operation, rows, answer))
        self.queued_rows += rows
        self.submitted += 1
        if not self._scheduled:
            # Not at once: what else is submitted in this turn of the loop shares the fsync.
            self._scheduled = True
            self._idle.clear()
            self._loop.call_soon(self._next)
        return answer

    async def aclose(self) -> None:
        """Take nothing more and wait until what is queued is committed. May be called twice."""
        self._closed = True
        await self._idle.wait()

    def _next(self) -> None:
        batch = self._take()
        if not batch:
            self._scheduled = False
            self._idle.set()
            return
        operations = [each.operation for each in batch]
        running = self._loop.run_in_executor(self._executor, self._commit, operations, self._now())
        running.add_done_callback(partial(self._committed, batch))

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._queue and (not batch or rows + self._queue[0].rows <= self._max_rows):
            waiting = self._queue.popleft()
            self.queued_rows -= waiting.rows
            if not waiting.answer.done():  # else its caller was cancelled
                batch.append(waiting)
                rows += waiting.rows
        return batch

    def _committed(self, batch: list[_Waiting], running: asyncio.Future[list[object]]) -> None:
        if running.cancelled():
            failure: BaseException | None = StoreError("the writer was stopped before it committed")
        else:
            failure = running.exception()
        outcomes = [failure] * len(batch) if failure is not None else running.result()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, BaseException):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
        self._next()
