"""What becomes of a message whose sender is cut off without a word: no FIN, no RST. The test is the other machine.

Where the cut is between two servers of a mesh, see tests/integration/cluster.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gridlink.bus.server import configuration, find_program
from gridlink.errors import ConnectionLost
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.conftest import require_nats_server
from tests.integration.cluster.hosts import Network, require_namespaces
from tests.integration.guarantees.site import Site, Worker

NOTICED_WITHIN_S = 10.0  # three pings of a second that aren't answered, and a slow machine
pytestmark = pytest.mark.slow


@pytest.fixture
def network() -> Iterator[Network]:
    """One host besides the test's own."""
    require_namespaces()
    with Network("h1") as made:
        yield made


@pytest.fixture
async def parted(tmp_path: Path, network: Network) -> AsyncIterator[Site]:
    """A server and a worker on the host; the test's node reaches them over a link that can be cut."""
    require_nats_server()
    host, directory = network.hosts["h1"], tmp_path / "nats"
    directory.mkdir()
    text = configuration("test", 4222, str(directory)).replace("127.0.0.1:4222", "0.0.0.0:4222")
    (directory / "nats-server.conf").write_text(text)
    server = host.popen(find_program(), "-c", str(directory / "nats-server.conf"), output=tmp_path / "nats.out")
    try:
        await eventually(lambda: list(directory.glob("*.ports")))
        site = Site(tmp_path, run=host.command, url="nats://127.0.0.1:4222")
        await site.open(f"nats://{host.way_in}:4222")
        yield site
        await site.aclose()
    finally:
        server.terminate()
        server.wait(timeout=10)


async def noticed(site: Site) -> None:
    """Returns when the test's node knows that it is cut off."""
    await eventually(lambda: not site.bus._up.is_set(), timeout_s=NOTICED_WITHIN_S)


async def healed(site: Site, network: Network, worker: Worker) -> None:
    """Puts the link together; returns when events pass, so that all that is kept anywhere has come."""
    network.heal_way_in("h1")
    await eventually(site.bus._up.is_set, timeout_s=20)
    await site.flushed(worker)


async def test_a_request_into_a_partition_fails_in_seconds_and_is_never_done(parted: Site, network: Network) -> None:
    """Neither when the link is back: what could not be sent is dropped with its connection."""
    worker = await parted.worker("w1")
    network.cut_way_in("h1")
    began_s = time.monotonic()
    with pytest.raises(ConnectionLost):
        await parted.sender.request("worker", "work", {"number": "1"}, reply=str, timeout_s=30)
    assert time.monotonic() - began_s < NOTICED_WITHIN_S
    await healed(parted, network, worker)
    assert worker.notes("begun") == []


async def test_an_idempotent_request_into_a_partition_waits_for_its_end(parted: Site, network: Network) -> None:
    """As long as its deadline allows."""
    worker, tasks = await parted.worker("w1"), Tasks("test")
    network.cut_way_in("h1")
    asking = tasks.spawn(parted.sender.request("worker", "look", {"number": "1"}, reply=str, timeout_s=45), name="ask")
    await noticed(parted)
    await healed(parted, network, worker)
    assert await asking == "1"
    assert worker.notes("begun") == ["1"]


async def test_a_send_into_a_partition_fails_in_seconds_and_is_never_done(parted: Site, network: Network) -> None:
    """It waits for a sign of the server, which doesn't come."""
    worker = await parted.worker("w1")
    network.cut_way_in("h1")
    began_s = time.monotonic()
    with pytest.raises(ConnectionLost):
        await parted.sender.send("worker", "work", {"number": "1"})
    assert time.monotonic() - began_s < NOTICED_WITHIN_S
    await healed(parted, network, worker)
    assert worker.notes("begun") == []


async def test_events_into_a_partition_are_lost(parted: Site, network: Network) -> None:
    """Before anybody knows of it nobody counts them; from then on they are counted."""
    worker = await parted.worker("w1")
    network.cut_way_in("h1")
    await parted.sender.publish("news", "item", {"number": "before"})
    await noticed(parted)
    before = parted.bus.lost_events
    await parted.sender.publish("news", "item", {"number": "after"})
    assert parted.bus.lost_events > before
    await healed(parted, network, worker)
    assert set(worker.notes("heard")) == {"last"}


async def test_a_partition_that_is_over_before_it_is_noticed_loses_nothing(parted: Site, network: Network) -> None:
    """TCP sends again: everything comes late, once, and in order."""
    worker, tasks = await parted.worker("w1"), Tasks("test")
    network.cut_way_in("h1")
    sent = [str(number) for number in range(100)]
    for number in sent:
        await parted.sender.publish("news", "item", {"number": number})
    asking = tasks.spawn(parted.sender.request("worker", "work", {"number": "1"}, reply=str, timeout_s=30), name="ask")
    await eventually(lambda: parted.bus._in_flight)
    network.heal_way_in("h1")
    assert await asking == "1"
    await eventually(lambda: len(worker.notes("heard")) >= len(sent))
    assert (worker.notes("heard"), worker.notes("begun")) == (sent, ["1"])


def test_the_cut_is_silent(network: Network) -> None:
    """A link that is down would be noticed at once: these tests would show nothing."""
    host = network.hosts["h1"]
    network.cut_way_in("h1")
    links = subprocess.run(["ip", "-o", "link", "show", host.test_link], capture_output=True, text=True, check=True)
    assert "LOWER_UP" in links.stdout
