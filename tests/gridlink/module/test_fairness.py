"""No module keeps the event loop by what it may well do: publish in a loop, or handle what waits without awaiting."""

from __future__ import annotations

import asyncio
import time

from gridlink import Module, Topic, request, subscribe, testing
from gridlink.module.inbox import MAX_WAITING
from gridlink.tasks import Tasks
from gridlink.testing import Site, eventually

SPIN_S = 0.0005
EVENTS = 400


class Busybody(Module[None]):
    """Awaits nothing but what it publishes, and handles events without awaiting at all."""

    publishes = (Topic("readings", reading=int),)

    def __init__(self) -> None:
        self.handled = 0

    @request("publish")
    async def publish(self, number: int) -> None:
        """Publishes so many."""
        for _ in range(number):
            await self.bus.publish("readings", "reading", 1)

    @subscribe("work", "piece")
    async def piece(self, _: int) -> None:
        """Works for a while."""
        until_s = time.perf_counter() + SPIN_S
        while time.perf_counter() < until_s:
            pass
        self.handled += 1


class Ticks:
    """How often the event loop came round."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        """Counts until it is cancelled."""
        while True:
            await asyncio.sleep(0)
            self.count += 1


async def counted(site: Site, work: str) -> int:
    """How often others had the loop while the module published, or handled, EVENTS events."""
    ticks, tasks = Ticks(), Tasks("ticks")
    if work == "publish":
        tasks.spawn(ticks.run(), name="ticks")
        await site.request("busybody@test", "publish", EVENTS)
    else:
        assert EVENTS < MAX_WAITING
        for _ in range(EVENTS):
            await site.publish("work", "piece", 1)
        tasks.spawn(ticks.run(), name="ticks")
        await eventually(lambda: site.counters("busybody").events == EVENTS)
    await tasks.aclose()
    return ticks.count


async def test_who_publishes_in_a_loop_lets_others_have_the_event_loop() -> None:
    """The connection's pings would go unanswered, and the watchdog would take the module for one that blocks."""
    async with testing.site() as site:
        await site.host(Busybody, name="busybody")
        assert await counted(site, "publish") >= 10


async def test_events_that_wait_are_handled_in_turns() -> None:
    """A thousand events that wait, of a millisecond each, would keep the loop for a second."""
    async with testing.site() as site:
        await site.host(Busybody, name="busybody")
        assert await counted(site, "handle") >= 10
