"""A module that is held for a successor: nothing that comes meanwhile is lost, begun twice, or kept without bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gridlink import Module, address, request, subscribe, testing
from gridlink.errors import Busy, GridlinkError, StartFailed, StateInvalid, Stopping
from gridlink.lifecycle import State
from gridlink.message import Message
from gridlink.module import handing_over, held
from gridlink.module.instance import Instance
from gridlink.testing import Site, eventually

Forward = Callable[[Message], Awaitable[bytes]]


class Counter(Module[None]):
    """Counts."""

    roles = ("counter",)
    refuses = False

    def __init__(self) -> None:
        self.count, self.heard = 0, list[int]()

    async def start(self) -> None:
        if type(self).refuses:
            raise ValueError("not again")

    @request("add")
    async def add(self) -> int:
        self.count += 1
        return self.count

    @request("wait")
    async def wait(self) -> None:
        await asyncio.Event().wait()

    @subscribe("ticks", "tick")
    async def on_tick(self, number: int) -> None:
        self.heard.append(number)

    @request("heard")
    async def all_heard(self) -> list[int]:
        return self.heard

    async def snapshot(self) -> int:
        return self.count

    async def restore(self, state: int) -> None:
        self.count = state


async def keep(instance: Instance) -> bytes:
    """The state, without a file."""
    return await instance.snapshot()


async def nobody(message: Message) -> bytes:
    """There is no successor."""
    raise AssertionError(f"{message.type} was handed over")


async def hosted(site: Site) -> Instance:
    """The module, having counted to 1."""
    instance = site.node.instances[await site.host(Counter)]
    assert await site.request("counter", "add") == 1
    return instance


def asked(site: Site, count: int) -> list[asyncio.Task[int]]:
    """So many requests on their way."""
    return [asyncio.ensure_future(site.request("counter", "add")) for _ in range(count)]  # noqa: TID251


async def test_what_came_while_it_was_held_is_handled_when_it_goes_on(tmp_path: Path) -> None:
    """More than it takes at once, and from the state that was kept."""
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        await instance.hold(keep, nobody)
        assert instance.state is State.STOPPED
        requests = asked(site, 200)
        await asyncio.sleep(0)
        await site.publish("ticks", "tick", 1)
        assert [message.payload for message in instance.waiting()] == [b"1"]
        await instance.go_on()
        assert sorted(await asyncio.gather(*requests)) == list(range(2, 202))
        assert await site.request("counter", "heard") == [1]


async def test_a_successor_handles_what_was_held_and_the_replies_come_back(tmp_path: Path) -> None:
    """One that is busy is asked again."""
    async with testing.site(tmp_path) as site:
        instance, busy = await hosted(site), [True]

        async def forward(message: Message) -> bytes:
            if busy.pop() if busy else False:
                raise Busy("later")
            return b"7"

        await instance.hold(keep, forward)
        requests = asked(site, 3)
        await eventually(lambda: len(instance._held._waiting) == 3 if instance._held else False)
        await site.node.release(instance.name)
        assert await asyncio.gather(*requests) == [7, 7, 7]


async def test_handlers_that_do_not_finish_keep_it_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on as if nobody had asked, and handles what came meanwhile."""
    monkeypatch.setattr(handing_over, "HOLD_GRACE_S", 0.05)
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        waiting = asyncio.ensure_future(site.request("counter", "wait"))  # noqa: TID251
        await eventually(lambda: instance.counters.requests == 2)
        holding = asyncio.ensure_future(instance.hold(keep, nobody))  # noqa: TID251
        await asyncio.sleep(0)
        assert await site.request("counter", "add") == 2
        with pytest.raises(Busy, match=r"still handles 1 messages \(wait\) after 0.05 s"):
            await holding
        assert (instance.state, instance.is_held) == (State.RUNNING, False)
        waiting.cancel()


async def test_a_state_that_can_not_be_kept_keeps_it_where_it_is(tmp_path: Path) -> None:
    """A move must not lose it."""

    async def fails(_: Instance) -> bytes:
        raise StateInvalid("the disk is full")

    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        with pytest.raises(StateInvalid):
            await instance.hold(fails, nobody)
        assert await site.request("counter", "add") == 2


async def test_one_that_does_not_go_on_refuses_what_it_held_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked may ask another one."""
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        await instance.hold(keep, nobody)
        requests = asked(site, 2)
        await eventually(lambda: len(instance._held._waiting) == 2 if instance._held else False)
        monkeypatch.setattr(Counter, "refuses", True)
        with pytest.raises(StartFailed, match="not again"):
            await instance.go_on()
        async with asyncio.timeout(1):
            assert all(
                isinstance(one, GridlinkError) for one in await asyncio.gather(*requests, return_exceptions=True)
            )


async def test_what_is_held_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past it a sender is told at once that nothing was begun."""
    monkeypatch.setattr(held, "MAX_HELD", 2)
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        await instance.hold(keep, nobody)
        requests = asked(site, 2)
        await asyncio.sleep(0.01)
        with pytest.raises(Busy, match="2 requests wait for that"):
            await site.request("counter", "add")
        await instance.go_on()
        assert await asyncio.gather(*requests) == [2, 3]


async def test_what_comes_while_it_takes_over_waits_in_line_and_nobody_is_told_that_it_is_busy(tmp_path: Path) -> None:
    """Together with what a former instance hands over it may be more at once than a module takes."""
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        inbox = instance._inbox
        if inbox is None:
            raise AssertionError("it has no inbox")
        inbox.queue(held.Held(instance.name))
        requests = asked(site, 200)
        await asyncio.sleep(0)
        catching_up = asyncio.ensure_future(instance.catch_up())  # noqa: TID251
        await asyncio.sleep(0)
        requests += asked(site, 200)
        await catching_up
        assert sorted(await asyncio.gather(*requests)) == list(range(2, 402))
        assert (await site.request("counter", "add"), instance.counters.busy) == (402, 0)


async def test_what_waits_in_line_is_refused_where_taking_over_is_given_up(tmp_path: Path) -> None:
    """Whoever asked may ask again; nobody waits for nothing."""
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        inbox = instance._inbox
        if inbox is None:
            raise AssertionError("it has no inbox")
        inbox.queue(held.Held(instance.name))
        requests = [asyncio.ensure_future(site.request("counter", "wait")) for _ in range(40)]  # noqa: TID251
        await asyncio.sleep(0)
        catching_up = asyncio.ensure_future(instance.catch_up())  # noqa: TID251
        await eventually(lambda: instance.counters.requests > 30)
        catching_up.cancel()
        async with asyncio.timeout(2):
            refused = await asyncio.gather(*requests[-5:], return_exceptions=True)
        assert all(isinstance(one, GridlinkError) for one in refused)


async def test_events_of_a_former_instance_come_first_and_none_twice(tmp_path: Path) -> None:
    """What both have got is told apart by its sender and id; a program may send none."""
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        inbox = instance._inbox
        if inbox is None:
            raise AssertionError("it has no inbox")

        def tick(number: int, id: str) -> Message:
            return Message(
                address=address.topic("ticks"), type="tick", payload=str(number).encode(), source="a@b", id=id
            )

        inbox.hold_events()
        for message in (tick(2, "x2"), tick(3, "x3"), tick(9, "")):
            inbox.take_event(message)
        instance.go_on_from([tick(1, "x1"), tick(2, "x2"), tick(9, "")])
        await eventually(lambda: instance.counters.events == 5)
        assert await site.request("counter", "heard") == [1, 2, 9, 3, 9]


async def test_only_what_runs_can_be_held_and_asking_twice_is_allowed(tmp_path: Path) -> None:
    """Two AppManagers may be in doubt."""
    async with testing.site(tmp_path) as site:
        instance = await hosted(site)
        await instance.hold(keep, nobody)
        await instance.hold(keep, nobody)
        await instance.go_on()
        await instance.go_on()
        await site.node.release(instance.name)
        with pytest.raises(Stopping, match="only a RUNNING module can be moved"):
            await instance.hold(keep, nobody)
