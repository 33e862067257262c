"""What becomes of a message whose receiver is told to end: it finishes what it has, other members do the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from gridlink.testing import eventually
from tests.integration.guarantees.site import Site, Worker

SENDERS = 20  # at the same time; fewer than a module takes at once


async def without_a_pause(first: Worker, second: Worker, ask: Callable[[str], Awaitable[object]]) -> list[str]:
    """The numbers that were asked, without a pause, before, while and after the first worker ends."""
    asked: list[str] = []

    async def one_after_the_other() -> None:
        while first.process.poll() is None or len(asked) < after:
            asked.append(str(len(asked)))
            await ask(asked[-1])

    after = 500
    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(one_after_the_other())
        await eventually(lambda: len(first.notes("begun")) > 50 and len(second.notes("begun")) > 50, timeout_s=15)
        first.process.terminate()
    return asked


@pytest.mark.parametrize("kind", ["work", "look"])
async def test_every_request_is_answered_and_done_once_while_a_member_ends(site: Site, kind: str) -> None:
    """Those that it has begun it finishes; those that it hasn't are sent to the other member."""
    first, second = await site.worker("w1"), await site.worker("w2")

    async def ask(number: str) -> None:
        job = {"number": number, "for_s": 0.01}
        assert await site.sender.request("worker", kind, job, reply=str) == number

    asked = await without_a_pause(first, second, ask)
    assert Counter(first.notes("done") + second.notes("done")) == Counter(asked)


async def test_every_send_is_done_once_while_a_member_ends(site: Site) -> None:
    """What it was handed before its end it finishes; nobody would do it instead."""
    first, second = await site.worker("w1"), await site.worker("w2")

    async def send(number: str) -> None:
        await site.sender.send("worker", "work", {"number": number, "for_s": 0.01})
        await asyncio.sleep(0.02)  # the pace: 20 senders that don't wait would overrun any worker

    asked = await without_a_pause(first, second, send)
    await eventually(lambda: len(first.notes("done") + second.notes("done")) >= len(asked))
    assert Counter(first.notes("done") + second.notes("done")) == Counter(asked)


async def test_events_that_have_arrived_are_handled_before_the_end(site: Site) -> None:
    """As long as the module's time to stop allows; what is published later it doesn't hear."""
    worker = await site.worker("w1")
    sent = [str(number) for number in range(20)]
    for number in sent:
        await site.sender.publish("news", "item", {"number": number, "for_s": 0.05})
    await eventually(lambda: worker.notes("handled"))
    worker.process.terminate()
    await asyncio.to_thread(worker.process.wait, 15)
    assert worker.notes("handled") == sent
