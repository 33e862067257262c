"""A node's pipes to its guardian: what it says goes out; what it is told, and that the guardian is gone, comes in.

Lines out: heartbeats, readiness, which module is being started, why the node failed. Lines in: `end SECONDS` (so long
the end may take; SIGTERM follows) and `pid NAME PID` (a process of the guardian's was replaced). The end of file means
that the guardian is gone: then the process ends in order, and by force where something keeps its loop.

In C code that never looks up no Python runs, so no force either. Against that the kernel counts the processor time of
the process: a timer whose signal ends it (nobody handles it) is set anew with each heartbeat. As long as the guardian
lives it never comes so far: that kills whoever is silent, and sooner (a module with a longer limit: at twice that).
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import fcntl
import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable

log = logging.getLogger("gridlink.node")

BEAT_S = 0.5
STOP_WITHIN_S = 8.0  # where whoever ends the process doesn't say how long it waits
ORPHAN_WITHIN_S = 6.0  # a process without a guardian is in the way of the next one
GUARDIAN_ACTS_S = 10.0  # its SILENT_S
STUCK = 2 * (os.cpu_count() or 1)  # twice what all processors give until the guardian acts
STUCK_CPU_S = STUCK * GUARDIAN_ACTS_S
READY, BEAT, STARTING, FAILURE, RELOAD, LIMIT = "ready", ".", "starting", "failed", "reload", "limit"
END, PID = "end", "pid"
DUMP_SIGNAL = signal.SIGRTMIN + 7  # the guardian asks for the stack; C code answers, also while a C call holds the loop


class Ending:
    """Whether the process is to end, and by when."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._by_s = math.inf

    def begin(self, within_s: float) -> None:
        """The process is to end. Told again, the shorter time counts."""
        self._by_s = min(self._by_s, time.monotonic() + within_s)
        self._told.set()

    async def wait(self) -> None:
        """Returns when the process is to end. Cancelling it changes nothing."""
        await self._told.wait()

    def left_s(self) -> float:
        """Seconds that are left for it; STOP_WITHIN_S where it ends without having been told to."""
        return max(0.0, self._by_s - time.monotonic()) if self._told.is_set() else STOP_WITHIN_S


class Lifeline:
    """The two pipes, as an `async with`. `on_pid` hears which process of the guardian's has been replaced."""

    def __init__(self, say_fd: int, held_fd: int, ending: Ending, on_pid: Callable[[str, int], None]) -> None:
        self._say_fd, self._held_fd, self._ending, self._on_pid = say_fd, held_fd, ending, on_pid
        self._partial = b""
        self._granted_s = STOP_WITHIN_S
        self._stuck_cpu_s = STUCK_CPU_S

    async def __aenter__(self) -> Lifeline:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end)
        for fd in (self._say_fd, self._held_fd):
            os.set_blocking(fd, False)
        loop.add_reader(self._held_fd, self._listen)
        signal.signal(signal.SIGIO, self._interrupted)
        fcntl.fcntl(self._held_fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._held_fd, fcntl.F_SETFL, fcntl.fcntl(self._held_fd, fcntl.F_GETFL) | os.O_ASYNC)
        faulthandler.register(DUMP_SIGNAL, file=self._say_fd, all_threads=False)
        faulthandler.enable(file=self._say_fd, all_threads=False)  # where native code crashes, the guardian reads where
        if self._guardian_is_gone():  # it went before its end could be signalled
            self._interrupted()
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._held_fd)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.unregister(DUMP_SIGNAL)
        faulthandler.disable()

    def say(self, what: str, text: str = "") -> None:
        """Writes a line to the guardian, which may be gone or slow: a heartbeat more or less doesn't matter."""
        if what == LIMIT:  # the watchdog's: the guardian gives a module twice that
            self._stuck_cpu_s = max(self._stuck_cpu_s, STUCK * 2 * float(text.partition(" ")[0]))
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._say_fd, f"{what} {' '.join(text.split())}".strip().encode() + b"\n")

    async def beat(self) -> None:
        """Says that the loop runs, twice a second."""
        while True:
            signal.setitimer(signal.ITIMER_VIRTUAL, self._stuck_cpu_s)
            self.say(BEAT)
            await asyncio.sleep(BEAT_S)

    def _told_to_end(self) -> None:
        self._listen()  # the line that says how long it may take was written before the signal was sent
        self._ending.begin(self._granted_s)

    def _listen(self) -> None:
        try:
            received = os.read(self._held_fd, 4096)
        except BlockingIOError:
            return
        if not received:
            log.error("the guardian is gone: this node ends")
            asyncio.get_running_loop().remove_reader(self._held_fd)
            self._ending.begin(ORPHAN_WITHIN_S * 0.8)
            return
        *lines, self._partial = (self._partial + received).split(b"\n")
        for line in lines:
            what, *words = line.decode().split()
            if what == END:
                self._granted_s = float(words[0])
            elif what == PID:
                self._on_pid(words[0], int(words[1]))

    def _interrupted(self, *_: object) -> None:
        """SIGIO: something came in. It interrupts also a module that keeps the loop, so that even then we end."""
        if self._guardian_is_gone():
            # A thread of the C library's ends us, with every stack on stderr: it needs neither the loop nor the GIL.
            faulthandler.dump_traceback_later(ORPHAN_WITHIN_S, exit=True, file=2)

    def _guardian_is_gone(self) -> bool:
        poll = select.poll()
        poll.register(self._held_fd, select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll(0))
