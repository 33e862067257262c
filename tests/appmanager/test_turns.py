"""What takes a process each is done by a few at once; whoever comes too many is told so, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from appmanager.turns import Turns
from gridlink.errors import Busy
from gridlink.tasks import Tasks
from gridlink.testing import eventually


class Works:
    """Counts who has a turn, until it is told to end."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.end = turns, asyncio.Event()
        self.now = self.most = self.done = 0

    async def work(self) -> None:
        """One of many."""
        async with self.turns.turn():
            self.now += 1
            self.most = max(self.most, self.now)
            await self.end.wait()
            self.now, self.done = self.now - 1, self.done + 1


async def test_so_many_work_at_once_so_many_wait_and_the_next_one_is_refused() -> None:
    """And all who waited have their turn."""
    works, tasks = Works(Turns("logs are read", at_once=2, waiting=3)), Tasks("test")
    for _ in range(5):
        tasks.spawn(works.work(), name="work")
    await eventually(lambda: works.now == 2)
    with pytest.raises(Busy, match="logs are read for others, and 3 more wait: try again later"):
        await works.work()
    works.end.set()
    await eventually(lambda: works.done == 5)
    assert works.most == 2
    await works.work()


async def test_who_waits_too_long_is_refused() -> None:
    """Whoever asked has given up by then."""
    works, tasks = Works(Turns("logs are read", at_once=1, within_s=0.05)), Tasks("test")
    tasks.spawn(works.work(), name="work")
    await eventually(lambda: works.now == 1)
    with pytest.raises(Busy, match=r"for 0\.05 s now"):
        await works.work()
    works.end.set()
    await eventually(lambda: works.done == 1)
    await works.work()


@pytest.mark.parametrize("has_turn", [True, False])
async def test_who_is_cancelled_leaves_its_turn_to_others(has_turn: bool) -> None:
    """Whether it waited or worked; a turn that is lost would be lost for good."""
    works, tasks = Works(Turns("logs are read", at_once=1, waiting=1)), Tasks("test")
    first, second = (tasks.spawn(works.work(), name="work", awaited=True) for _ in range(2))
    await eventually(lambda: works.now == 1)
    gone = first if has_turn else second
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    works.end.set()
    await eventually(lambda: works.done == 1)
    await works.work()
