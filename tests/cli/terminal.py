"""A command in a pseudo-terminal, as a person has it: what it shows, keys, its end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence

from tests.conftest import clean_environment


class Terminal:
    """Runs a command line in a terminal of so many columns and lines; `nohup`: as under that command."""

    def __init__(self, arguments: Sequence[str], columns: int = 100, lines: int = 30, *, nohup: bool = False) -> None:
        self.shown = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            size = struct.pack("HHHH", lines, columns, 0, 0)
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            if nohup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execve(arguments[0], list(arguments), clean_environment() | {"TERM": "xterm-256color"})

    def shows(self, *patterns: str, within_s: float = 20.0) -> None:
        """Waits until all patterns have been shown since `forget`."""
        deadline_s = time.monotonic() + within_s
        while not all(re.search(pattern, self.shown) for pattern in patterns):
            assert time.monotonic() < deadline_s, f"not shown: {patterns}\n{self.shown[-4000:]}"
            self._take()

    def forget(self) -> None:
        """Looks only at what comes from now on."""
        self.shown = ""

    def _take(self) -> bool:
        if not select.select([self._fd], [], [], 0.1)[0]:
            return True
        try:
            received = os.read(self._fd, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x07", "", received.decode("utf-8", "replace"))
        return bool(received)

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self._fd, keys)

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, line by line: as it was before the command."""
        flags: int = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def hang_up(self) -> None:
        """Goes away, as a terminal whose line has dropped."""
        os.close(self._fd)

    def ends(self, within_s: float = 30.0) -> int:
        """The exit status, once it has ended."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            self._take()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._take() and select.select([self._fd], [], [], 0)[0]:
                    pass
                os.close(self._fd)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it did not end:\n{self.shown[-4000:]}")
