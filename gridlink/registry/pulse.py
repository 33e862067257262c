"""When a node says that it lives: once a second, and the nodes of a site together.

Woken fifty times a second by fifty nodes, a process that does nothing at all takes 0.8 % of a processor; woken once by
all of them it takes a fraction. So each node beats as soon as it hears another's beat, unless its own was just now:
within two beats all of a site are in step, whenever they were started, without a clock that they share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BEAT_S = 1.0
APART_S = BEAT_S / 2  # two beats of a node are never closer, whatever it hears


class Pulse:
    """Calls `beat` from `start` to `stop`: BEAT_S after the last time at the latest, APART_S at the earliest."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._timer: asyncio.TimerHandle | None = None  # None: it is stopped
        self._last_s = 0.0  # of the loop's clock

    def start(self) -> None:
        """The first beat is due in BEAT_S: whoever starts has just announced itself."""
        loop = asyncio.get_running_loop()
        self._last_s = loop.time()
        self._timer = loop.call_at(self._last_s + BEAT_S, self._now)

    def heard(self) -> None:
        """Another node has beaten."""
        if self._timer is not None and asyncio.get_running_loop().time() - self._last_s >= APART_S:
            self._timer.cancel()
            self._now()

    def stop(self) -> None:
        """No beat comes after this. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _now(self) -> None:
        self.start()
        self._beat()
