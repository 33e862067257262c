"""Deadlines of requests in flight, swept together every 50 ms: a timer a message would cost more than the message."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gridlink.address import readable
from gridlink.errors import GridlinkError, RequestTimeout
from gridlink.message import Message

SWEEP_S = 0.05


class Deadlines:
    """The futures that somebody waits on and when each is due. No timer runs while there are none."""

    def __init__(self) -> None:
        self._due_s: dict[asyncio.Future[Any], Message] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due_s)

    def watch(self, future: asyncio.Future[Any], message: Message) -> None:
        """Fails `future`, which waits for the answer to `message`, with RequestTimeout at the message's deadline."""
        self._due_s[future] = message
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def forget(self, future: asyncio.Future[Any]) -> None:
        """Ends the watch: the answer is there, or nobody waits any more."""
        self._due_s.pop(future, None)

    def fail_all(self, error: GridlinkError) -> None:
        """Fails everything in flight with `error`."""
        for future in list(self._due_s):
            if not future.done():
                future.set_exception(error)
        self._due_s.clear()

    def _sweep(self) -> None:
        now_s = time.monotonic()
        for future, message in list(self._due_s.items()):
            if future.done():
                del self._due_s[future]
            elif message.deadline_s is not None and message.deadline_s <= now_s:
                what = f"{readable(message.address)} {message.type}"
                future.set_exception(RequestTimeout(f"no answer from {what} in time: it may still be done"))
                del self._due_s[future]
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if self._due_s else None
