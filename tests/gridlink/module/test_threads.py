"""Handlers with `thread=True` when their module stops: who finishes is waited for, who is stuck is not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from gridlink import ConnectionLost, Module, RequestTimeout, request, testing
from gridlink.errors import Stopping
from gridlink.module.threads import MAX_THREADS
from gridlink.tasks import Tasks
from gridlink.testing import Site, eventually

LIMIT_S = 2.0
LONG_S = 30.0
AT_ONCE_S = 1.5
INSTANCE = "tests@test"


class Blocking(Module[None]):
    """Its handler blocks until the test opens it."""

    roles = ("blocking",)
    stop_within_s = LONG_S
    opened = threading.Event()

    @request("block", thread=True)
    def block(self) -> str:
        self.opened.wait(LONG_S)
        return "done"


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A node that runs it; its threads end with the test."""
    opened = threading.Event()
    monkeypatch.setattr(Blocking, "opened", opened)
    async with testing.running(Blocking) as site:
        yield site
        opened.set()


def asked(site: Site, times: int = 1) -> list[asyncio.Task[str]]:
    """Requests whose sender waits for longer than the test takes."""
    tasks = Tasks("test")
    return [
        tasks.spawn(site.request("blocking", "block", timeout_s=LONG_S), name="ask", awaited=True) for _ in range(times)
    ]


async def begun(site: Site, count: int) -> None:
    """Returns when so many calls are with the threads."""
    await eventually(lambda: len(site.node.instances[INSTANCE]._threads._calls) == count)


async def released(site: Site) -> float:
    """Stops the module; returns how long that took."""
    began_s = time.monotonic()
    await site.node.release(INSTANCE)
    return time.monotonic() - began_s


async def test_a_thread_that_ends_in_time_answers_though_its_module_stops(site: Site) -> None:
    """A stop lets what was begun be finished."""
    (asking,) = asked(site)
    await begun(site, 1)
    stopping = Tasks("test").spawn(released(site), name="stop", awaited=True)
    await eventually(lambda: site.node.instances[INSTANCE].state == "STOPPING")
    Blocking.opened.set()
    assert await asking == "done"
    await stopping


async def test_a_thread_whose_sender_waits_no_more_is_not_waited_for(site: Site) -> None:
    """Its answer is of no use to anybody."""
    with pytest.raises(RequestTimeout):
        await site.request("blocking", "block", timeout_s=0.1)
    assert await released(site) < AT_ONCE_S


async def test_a_sender_is_told_at_once_when_a_thread_is_stuck(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has taken longer than the module gives its handlers at a stop: it would be waited for in vain."""
    monkeypatch.setattr(Blocking, "stop_within_s", LIMIT_S)
    began_s, (asking,) = time.monotonic(), asked(site)
    await begun(site, 1)
    await eventually(lambda: time.monotonic() - began_s > LIMIT_S)
    assert await released(site) < AT_ONCE_S
    with pytest.raises(ConnectionLost, match="its thread in block is stuck: it may still be done"):
        await asking


async def test_what_waits_behind_stuck_threads_alone_is_told_that_it_was_not_begun(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender can try again elsewhere: that is what Stopping says."""
    monkeypatch.setattr(Blocking, "stop_within_s", LIMIT_S)
    began_s, stuck = time.monotonic(), asked(site, MAX_THREADS)
    await begun(site, MAX_THREADS)
    await eventually(lambda: time.monotonic() - began_s > LIMIT_S)
    (behind,) = asked(site)
    await begun(site, MAX_THREADS + 1)
    assert await released(site) < AT_ONCE_S
    for one in stuck:
        with pytest.raises(ConnectionLost):
            await one
    with pytest.raises(Stopping, match="block was not begun"):
        await behind
