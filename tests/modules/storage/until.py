"""Waiting for a condition instead of for a time; fails when it doesn't come true within ten seconds."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition()`. Raises TimeoutError."""
    deadline_s = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the condition never came true")
        await asyncio.sleep(0)
