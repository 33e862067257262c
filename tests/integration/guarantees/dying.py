"""`python -m tests.integration.guarantees.dying URL KIND`: sends, and kills itself with SIGKILL the moment it may.

A request: when the worker has begun it (a byte on stdin says so). A send: when `send` returns. Events: after 1,000
calls of `publish`, of which the last are still on their way. `leave` publishes as many, and ends cleanly.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from gridlink.bus.nats import NatsBus
from gridlink.module.sender import Sender
from gridlink.tasks import Tasks

EVENTS = 1000


async def main(url: str, kind: str) -> None:
    """Returns from `leave` alone."""
    bus = NatsBus("test", "dying")
    await bus.connect(url)
    sender, tasks = Sender(bus, "dying@dying"), Tasks("dying")
    if kind in ("work", "look"):
        tasks.spawn(sender.request("worker", kind, {"number": "1", "for_s": 0.3}, reply=str), name="ask")
        await asyncio.to_thread(sys.stdin.read, 1)
    elif kind == "send":
        await sender.send("worker", "work", {"number": "1", "for_s": 0.3})
    else:
        for number in range(EVENTS):
            await sender.publish("news", "item", {"number": str(number)})
            if number % 100 == 0:
                await asyncio.sleep(0)  # the loop's turn: what was published so far goes out
    if kind == "leave":
        await bus.aclose()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
