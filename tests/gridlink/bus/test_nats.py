"""The connection of the bus over NATS: the first one, callers that go away, and a server that reads slowly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.errors import NoSuchRole, ServerUnreachable
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.faults import stopped
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import NewBus

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")
AT_ONCE_S = 5.0  # on a machine that is busy with other things; each test's alternative takes longer, or for ever


class TestConnect:
    """The first connection."""

    async def test_no_server_is_said_with_url_reason_and_advice_in_time(self) -> None:
        """nats-py itself would try for ever."""
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
            began_s = time.monotonic()
            with pytest.raises(ServerUnreachable) as caught:
                await NatsBus("test", "n1").connect(url, within_s=0.3)
        assert time.monotonic() - began_s < AT_ONCE_S
        assert url in str(caught.value)
        assert "--nats URL" in str(caught.value)

    @pytest.mark.parametrize(
        "url", ["nats://", "http//x", "nats://127.0.0.1:99999", "nats://no.such.host.invalid:4222"]
    )
    async def test_a_url_that_leads_nowhere_is_server_unreachable(self, url: str) -> None:
        """A mistyped NATS_URL is the operator's fault: one sentence, no traceback."""
        with pytest.raises(ServerUnreachable):
            await NatsBus("test", "n1").connect(url, within_s=0.5)

    async def test_something_else_that_listens_is_server_unreachable(self) -> None:
        """Port 4222 may be another program's."""

        async def http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        other = await asyncio.start_server(http, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable):
            await NatsBus("test", "n1").connect(f"nats://127.0.0.1:{port}", within_s=0.5)
        other.close()
        await other.wait_closed()


class TestCancelling:
    """A caller that goes away must not take the connection with it."""

    @pytest.mark.parametrize("what", ["send", "serve", "subscribe"])
    async def test_a_cancelled_round_trip_leaves_the_connection_alone(
        self, server: Server, nats_bus: NewBus, what: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """nats-py drops the connection, and all requests in flight, at the pong of a cancelled flush."""
        bus, receiver, tasks = await nats_bus(url=server.url), Recorder(), Tasks("test")
        calls: dict[str, Coroutine[Any, Any, object]] = {
            "send": bus.send(message(ROLE, timeout_s=None)),
            "serve": bus.serve(ROLE, receiver),
            "subscribe": bus.subscribe(TOPIC, "voltage", receiver),
        }
        await stopped(server)
        calling = tasks.spawn(calls.pop(what), name=what)
        for other in calls.values():
            other.close()
        await eventually(lambda: bus._client._pongs)
        calling.cancel()
        await asyncio.sleep(0)  # its flush is cancelled now; undoing a registration asks the server once more
        os.kill(server.pid, signal.SIGCONT)
        await asyncio.wait({calling}, timeout=3)
        assert calling.cancelled()
        with pytest.raises(NoSuchRole):
            await bus.request(message(ROLE))
        assert bus._client.stats["reconnects"] == 0
        assert "encountered error" not in caplog.text

    async def test_cancelling_connect_leaves_no_task(self) -> None:
        """A node that is told to end while its server is away."""
        before = asyncio.all_tasks()
        bus, tasks = NatsBus("test", "n1"), Tasks("test")
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
            connecting = tasks.spawn(bus.connect(f"nats://127.0.0.1:{port}", within_s=30), name="connect")
            await asyncio.wait({connecting}, timeout=0.15)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        await bus.aclose()
        await eventually(lambda: asyncio.all_tasks() <= before)


async def test_publishers_wait_for_a_server_that_reads_slowly(server: Server, nats_bus: NewBus) -> None:
    """What it doesn't take must not pile up: boards have 512 MB."""
    bus = await nats_bus(url=server.url)
    event = message(TOPIC, "voltage", b"x" * 500_000, timeout_s=None)
    await stopped(server)
    published = 0

    async def publish() -> None:
        nonlocal published
        for _ in range(40):
            await bus.publish(event)
            published += 1

    publishing = Tasks("test").spawn(publish(), name="publish", awaited=True)
    try:
        await eventually(lambda: bus._client.is_behind)
        assert bus._client.unsent_bytes < 3 * 1024 * 1024
        assert published < 40
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await publishing
    assert (published, bus.lost_events) == (40, 0)
