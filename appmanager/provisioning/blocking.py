"""Blocking work on the disk from a coroutine, and errors as an operator reads them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gridlink.errors import GridlinkError

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Does short blocking work, the journal's say, in a thread. Cancelled, it waits for its end first.

    So no two threads work on one module.
    """
    return await _ended(asyncio.get_running_loop().run_in_executor(None, work))


async def in_own_thread(work: Callable[[], T]) -> T:
    """The same for work that may take long, or for ever: in a thread of its own, so that no journal waits for it."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="gridlink-slow")
    try:
        return await _ended(asyncio.get_running_loop().run_in_executor(executor, work))
    finally:
        executor.shutdown(wait=False)


async def _ended(task: asyncio.Future[T]) -> T:
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def said(error: BaseException) -> str:
    """An error as an operator reads it."""
    if isinstance(error, GridlinkError):
        return str(error)
    if isinstance(error, OSError):
        advice = ": make room" if error.errno == errno.ENOSPC else ""
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}{advice}"
    return f"{type(error).__name__}: {error}"
