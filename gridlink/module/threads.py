"""A module's own small pool of worker threads, for handlers that block. Made when the first of them runs.

A thread that never returns is never waited for: it is reported when the module stops.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger("gridlink.module")

MAX_THREADS = 4


class Threads:
    """Runs blocking calls of one instance in at most MAX_THREADS threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[int, str] = {}
        self.cpu_ns = 0  # that its calls have used
        self._counting = threading.Lock()

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The call's result. Cancelling it leaves the thread to finish alone."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most modules have no thread

            self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=self._name)
        context = contextvars.copy_context()
        key = id(context)
        self._running[key] = call.__name__
        future = self._pool.submit(self._counted, context.run, call, *arguments)
        future.add_done_callback(lambda _: self._running.pop(key, None))  # the thread's end, not the waiter's
        return await asyncio.wrap_future(future)

    def _counted(self, call: Callable[..., Any], *arguments: Any) -> Any:
        began_ns = time.thread_time_ns()
        try:
            return call(*arguments)
        finally:
            with self._counting:
                self.cpu_ns += time.thread_time_ns() - began_ns

    def close(self) -> None:
        """Starts no more calls, and names those that still run. May be called twice."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for name in list(self._running.values()):
            log.warning("%s: its thread in %s still runs; it is not waited for", self._name, name)
        pool.shutdown(wait=False, cancel_futures=True)
