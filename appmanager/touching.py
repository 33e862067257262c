"""Of which modules what runs is being ended, replaced or watched, and by whom: one at a time.

A command receives and tries its bundle beside what runs, which is protected as ever meanwhile: it is moved when it
hangs or ends its process. From then on to its end nobody else may touch it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gridlink.errors import Busy

WITHIN_S = 45.0  # longer than a NodeManager waits for a move


class Touching:
    """Of one AppManager."""

    def __init__(self) -> None:
        self._by: dict[str, str] = {}
        self._ended: dict[str, asyncio.Event] = {}  # of those that somebody waits for

    def __contains__(self, module: object) -> bool:
        return module in self._by

    def modules(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._by)

    def begin(self, module: str, by: str) -> None:
        """Begins. Raises Busy: somebody else touches it."""
        other = self._by.setdefault(module, by)
        if other != by:
            raise Busy(f"{module}: {other} is under way: wait for its end")

    async def begin_after(self, module: str, by: str) -> None:
        """Begins when whoever touches it has ended. Raises Busy: that takes too long."""
        if self._by.get(module, by) != by:
            with suppress(TimeoutError):
                async with asyncio.timeout(WITHIN_S):
                    await self._ended.setdefault(module, asyncio.Event()).wait()
        self.begin(module, by)

    def end(self, module: str, by: str) -> None:
        """Ends, where it was that one who touches it."""
        if self._by.get(module) == by:
            del self._by[module]
            if ended := self._ended.pop(module, None):
                ended.set()
