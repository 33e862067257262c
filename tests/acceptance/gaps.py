"""How long nobody answers: a module is asked without a break, and the times between two answers are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.running import Running


@asynccontextmanager
async def asked(node: Running, gaps: list[float]) -> AsyncIterator[None]:
    """Has the counter asked without a break; `gaps`: the times between two answers, in seconds.

    It ends with an answer, so that the last gap is one of them.
    """
    asking = asyncio.ensure_future(_ask(node, gaps))  # noqa: TID251
    try:
        yield
        answers = len(gaps)
        await eventually(lambda: len(gaps) > answers, timeout_s=20)
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def _ask(node: Running, gaps: list[float]) -> None:
    last_s = time.monotonic()
    while True:
        try:
            await node.sender.request("counter", "look", timeout_s=0.5)
        except GridlinkError:
            await asyncio.sleep(0.01)
            continue
        now_s = time.monotonic()
        gaps.append(now_s - last_s)
        last_s = now_s
