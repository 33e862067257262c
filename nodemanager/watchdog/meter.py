"""Reads what the present thread has done: time, CPU time, voluntary switches."""

from __future__ import annotations

import time
from resource import RUSAGE_THREAD, getrusage

from nodemanager.watchdog.hold import Sample

_ALWAYS_SLEEPS = 1000  # switches a second that are assumed where the kernel doesn't count them


class Meter:
    """Made in the thread that it is to measure. Some sandboxes count no switches: wall time has to do there."""

    def __init__(self) -> None:
        before = getrusage(RUSAGE_THREAD).ru_nvcsw
        time.sleep(0.001)
        self._counts = getrusage(RUSAGE_THREAD).ru_nvcsw > before

    def sample(self) -> Sample:
        """The thread now. Takes some 2 us."""
        at_s, usage = time.monotonic(), getrusage(RUSAGE_THREAD)
        switches = usage.ru_nvcsw if self._counts else int(at_s * _ALWAYS_SLEEPS)
        return Sample(at_s, usage.ru_utime + usage.ru_stime, switches)
