"""`python -m tests.integration.cluster.load URL RATE SECONDS OUT`: asks the role echo so often, and notes what came.

A line a request: its number, when it was sent, when it was over (monotonic seconds), and the error's class or `ok`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gridlink.bus.nats import NatsBus
from gridlink.config import credentials
from gridlink.errors import GridlinkError
from gridlink.module.retry import Retry
from gridlink.module.sender import Sender
from gridlink.tasks import Tasks

TICK_S = 0.01
TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and what became of it."""

    number: str
    sent_s: float
    over_s: float
    outcome: str


def read(file: Path) -> list[Asked]:
    """What a load has written."""
    parts = (line.split() for line in file.read_text().splitlines())
    return [Asked(number, float(sent), float(over), outcome) for number, sent, over, outcome in parts]


async def main(url: str, rate: float, seconds: float, out: str) -> None:
    """Sends until the time is over, and waits for what is still under way."""
    mark = f"{os.getpid():x}"
    bus = NatsBus("a", f"load-{mark}")
    await bus.connect(url, credentials())
    retry = Retry(lambda *_: False, bus.connected)  # as every module has it, of a type that may not be done twice
    sender, tasks, lines = Sender(bus, f"load@{bus.node}", retry=retry), Tasks("load"), []

    async def ask(number: str) -> None:
        sent_s = time.monotonic()
        try:
            await sender.request("echo", "do", number, reply=str, timeout_s=TIMEOUT_S)
            outcome = "ok"
        except GridlinkError as error:
            outcome = type(error).__name__
        lines.append(f"{number} {sent_s} {time.monotonic()} {outcome}\n")

    began_s, count = time.monotonic(), 0
    print("ready", flush=True)
    while (past_s := time.monotonic() - began_s) < seconds:
        while count < past_s * rate:
            count += 1
            tasks.spawn(ask(f"{mark}-{count}"), name="ask")
        await asyncio.sleep(TICK_S)
    await tasks.wait(TIMEOUT_S + 1)
    Path(out).write_text("".join(lines))
    await bus.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
