"""What becomes of a message when the nats-server is killed, and started again as a node's guardian does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gridlink.errors import ConnectionLost
from gridlink.lifecycle import State
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.integration.guarantees import worker as work
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


async def test_a_module_that_starts_meanwhile_runs_when_the_server_is_back(site: Site, tmp_path: Path) -> None:
    """Where a server is is not the module's business: else its restarts are used up, and it is FAILED for good."""
    manifest, tasks = Manifest(name="late", version="1.0.0", entry="worker:Worker"), Tasks("test")
    config = {"done": str(tmp_path / "late.done")}
    site.kill_server()
    await eventually(lambda: not site.bus._up.is_set())
    spec = HostSpec(manifest, lambda: Loaded(work.Worker), tmp_path, tmp_path / "data", "node", config)
    starting = tasks.spawn(site.node.host(spec), name="host")
    await eventually((tmp_path / "late.done").exists)  # its start() has run
    assert not starting.done()
    site.server.start()
    assert (await starting).state is State.RUNNING
    assert await site.sender.request("worker", "look", {"number": "1"}, reply=str) == "1"


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
