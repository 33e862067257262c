"""Reads what the present thread has done: time, CPU time, voluntary switches, and what kept it from a processor."""

from __future__ import annotations

import os
import time
from resource import RUSAGE_THREAD, getrusage

from nodemanager.watchdog.hold import Sample

_ALWAYS_SLEEPS = 1000  # switches a second that are assumed where the kernel doesn't count them


class Meter:
    """Made in the thread that it is to measure, and closed at the end.

    Some sandboxes count no switches: wall time has to do there. Some kernels don't say how long a thread has waited.
    """

    def __init__(self) -> None:
        before = getrusage(RUSAGE_THREAD).ru_nvcsw
        time.sleep(0.001)
        self._counts = getrusage(RUSAGE_THREAD).ru_nvcsw > before
        try:
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def sample(self) -> Sample:
        """The thread now. Takes some 5 us."""
        at_s, usage = time.monotonic(), getrusage(RUSAGE_THREAD)
        switches = usage.ru_nvcsw if self._counts else int(at_s * _ALWAYS_SLEEPS)
        others_s = time.process_time() - time.thread_time()
        return Sample(at_s, usage.ru_utime + usage.ru_stime, switches, self._waited_s(), others_s)

    def _waited_s(self) -> float:
        return int(os.pread(self._fd, 64, 0).split()[1]) / 1e9 if self._fd >= 0 else 0.0

    def close(self) -> None:
        """Closes its file; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
