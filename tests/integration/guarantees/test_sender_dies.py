"""What becomes of a message whose sender is killed: what it has handed over is done, and the rest is lost."""

from __future__ import annotations

import asyncio
import signal

import pytest

from gridlink.testing import eventually
from tests.integration.guarantees.dying import EVENTS
from tests.integration.guarantees.site import Site


async def ended(site: Site, kind: str) -> int:
    """The exit status of a sender of that kind."""
    process = site.dying(kind)
    return await asyncio.to_thread(process.wait, 15)


@pytest.mark.parametrize("kind", ["work", "look"])
async def test_a_request_of_a_dead_sender_is_done_once_all_the_same(site: Site, kind: str) -> None:
    """A tap changer that moves must not stop half-way; and nobody is there who could ask again."""
    worker = await site.worker("w1")
    process = site.dying(kind)
    await eventually(lambda: worker.notes("begun"), timeout_s=15)
    process.communicate(b"x", timeout=15)
    assert process.returncode == -signal.SIGKILL
    await eventually(lambda: worker.notes("done"))
    await site.flushed(worker)
    assert worker.notes("begun") == worker.notes("done") == ["1"]


async def test_a_send_that_has_returned_is_done_though_its_sender_is_dead(site: Site) -> None:
    """`send` waits for the server: what it has is delivered."""
    worker = await site.worker("w1")
    assert await ended(site, "send") == -signal.SIGKILL
    await eventually(lambda: worker.notes("done"))
    assert worker.notes("begun") == worker.notes("done") == ["1"]


async def test_of_the_events_of_a_dead_sender_the_last_ones_are_lost(site: Site) -> None:
    """`publish` waits for nobody: what was not yet written dies with its process; no gap, nothing twice."""
    worker = await site.worker("w1")
    assert await ended(site, "event") == -signal.SIGKILL
    await site.flushed(worker)
    heard = [number for number in worker.notes("heard") if number != "last"]
    assert heard == [str(number) for number in range(len(heard))]
    assert 0 < len(heard) < EVENTS


async def test_a_sender_that_ends_cleanly_loses_no_event(site: Site) -> None:
    """What was published is flushed first."""
    worker = await site.worker("w1")
    assert await ended(site, "leave") == 0
    await eventually(lambda: len(worker.notes("heard")) == EVENTS)
    assert worker.notes("heard") == [str(number) for number in range(EVENTS)]
