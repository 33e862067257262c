"""What becomes of a durable event where nobody dies: a reader that ends cleanly, and a link that is silent.

Those of dead senders, readers and servers are in tests/integration/test_durable.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from gridlink import address
from gridlink.bus.durable.reading import NEXT
from gridlink.bus.durable.settings import JetStreamSettings
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.leaf import leaf_configuration, with_leaf_listener
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import configuration, find_program
from gridlink.message import Message
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.conftest import require_nats_server
from tests.integration.cluster.hosts import Network, require_namespaces
from tests.integration.durable_site import durable_site


@pytest.fixture(autouse=True)
def _server() -> None:
    require_nats_server()


async def test_a_reader_that_ends_cleanly_and_comes_back_gets_everything(tmp_path: Path) -> None:
    """What it was handed and hasn't handled waits for it, or for another instance."""
    async with durable_site(tmp_path) as site:
        await site.publish(0, 800, per_s=400)
        await site.until(lambda: len(site.seen) > 100, 10)
        before = site.entry("sink")
        assert before is not None
        os.kill(before.pid, signal.SIGTERM)
        await site.until(lambda: (entry := site.entry("sink")) is not None and entry.pid != before.pid, 20)
        await site.until(lambda: site.runs_done == 1, 20)
        await site.all_seen(20)
        site.check()
        assert (site.failed, len(site.stored)) == ([], 800)


@pytest.fixture
def network() -> Iterator[Network]:
    """The host that has the servers."""
    require_namespaces()
    with Network("h1") as made:
        yield made


def _ports(directory: Path) -> list[Path]:
    return list(directory.glob("*.ports"))


@pytest.fixture
async def bus(tmp_path: Path, network: Network) -> AsyncIterator[NatsBus]:
    """The test's own connection to a store on the host, over a link that can be cut."""
    host, settings = network.hosts["h1"], JetStreamSettings()
    texts = {
        "nats": with_leaf_listener(configuration("test", 4222, str(tmp_path / "nats")), 7422, "secret"),
        "jetstream": leaf_configuration("test", str(tmp_path / "jetstream"), 7422, "secret", settings),
    }
    servers = []
    try:
        for name, text in texts.items():
            (tmp_path / name).mkdir()
            file = tmp_path / name / "nats-server.conf"
            file.write_text(text.replace('"127.0.0.1:4222"', '"0.0.0.0:4222"'))
            servers.append(host.popen(find_program(), "-c", str(file), output=tmp_path / f"{name}.out"))
            await eventually(partial(_ports, tmp_path / name), timeout_s=15)
        made = NatsBus("test", "n1")
        await made.connect(f"nats://{host.way_in}:4222")
        yield made
        await made.aclose()
    finally:
        for server in servers:
            server.terminate()
            server.wait(timeout=10)


@pytest.mark.slow
async def test_durable_events_in_a_partition_are_stored_and_read_afterwards(bus: NatsBus, network: Network) -> None:
    """The publisher waits with its event for 15 s, and the reader finds its place again."""
    topics, tasks = DurableTopics(bus, ("news",), JetStreamSettings()), Tasks("test")
    publish = topics.publisher("news")
    assert publish is not None

    async def put(number: int) -> None:
        event = Message(
            address=address.topic("news"), type="item", payload=b"%d" % number, source="a@n1", id=f"{number}"
        )
        await publish(event)

    async with asyncio.timeout(15):
        await put(0)
    reader = topics.reader("news", "guard", lambda _: None)
    await reader.open()
    await reader.settle(await reader.next(), NEXT)
    network.cut_way_in("h1")
    waiting = [tasks.spawn(put(number), name="put", awaited=True) for number in range(1, 20)]
    await eventually(lambda: not bus._up.is_set(), timeout_s=10)
    assert not any(one.done() for one in waiting)
    network.heal_way_in("h1")
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
        seen: list[int] = []
        while 19 not in seen:
            one = await reader.next()
            seen.append(int(one.body))
            await reader.settle(one, NEXT)
    assert list(dict.fromkeys(seen)) == list(range(1, 20))
    await reader.aclose()
