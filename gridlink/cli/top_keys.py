"""Single keys from the terminal, without echo and without Enter; as it was at the end. Nothing where stdin is none."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

END_OF_INPUT = "\x04"


@contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Calls `pressed` with each key, from the running loop, and with END_OF_INPUT when the terminal has gone.

    Ctrl-C stays what it is.
    """
    if not sys.stdin.isatty():
        yield
        return
    import termios  # noqa: PLC0415 - for people alone
    import tty  # noqa: PLC0415

    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)

    def read() -> None:
        try:
            typed = os.read(fd, 64)
        except OSError:  # how Linux may say that nobody is at the other side any more
            typed = b""
        if not typed:
            loop.remove_reader(fd)
        for key in typed.decode("utf-8", "replace") or END_OF_INPUT:
            pressed(key)

    try:
        tty.setcbreak(fd)
        loop.add_reader(fd, read)
        yield
    finally:
        loop.remove_reader(fd)
        with suppress(termios.error):  # a terminal that has gone needs no settings
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
