"""Lets the timer rest while the loop waits: a node that has nothing to do isn't woken for the watchdog's sake.

asyncio's loop waits in its selector's `select`. While little goes on, that is wrapped: the timer is set when it
returns and cleared when it is entered again, 5 us a turn of the loop. While much goes on it is as it was, and the timer
runs on. Another loop (uvloop) has no such selector: there the timer always runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

IDLE_LOOKS = 4  # in a row: then it rests
TURNS = 32
BUSY_TURNS_PER_S = 100.0


class Rest:
    """Calls `wake` when the loop begins to run something, and `sleep` when it begins to wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None], sleep: Callable[[], None]) -> None:
        self._selector: Any = getattr(loop, "_selector", None)
        self._wake, self._sleep = wake, sleep
        self._idle_looks = 0
        self._wrapped = False

    def looked(self, idle: bool) -> None:
        """Told what each look at the loop met."""
        self._idle_looks = self._idle_looks + 1 if idle else 0
        if self._idle_looks >= IDLE_LOOKS and not self._wrapped and self._selector is not None:
            self._wrap()

    def end(self) -> None:
        """Leaves the selector as it was; may be called twice."""
        if self._wrapped:
            self._wrapped = False
            del self._selector.select

    def _wrap(self) -> None:
        plain, turns, since_s = self._selector.select, 0, time.monotonic()

        def select(timeout: float | None = None) -> Any:
            nonlocal turns, since_s
            self._sleep()
            found = plain(timeout)
            self._wake()
            turns += 1
            if turns == TURNS:
                now_s = time.monotonic()
                if self._wrapped and (now_s - since_s) * BUSY_TURNS_PER_S < TURNS:
                    self._idle_looks = 0
                    self.end()
                turns, since_s = 0, now_s
            return found

        self._wrapped = True
        self._selector.select = select
