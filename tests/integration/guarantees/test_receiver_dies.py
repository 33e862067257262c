"""What becomes of a message whose receiver is killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gridlink.errors import NoSuchRole, RequestTimeout
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.integration.guarantees.site import Site
from tests.integration.guarantees.worker import Worker


async def test_a_request_to_a_receiver_that_dies_times_out_and_is_not_tried_again(site: Site) -> None:
    """Nobody knows whether it was done. The next one goes to the other member, and without one fails at once."""
    first, tasks = await site.worker("w1"), Tasks("test")
    asking = tasks.spawn(
        site.sender.request("worker", "work", {"number": "1", "for_s": 30}, reply=str, timeout_s=2.0), name="ask"
    )
    await eventually(lambda: first.notes("begun"))
    first.kill()
    began_s = time.monotonic()
    with pytest.raises(NoSuchRole):
        await site.sender.request("worker", "work", {"number": "2"}, reply=str, timeout_s=30)
    assert time.monotonic() - began_s < 5
    second = await site.worker("w2")
    with pytest.raises(RequestTimeout, match="may still be done"):
        await asking
    assert await site.sender.request("worker", "work", {"number": "3"}, reply=str) == "3"
    assert second.notes("begun") == ["3"]
    assert first.notes("done") == []


async def test_an_idempotent_request_to_a_receiver_that_dies_is_answered_by_another(site: Site) -> None:
    """At half its time it is tried once more; whoever answers first has answered."""
    first, tasks = await site.worker("w1"), Tasks("test")
    job = {"number": "1", "for_s": 1.2}
    asking = tasks.spawn(site.sender.request("worker", "look", job, reply=str, timeout_s=4.0), name="ask")
    await eventually(lambda: first.notes("begun"))
    second = await site.worker("w2")
    first.kill()
    assert await asking == "1"
    assert (first.notes("done"), second.notes("done")) == ([], ["1"])


async def test_the_second_try_goes_to_another_node(site: Site, tmp_path: Path) -> None:
    """The first may be slow for a reason that its node has: asking it again would only add to the load."""
    own, other = tmp_path / "own", await site.worker("w1")
    manifest = Manifest(name="worker", version="1.0.0", entry="worker:Worker", idempotent=("look",))
    data = tmp_path / "data"
    await site.node.host(HostSpec(manifest, lambda: Loaded(Worker), tmp_path, data, "node", {"done": str(own)}))
    job = {"number": "1", "for_s": 1.5}
    assert await site.sender.request("worker", "look", job, reply=str, timeout_s=2.0) == "1"
    assert own.read_text() == "begun 1\ndone 1\n"
    assert other.notes("begun") == ["1"]


async def test_a_slow_answer_to_an_idempotent_request_still_counts(site: Site) -> None:
    """The second try begins later, and would be too late."""
    first = await site.worker("w1")
    job = {"number": "1", "for_s": 1.5}
    assert await site.sender.request("worker", "look", job, reply=str, timeout_s=2.0) == "1"
    assert first.notes("begun") == ["1", "1"]


async def test_a_send_to_a_receiver_that_dies_is_lost_and_nobody_is_told(site: Site) -> None:
    """`send` has returned when the receiver has it; nobody waits for what becomes of it."""
    first = await site.worker("w1")
    await site.sender.send("worker", "work", {"number": "1", "for_s": 30})
    await eventually(lambda: first.notes("begun"))
    first.kill()
    second = await site.worker("w2")
    await site.flushed(second)
    assert (first.notes("done"), second.notes("begun")) == ([], [])


async def test_a_receiver_that_dies_loses_its_own_events_alone(site: Site) -> None:
    """What waits in its inbox is lost with it; the others hear everything."""
    first, second = await site.worker("w1"), await site.worker("w2")
    sent = [str(number) for number in range(20)]
    for number in sent:
        await site.sender.publish("news", "item", {"number": number, "for_s": 0.05})
    await eventually(lambda: first.notes("handled"))
    first.kill()
    await eventually(lambda: second.notes("handled") == sent)
    assert len(first.notes("handled")) < 20
