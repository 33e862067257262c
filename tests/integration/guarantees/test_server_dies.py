"""What becomes of a message when the nats-server is killed, and started again as a node's guardian does."""

from __future__ import annotations

import time

import pytest

from gridlink.errors import ConnectionLost
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.integration.guarantees.site import Site, Worker


async def back(site: Site, worker: Worker) -> None:
    """Starts the server again; returns when events pass, so that all that is kept anywhere has come."""
    site.server.start()
    await site.flushed(worker)


async def test_a_request_in_flight_fails_at_once_and_is_done_once(site: Site) -> None:
    """Its handler runs on; the answer has no way back, and the sender is told that the outcome is unknown."""
    worker, tasks = await site.worker("w1"), Tasks("test")
    asking = tasks.spawn(
        site.sender.request("worker", "work", {"number": "1", "for_s": 1.0}, reply=str, timeout_s=30), name="ask"
    )
    await eventually(lambda: worker.notes("begun"))
    site.kill_server()
    began_s = time.monotonic()
    with pytest.raises(ConnectionLost):
        await asking
    assert time.monotonic() - began_s < 5
    with pytest.raises(ConnectionLost):
        await site.sender.request("worker", "work", {"number": "2"}, reply=str, timeout_s=30)
    await back(site, worker)
    await eventually(lambda: worker.notes("done"))
    assert worker.notes("begun") == worker.notes("done") == ["1"]


async def test_an_idempotent_request_in_flight_is_tried_again_and_answered(site: Site) -> None:
    """It may be done twice, and says so in its manifest: the sender need not know that anything happened."""
    worker, tasks = await site.worker("w1"), Tasks("test")
    asking = tasks.spawn(
        site.sender.request("worker", "look", {"number": "1", "for_s": 0.5}, reply=str, timeout_s=30), name="ask"
    )
    await eventually(lambda: worker.notes("begun"))
    site.kill_server()
    await eventually(lambda: not site.bus._up.is_set())
    await back(site, worker)
    assert await asking == "1"
    assert worker.notes("begun") == ["1", "1"]


async def test_a_send_that_failed_is_never_done(site: Site) -> None:
    """While there is no server, nothing is kept for later."""
    worker = await site.worker("w1")
    site.kill_server()
    for number in range(20):  # the first of them go out before anybody has noticed
        with pytest.raises(ConnectionLost):
            await site.sender.send("worker", "work", {"number": str(number)})
    await back(site, worker)
    assert worker.notes("begun") == []


async def test_events_without_a_server_are_lost_and_counted(site: Site) -> None:
    """Listeners of the sender's own node hear them; for all others they are gone."""
    worker = await site.worker("w1")
    site.kill_server()
    await eventually(lambda: not site.bus._up.is_set())
    before = site.bus.lost_events  # heartbeats are events too
    for number in range(10):
        await site.sender.publish("news", "item", {"number": str(number)})
    assert site.bus.lost_events >= before + 10
    await back(site, worker)
    assert set(worker.notes("heard")) == {"last"}
