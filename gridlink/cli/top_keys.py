"""Single keys from the terminal, without echo and without Enter; as it was at the end. Nothing where stdin is none."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Calls `pressed` with each key, from the running loop. Ctrl-C stays what it is."""
    if not sys.stdin.isatty():
        yield
        return
    import termios  # noqa: PLC0415 - for people alone
    import tty  # noqa: PLC0415

    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)

    def read() -> None:
        for key in os.read(fd, 64).decode("utf-8", "replace"):
            pressed(key)

    try:
        tty.setcbreak(fd)
        loop.add_reader(fd, read)
        yield
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
