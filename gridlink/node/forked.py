"""What becomes of a copy of the node's process that a module has made with `os.fork`: it ends where the loop goes on.

It has the node's connection, timers and pipes, and would speak on them as a second node. Children that never come back
to the loop (`subprocess`, `multiprocessing`) do their work.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
from typing import Any

from gridlink.module.owner import owner

log = logging.getLogger("gridlink.node")


def end_copies(loop: asyncio.AbstractEventLoop) -> None:
    """From now on, for as long as this process lives."""
    ready: Any = getattr(loop, "_ready", None)  # asyncio's own loops
    pid = os.getpid()

    def in_child() -> None:
        faulthandler.disable()  # it would write into the node's lifeline
        if os.getppid() != pid:
            return  # a child's child: the first one's loop ends before it runs
        if ready is not None:
            ready.appendleft(asyncio.Handle(_end, (owner.get(),), loop))  # before anything else that waits for its turn
        else:
            loop.call_soon(_end, owner.get())

    os.register_at_fork(after_in_child=in_child)


def _end(whose: str) -> None:
    """In the copy: says what it was, and ends it."""
    try:
        log.warning(
            "%s called os.fork: the copy of the node ends here, as two can't speak for it: use subprocess or "
            "multiprocessing",
            whose or "somebody",
        )
    finally:
        os._exit(0)
