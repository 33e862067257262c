"""What becomes of a message whose receiver can't follow: nothing piles up without end."""

from __future__ import annotations

import contextlib
import time

import pytest

from gridlink.errors import Busy
from gridlink.module.inbox import MAX_IN_FLIGHT, MAX_WAITING
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.integration.guarantees.site import Site, Worker


async def full(site: Site, tasks: Tasks) -> Worker:
    """A worker that has as many requests in flight as it takes, for longer than the test runs."""
    worker = await site.worker("w1")
    for number in range(MAX_IN_FLIGHT):
        job = {"number": str(number), "for_s": 60}
        tasks.spawn(site.sender.request("worker", "work", job, reply=str, timeout_s=60), name="ask")
    await eventually(lambda: len(worker.notes("begun")) == MAX_IN_FLIGHT)
    return worker


@pytest.mark.parametrize("kind", ["work", "look"])
async def test_a_request_past_the_limit_is_refused_at_once_and_not_begun(site: Site, kind: str) -> None:
    """Busy: try again later. Nobody does it for the sender, who alone knows whether that helps."""
    tasks = Tasks("test")
    worker = await full(site, tasks)
    began_s = time.monotonic()
    with pytest.raises(Busy):
        await site.sender.request("worker", kind, {"number": "late"}, reply=str, timeout_s=30)
    assert time.monotonic() - began_s < 5
    assert "late" not in worker.notes("begun")
    assert await site.counted(worker, "busy") == 1
    await tasks.aclose()
    worker.kill()


async def test_a_send_past_the_limit_is_dropped_and_counted(site: Site) -> None:
    """Its sender is told by chance alone, where the refusal is as fast as the server: who must know asks a request."""
    tasks = Tasks("test")
    worker = await full(site, tasks)
    with contextlib.suppress(Busy):
        await site.sender.send("worker", "work", {"number": "late"})

    async def counted() -> bool:
        return await site.counted(worker, "busy") == 1

    await eventually(counted)
    assert "late" not in worker.notes("begun")
    await tasks.aclose()
    worker.kill()


async def test_of_the_events_past_the_limit_the_oldest_are_dropped_and_counted(site: Site) -> None:
    """What is new says more than what is old."""
    worker, more = await site.worker("w1"), 500
    await site.sender.publish("news", "item", {"number": "slow", "for_s": 3.0})
    await eventually(lambda: worker.notes("heard"))
    for number in range(MAX_WAITING + more):
        await site.sender.publish("news", "item", {"number": str(number)})
    await eventually(lambda: len(worker.notes("handled")) == 1 + MAX_WAITING, timeout_s=20)
    assert worker.notes("handled") == ["slow", *(str(number) for number in range(more, MAX_WAITING + more))]
    assert await site.counted(worker, "dropped_events") == more
