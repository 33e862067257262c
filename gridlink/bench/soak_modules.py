"""The modules that `gridlink bench soak` hosts in real nodes: one answers, one asks and publishes, one blocks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from gridlink import Module, Topic, request, subscribe


@dataclass(frozen=True)
class Reading:
    """What a meter says."""

    meter: str
    value_pu: float
    active_kw: float
    phases: list[int]
    valid: bool
    timestamp_s: float


EXAMPLE = Reading("bus_10", 1.0123, 12.25, [1], True, 1779235920)


@dataclass(frozen=True)
class Order:
    """How many requests the asking module shall make, and how many at a time."""

    requests: int
    concurrency: int


class SoakAnswers(Module[None]):
    """Answers requests with what it got."""

    roles = ("soak",)

    @request("echo")
    async def echo(self, reading: Reading) -> Reading:
        """The payload, checked on the way in and out."""
        return reading


class SoakAsks(Module[None]):
    """Asks the role `soak` and publishes on the topic `soak` when it is told to."""

    publishes = (Topic("soak", reading=Reading),)

    @request("ask")
    async def ask(self, order: Order) -> float:
        """Makes the requests, each asker one after the other; returns the real seconds that it took."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(order.concurrency):
                group.create_task(self._ask(len(range(number, order.requests, order.concurrency))))
        return time.monotonic() - began_s

    async def _ask(self, number: int) -> None:
        for _ in range(number):
            await self.bus.request("soak", "echo", EXAMPLE, reply=Reading, timeout_s=30)

    @request("flood")
    async def flood(self, events: int) -> float:
        """Publishes so many events as fast as it can; returns the real seconds that it took."""
        began_s = time.monotonic()
        for _ in range(events):
            await self.bus.publish("soak", "reading", EXAMPLE)
        return time.monotonic() - began_s


class SoakBlocks(Module[None]):
    """Has a handler that doesn't come back until it is released."""

    def __init__(self) -> None:
        self._released = asyncio.Event()

    @subscribe("soak", "reading")
    async def reading(self, _: Reading) -> None:
        """Waits for `release`."""
        await self._released.wait()

    @request("release")
    async def release(self) -> None:
        """Lets the handler go on, with this event and all that follow."""
        self._released.set()
