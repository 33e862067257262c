"""The side of systemd in tests: a datagram socket that is told what sd_notify(3) tells."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gridlink.testing import eventually


class Heard:
    """What was said so far, as assignments in order, each with the monotonic time at which it was read."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._assignments: list[tuple[float, str]] = []

    def all(self) -> list[str]:
        """Every assignment so far: `READY=1`, `STATUS=…`."""
        self._read()
        return [text for _, text in self._assignments]

    def status(self) -> str:
        """What `systemctl status` would show now."""
        texts = [text for text in self.all() if text.startswith("STATUS=")]
        return texts[-1].removeprefix("STATUS=") if texts else ""

    def count(self, assignment: str, since_s: float = 0.0) -> int:
        """How often it was said, from a monotonic time on."""
        self._read()
        return sum(text == assignment and at_s >= since_s for at_s, text in self._assignments)

    async def until(self, assignment: str, within_s: float) -> None:
        """Waits until it has been said (once more than now, where it was said before)."""
        before = self.count(assignment)
        await eventually(lambda: self.count(assignment) > before, timeout_s=within_s)

    def _read(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(4096)
            except BlockingIOError:
                return
            for line in datagram.decode("utf-8").split("\n"):  # as systemd splits it: one assignment a line
                name, equals, _ = line.partition("=")
                assert equals, f"not an assignment: {line!r}"
                assert name in {"READY", "STATUS", "WATCHDOG", "STOPPING"}
                self._assignments.append((time.monotonic(), line))


@contextmanager
def listening(address: Path | str) -> Iterator[Heard]:
    """A socket as systemd opens it, at a path or (`@…`) at an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        text = os.fspath(address)
        opened.bind("\0" + text[1:] if text.startswith("@") else text)
        opened.setblocking(False)
        yield Heard(opened)
