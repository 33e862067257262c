"""Turns at what takes a process each time: so many at once, so many more wait, and the next one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridlink.errors import Busy

AT_ONCE = 2  # a board has four processors at most, and modules that need them
WAITING = 16
WITHIN_S = 20.0


class Turns:
    """At one thing. `what`: what whoever is refused is told, "logs are being read"."""

    def __init__(self, what: str, at_once: int = AT_ONCE, waiting: int = WAITING, within_s: float = WITHIN_S) -> None:
        self._what, self._most, self._within_s = what, waiting, within_s
        self._free, self._waiting = asyncio.Semaphore(at_once), 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for one and has it, in the order of asking. Cancelled, it has none.

        Raises Busy: too many wait, or none came in time. Nothing was begun then.
        """
        if self._free.locked() and self._waiting >= self._most:
            raise Busy(f"{self._what} for others, and {self._waiting} more wait: try again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._within_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise Busy(f"{self._what} for others, for {self._within_s:g} s now: try again later") from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
