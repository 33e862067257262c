"""How long the others in a process get no turn, and how much of that is the machine's fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class Stall:
    """`longest_s`: between two turns of the loop; without what this thread waited for a processor meanwhile."""

    longest_s = 0.0


@asynccontextmanager
async def stalls() -> AsyncIterator[Stall]:
    """Looks as long as the context lasts."""
    stall = Stall()

    async def look() -> None:
        last_s, waited_s = time.monotonic(), _waited_s()
        while True:
            await asyncio.sleep(0.005)
            now_s, waits_s = time.monotonic(), _waited_s()
            stall.longest_s = max(stall.longest_s, now_s - last_s - (waits_s - waited_s))
            last_s, waited_s = now_s, waits_s

    looking = asyncio.get_running_loop().create_task(look())
    try:
        await asyncio.sleep(0)
        yield stall
        await asyncio.sleep(0.02)
    finally:
        looking.cancel()


def _waited_s() -> float:
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
