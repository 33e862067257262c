"""A module's own small pool of worker threads, for handlers that block. Made when the first of them runs.

A thread that is stuck is never waited for when the module stops: it is named, and its request gets an error at once.
Stuck is one that still runs when its request's deadline has passed, or longer than the module's handlers have to end.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gridlink.errors import ConnectionLost, GridlinkError, Stopping
from gridlink.message import current
from gridlink.tasks import is_cancelled

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger("gridlink.module")

MAX_THREADS = 4


class _Call(Struct, frozen=True, eq=False):
    """One that a thread has, or waits for a thread."""

    name: str
    future: Future[Any]  # the thread's; done when that has returned
    waiter: asyncio.Future[Any]  # the handler's
    since_s: float
    deadline_s: float  # of its request


class Threads:
    """Runs blocking calls of one instance in at most MAX_THREADS threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._calls: set[_Call] = set()
        self._given_up: set[_Call] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self.cpu_ns = 0  # that its calls have used
        self._counting = threading.Lock()

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result. Cancelling it leaves the thread to finish alone.

        Raises ConnectionLost where the thread is given up, and Stopping where none has begun until then.
        """
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most modules have no thread

            self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=self._name)
        context = contextvars.copy_context()
        future = self._pool.submit(self._counted, context.run, function, *arguments)
        message = current.get(None)
        due_s = message.deadline_s if message is not None else None
        waiter = asyncio.wrap_future(future)
        call = _Call(function.__name__, future, waiter, time.monotonic(), inf if due_s is None else due_s)
        self._calls.add(call)
        future.add_done_callback(lambda _: self._calls.discard(call))  # the thread's end, not the waiter's
        try:
            return await waiter
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise self._stuck(call) from error

    def _stuck(self, call: _Call) -> GridlinkError:
        if call.future.cancelled():
            return Stopping(f"{self._name} is stopping: {call.name} was not begun, try again")
        return ConnectionLost(f"{self._name} is stopping, and its thread in {call.name} is stuck: it may still be done")

    def _counted(self, call: Callable[..., Any], *arguments: Any) -> Any:
        began_ns = time.thread_time_ns()
        try:
            return call(*arguments)
        finally:
            with self._counting:
                self.cpu_ns += time.thread_time_ns() - began_ns

    def give_up_stuck(self, limit_s: float) -> None:
        """From now on, until `close`, gives up each call at its request's deadline, or when it has taken `limit_s`."""
        now_s, loop = time.monotonic(), asyncio.get_running_loop()
        for call in tuple(self._calls):
            left_s = min(call.deadline_s, call.since_s + limit_s) - now_s
            self._timers.append(loop.call_later(max(0.0, left_s), self._give_up, call))

    def _give_up(self, call: _Call) -> None:
        call.waiter.cancel()
        if call.future.running():
            self._given_up.add(call)
        if len(self._given_up & self._calls) == MAX_THREADS:  # no other will ever begin
            for waits in [call for call in self._calls if not call.future.running()]:
                waits.waiter.cancel()

    def close(self) -> None:
        """Starts no more calls, and names those that still run. May be called twice."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for call in tuple(self._calls):
            log.warning("%s: its thread in %s still runs; it is not waited for", self._name, call.name)
        pool.shutdown(wait=False, cancel_futures=True)
