"""Requests that came while their module gave way to another one of it. Bounded: past MAX_HELD they are Busy."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from gridlink.bus.protocol import Answer
from gridlink.errors import Busy, GridlinkError, PayloadTooLarge, Stopping
from gridlink.message import Message
from gridlink.tasks import Tasks

MAX_HELD = 2048
AT_ONCE = 32  # half of what a module takes: others ask it too
AGAIN_S = 0.02
Forward = Callable[[Message], Awaitable[bytes]]
"""Has a request handled, and returns the reply. Raises Busy where it was not begun."""


class Held:
    """Of one instance, in order of arrival."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[tuple[Message, Answer]] = deque()

    def keep(self, message: Message, answer: Answer) -> GridlinkError | None:
        """Keeps a request, unless there are too many."""
        if len(self._waiting) >= MAX_HELD:
            return Busy(f"{self._name} moves to another process, and {MAX_HELD} requests wait for that: try again")
        self._waiting.append((message, answer))
        return None

    async def hand_over(self, forward: Forward, within_s: float) -> None:
        """Has all that was kept handled; each is answered, at the latest after `within_s`."""
        tasks, by_s = Tasks(f"{self._name}, handing over"), time.monotonic() + within_s
        while self._waiting and (left_s := by_s - time.monotonic()) > 0:
            for _ in range(min(AT_ONCE, len(self._waiting))):
                tasks.spawn(self._some(forward, by_s), name="held requests")
            await tasks.wait(left_s)
        await tasks.aclose(0.2)
        self.refuse()

    def refuse(self) -> None:
        """Answers all that waits still: it was not begun."""
        while self._waiting:
            message, answer = self._waiting.popleft()
            answer(self._moved(message))

    async def _some(self, forward: Forward, by_s: float) -> None:
        while self._waiting:
            message, answer = self._waiting.popleft()
            try:
                answer(await self._reply(forward, message, by_s))
            except GridlinkError as error:
                answer(error)

    async def _reply(self, forward: Forward, message: Message, by_s: float) -> bytes:
        while True:
            try:
                return await forward(message)
            except PayloadTooLarge as error:
                raise self._moved(message) from error
            except Busy:
                if time.monotonic() > by_s or message.time_left_s() == 0.0:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _moved(self, message: Message) -> Stopping:
        return Stopping(f"{self._name} has moved to another process: {message.type} was not begun, try again")
