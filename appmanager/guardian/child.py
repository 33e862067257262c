"""A child process of the guardian and its lifeline: two pipes, one for what it says, one whose end tells that we died.

Each child leads a session of its own (a terminal's Ctrl-C is for the guardian, which ends children in order).
"""

from __future__ import annotations

import os
import sys
import time

from appmanager.guardian.silence import Silence
from gridlink.signals import name_of, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appmanager.guardian.limits import Confinement

COMPACT = ("-X", "no_debug_ranges")  # 0.3 MiB less: a traceback names the line, and not the place in it
SILENT_S = 10.0
IN_REAL_TIME = 2.0  # of a limit, for which only the time counts that a process has had a processor
FIRST_WORD_S = 60.0  # a fresh interpreter on a slow board
ENDED_IN_TIME = 0.9  # of the grace: so much the process is told, so that it ends before it is killed


class Child:
    """A process that lives, and what it has said."""

    def __init__(self, name: str, pid: int, heard_fd: int, held_fd: int) -> None:
        self.name, self.pid, self.mode = name, pid, ""
        self.heard_fd, self._held_fd = heard_fd, held_fd
        self.ready = False
        self.starting = ""  # the module that is being started in it
        self.reason = ""  # why it failed, in its own words
        self.wants_reload = False  # nats-server is to read its configuration again
        self.silent = False  # we killed it because it said nothing
        self.kill_at_s = 0.0  # 0: it isn't being stopped
        self.confinement: Confinement | None = None  # its limits, where it has some
        self._heard_s = time.monotonic()
        self._spoke = False
        self.silence = Silence(pid, self._heard_s)
        self._partial = b""

    def hear_out(self) -> None:
        """Takes in all that it has said before its end."""
        while self.listen():
            pass

    def listen(self) -> bool:
        """Takes in the lines that its lifeline has: heartbeats, and what gridlink.node.process says; False: nothing."""
        try:
            received = os.read(self.heard_fd, 4096)
        except BlockingIOError:
            return False
        *lines, self._partial = (self._partial + received).split(b"\n")
        for line in lines:
            said = line.decode("utf-8", "replace")
            what, _, text = said.partition(" ")
            now_s = time.monotonic()
            if self.silence.hear_stack(said) or self.silence.hear(what, text, now_s):
                continue  # the loop is held
            self._heard_s, self._spoke = now_s, True
            self.silence.beat(self._heard_s)
            if what == "ready":
                self.ready = True
                if self.confinement is not None:
                    self.confinement.started()
            elif what == "starting":
                self.starting = text
            elif what == "reload":
                self.wants_reload = True
            elif what == "failed":
                self.reason = text
        return bool(received)

    def quiet_s(self, now_s: float) -> float:
        """How long ago it said something, or was started."""
        return now_s - self._heard_s

    def silent_for_s(self, now_s: float) -> float:
        """How long it has said nothing, if that is too long; else 0.

        A module with more patience than SILENT_S has it: where it is known to hold the loop, `silence` acts first.
        """
        silent_s = now_s - self._heard_s
        longest_s = SILENT_S if self._spoke else FIRST_WORD_S
        if silent_s <= longest_s:
            return 0.0
        if not self.starting:
            longest_s = max(longest_s, IN_REAL_TIME * self.silence.patience_s)
        return silent_s if silent_s > longest_s else 0.0

    def tell(self, *words: str) -> None:
        """Writes a line to the process; one that reads nothing misses it."""
        try:
            os.write(self._held_fd, (" ".join(words) + "\n").encode())
        except (BlockingIOError, BrokenPipeError):
            return

    def kill(self) -> None:
        """Ends the process at once, and with it what it has started in its group."""
        for kill in (os.killpg, os.kill):  # it may not lead its group yet
            try:
                kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def stop(self, grace_s: float) -> None:
        """Asks the process to end, says how long it has, and notes when it is to be killed. The first time counts."""
        if self.kill_at_s:
            return
        self.kill_at_s = time.monotonic() + grace_s
        self.tell("end", f"{grace_s * ENDED_IN_TIME:.3f}")
        os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Closes our ends of the lifeline."""
        os.close(self.heard_fd)
        os.close(self._held_fd)


def start(name: str, run: Callable[[int, int], int], keep: Sequence[int] = ()) -> Child:
    """Forks; the child calls `run(say_fd, held_fd)` and exits with what it returns. `run` may exec instead.

    Of the open files it has stdin, stdout, stderr, its lifeline and those of `keep`.
    """
    heard, say = os.pipe()
    theirs, ours = os.pipe()
    # A signal to a child that still has the guardian's handlers would be lost.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.setsid()
            _forget_the_guardian((say, theirs, *keep))
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = run(say, theirs)
        except BaseException:  # noqa: BLE001 - the last frame of this process: nobody else can say what happened
            sys.excepthook(*sys.exc_info())
        finally:
            _leave(status)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(say)
    os.close(theirs)
    for fd in (heard, ours):
        os.set_blocking(fd, False)
    return Child(name, pid, heard, ours)


def _forget_the_guardian(keep: Sequence[int]) -> None:
    """In the child: signals and timers as in a new process, and the guardian's files closed."""
    signal.set_wakeup_fd(-1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGIO):
        signal.signal(number, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:  # that of the listing itself
                continue


def _leave(status: int) -> None:
    """In the child: ends it without what belongs to the guardian (its `finally`s and exit handlers)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # whoever read it is gone
            status = status or 74
    os._exit(status)


def fresh_interpreter(settings: str, keys: str = "") -> Callable[[int, int], int]:
    """What a child does to become a node in an interpreter of its own; `settings` is its NodeSettings as JSON.

    `keys` are its Warrants': they go through a pipe, as anybody may read a command line.
    """

    def run(say_fd: int, held_fd: int) -> int:
        os.set_inheritable(say_fd, True)
        os.set_inheritable(held_fd, True)
        words = [settings, str(say_fd), str(held_fd), *([str(_readable(keys))] if keys else [])]
        os.execv(sys.executable, [sys.executable, *COMPACT, "-m", "gridlink.node", *words])

    return run


def _readable(text: str) -> int:
    """A pipe with the text, for the program that this process becomes."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    os.set_inheritable(read, True)
    return read


def ended_how(status: int, silent: bool, confinement: Confinement | None = None) -> str:
    """The end of a process in words."""
    if confinement is not None and (verdict := confinement.verdict()):
        return verdict
    if silent:
        return f"it had said nothing for {SILENT_S:g} s and was killed"
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {name_of(-code)}" if code < 0 else f"exit status {code}"
