"""A child process of the guardian and its lifeline: two pipes, one for what it says, one whose end tells that we died.

Each child leads a session of its own (a terminal's Ctrl-C is for the guardian, which ends children in order).
"""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SILENT_S = 10.0
FIRST_WORD_S = 60.0  # a fresh interpreter on a slow board


class Child:
    """A process that lives, and what it has said."""

    def __init__(self, name: str, pid: int, heard_fd: int, held_fd: int) -> None:
        self.name, self.pid = name, pid
        self.heard_fd, self._held_fd = heard_fd, held_fd
        self.ready = False
        self.starting = ""  # the module that is being started in it
        self.reason = ""  # why it failed, in its own words
        self.wants_reload = False  # nats-server is to read its configuration again
        self.silent = False  # we killed it because it said nothing
        self.kill_at_s = 0.0  # 0: it isn't being stopped
        self._heard_s = time.monotonic()
        self._spoke = False
        self._partial = b""

    def listen(self) -> None:
        """Takes in the lines that its lifeline has: heartbeats, and what gridlink.node.process says."""
        try:
            received = os.read(self.heard_fd, 4096)
        except BlockingIOError:
            return
        *lines, self._partial = (self._partial + received).split(b"\n")
        if lines:
            self._heard_s, self._spoke = time.monotonic(), True
        for line in lines:
            what, _, text = line.decode("utf-8", "replace").partition(" ")
            if what == "ready":
                self.ready = True
            elif what == "starting":
                self.starting = text
            elif what == "reload":
                self.wants_reload = True
            elif what == "failed":
                self.reason = text

    def silent_for_s(self, now_s: float) -> float:
        """How long it has said nothing, if that is too long; else 0."""
        silent_s = now_s - self._heard_s
        return silent_s if silent_s > (SILENT_S if self._spoke else FIRST_WORD_S) else 0.0

    def signal(self, number: int) -> None:
        """Sends a signal, if the process still is."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            self.kill_at_s = 0.0

    def stop(self, grace_s: float) -> None:
        """Asks the process to end, and notes when it is to be killed."""
        self.kill_at_s = time.monotonic() + grace_s
        self.signal(signal.SIGTERM)

    def close(self) -> None:
        """Closes our ends of the lifeline."""
        os.close(self.heard_fd)
        os.close(self._held_fd)


def start(name: str, run: Callable[[int, int], int]) -> Child:
    """Forks; the child calls `run(say_fd, held_fd)` and exits with what it returns. `run` may exec instead."""
    heard, say = os.pipe()
    theirs, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.close(heard)
            os.close(ours)
            status = run(say, theirs)
        except BaseException:  # noqa: BLE001 - the last frame of this process: nobody else can say what happened
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    os.close(say)
    os.close(theirs)
    os.set_blocking(heard, False)
    return Child(name, pid, heard, ours)


def fresh_interpreter(settings: str) -> Callable[[int, int], int]:
    """What a child does to become a node in an interpreter of its own; `settings` is its NodeSettings as JSON."""

    def run(say_fd: int, held_fd: int) -> int:
        os.set_inheritable(say_fd, True)
        os.set_inheritable(held_fd, True)
        os.execv(sys.executable, [sys.executable, "-m", "gridlink.node", settings, str(say_fd), str(held_fd)])

    return run


def ended_how(status: int, silent: bool) -> str:
    """The end of a process in words."""
    if silent:
        return f"it had said nothing for {SILENT_S:g} s and was killed"
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
