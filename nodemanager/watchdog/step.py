"""Which step of the loop runs: an object that is the same as long as the step lasts. For asyncio's loop, and uvloop."""

from __future__ import annotations

import asyncio
import selectors
from asyncio.events import Handle
from types import FrameType

_RUN_HANDLE = Handle._run.__code__
_SELECT = getattr(selectors.DefaultSelector.select, "__code__", None)


class Steps:
    """Tells steps apart, in a signal handler.

    A task is not enough by itself: it is the same in each of its steps. What makes it enough is a mark in the loop's
    queue (see Watchdog): a task's next step is queued when the present one ends, and so behind the mark.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._base: FrameType | None = None

    def learn(self, frame: FrameType | None) -> None:
        """Told the frame that called a callback: asyncio's is a handle's; another loop's is whoever runs the loop."""
        self._base = None if frame is None or frame.f_code is _RUN_HANDLE else frame

    def running(self, frame: FrameType | None) -> object | None:
        """The step that runs in `frame`; None while the loop itself does."""
        if frame is not None and frame.f_code is _SELECT:
            return None  # the usual case, and so a cheap one
        task = asyncio.current_task(self._loop)
        if task is not None:
            return task
        if self._base is None:
            return _handle(frame)
        if frame is self._base:
            return self._base  # idle, or a callback in C: the mark will tell
        while frame is not None and frame.f_back is not self._base:
            frame = frame.f_back
        return frame

    def forget(self) -> None:
        """Lets go of the frame."""
        self._base = None


def _handle(frame: FrameType | None) -> object | None:
    while frame is not None:
        if frame.f_code is _RUN_HANDLE:
            return frame.f_locals["self"]  # type: ignore[no-any-return]
        frame = frame.f_back
    return None
