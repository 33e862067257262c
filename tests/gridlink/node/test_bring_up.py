"""Modules are started in the order of their `uses`, and not all at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gridlink.bus.local import LocalBus
from gridlink.clock import SiteClock
from gridlink.manifest import Manifest
from gridlink.node.bring_up import AT_ONCE, bring_up
from gridlink.node.plan import Planned
from gridlink.registry import Registry
from gridlink.tasks import Tasks


class Slow:
    """A module that settles when its turn comes."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()


async def test_only_so_many_are_starting_at_any_time() -> None:
    """A board has no memory for a thousand interpreters that start together, and a manager takes so many requests."""
    names = [f"m{number}" for number in range(3 * AT_ONCE + 5)]
    planned = [Planned(Path(n), n, Manifest(name=n, version="1.0.0", entry="a:A"), "node") for n in names]
    started: list[Slow] = []
    unsettled: asyncio.Queue[Slow] = asyncio.Queue()
    most = 0

    def start(_: Planned) -> Slow:
        nonlocal most
        started.append(Slow())
        starting = [one for one in started if not one.settled.is_set()]
        most = max(most, len(starting))
        unsettled.put_nowait(started[-1])
        return started[-1]

    async def settle() -> None:
        for _ in planned:
            (await unsettled.get()).settled.set()
            await asyncio.sleep(0)

    tasks = Tasks("test")
    tasks.spawn(settle(), name="settle")
    async with Registry(LocalBus("n", "s"), "m", SiteClock()) as registry:
        await bring_up(planned, start, registry, tasks)
    await tasks.aclose()
    assert len(started) == len(planned)
    assert most == AT_ONCE
    assert all(one.settled.is_set() for one in started)
