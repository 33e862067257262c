"""What the bus over NATS does while its server is dead or silent, and when it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.errors import Closed, ConnectionLost, NoSuchRole
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.faults import kill, stopped
from tests.gridlink.bus.receivers import Gate, Recorder, message
from tests.gridlink.conftest import NewBus

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")
AT_ONCE_S = 5.0  # on a machine that is busy with other things; each test's alternative takes longer, or for ever


class TestServerGone:
    """The server is killed with SIGKILL while two nodes are connected."""

    async def test_requests_in_flight_fail_at_once_and_the_connection_comes_back(
        self, server: Server, nats_bus: NewBus
    ) -> None:
        """The caller learns it within the second, not at its deadline; afterwards all is as before."""
        receiving, sending = await nats_bus(url=server.url), await nats_bus(url=server.url)
        reconnected: list[bool] = []
        sending.on_reconnect = lambda: reconnected.append(True)
        gate, tasks = Gate(), Tasks("test")
        receiver = Recorder(gate)
        await receiving.serve(ROLE, receiver)
        asking = [tasks.spawn(sending.request(message(ROLE, timeout_s=30)), name="ask") for _ in range(5)]
        await eventually(lambda: len(receiver.requests) == 5)
        kill(server)
        began_s = time.monotonic()
        for one in asking:
            with pytest.raises(ConnectionLost):
                await one
        assert time.monotonic() - began_s < AT_ONCE_S
        gate.opened.set()
        server.start()
        await eventually(lambda: reconnected)
        await eventually(lambda: _answers(sending))

    async def test_what_was_refused_while_disconnected_is_never_executed_later(
        self, server: Server, nats_bus: NewBus
    ) -> None:
        """A tap command that was reported as failed must not be done a minute later."""
        receiving, sending = await nats_bus(url=server.url), await nats_bus(url=server.url)
        receiver, heard = Recorder(), Recorder()
        await receiving.serve(ROLE, receiver)
        await receiving.subscribe(TOPIC, "voltage", heard)
        kill(server)
        failed = 0
        for n in range(50):  # the first of them go out before the client has noticed
            body = f'"lost {n}"'.encode()
            with pytest.raises(ConnectionLost):
                await sending.request(message(ROLE, payload=body, timeout_s=2))
            with pytest.raises(ConnectionLost):
                await sending.send(message(ROLE, payload=body, timeout_s=None))
            await sending.publish(message(TOPIC, "voltage", body, timeout_s=None))
            failed += 1
        assert failed == 50
        assert sending.lost_events > 0
        server.start()
        await eventually(lambda: _answers(sending))
        await eventually(lambda: _hears(sending, heard))
        assert [bytes(m.payload) for m in receiver.requests if b"lost" in m.payload] == []
        assert [body for body in heard.payloads if b"lost" in body] == []

    async def test_a_send_in_flight_fails_at_once(self, server: Server, nats_bus: NewBus) -> None:
        """`send` waits for a round trip: it must not wait ten seconds for one that can't come."""
        sending = await nats_bus(url=server.url)
        await stopped(server)
        tasks = Tasks("test")
        sends = tasks.spawn(sending.send(message(ROLE, timeout_s=None)), name="send")
        await eventually(lambda: sending._in_flight)
        kill(server)
        began_s = time.monotonic()
        with pytest.raises(ConnectionLost):
            await sends
        assert time.monotonic() - began_s < AT_ONCE_S
        server.start()

    async def test_own_members_and_listeners_are_served_without_the_server(
        self, server: Server, nats_bus: NewBus
    ) -> None:
        """Modules of one node keep working when the bus is down."""
        bus, heard = await nats_bus(url=server.url), Recorder()
        await bus.serve(ROLE, Recorder())
        await bus.subscribe(TOPIC, "voltage", heard)
        kill(server)
        await eventually(lambda: not bus._client.is_connected)
        assert await bus.request(message(ROLE, payload=b"1")) == b"1"
        await bus.publish(message(TOPIC, "voltage", b"2", timeout_s=None))
        assert heard.payloads == [b"2"]
        assert bus.lost_events == 1
        server.start()

    async def test_a_registration_that_fails_is_undone(self, server: Server, nats_bus: NewBus) -> None:
        """A start that is rolled back must leave no half of a registration, also after the reconnect."""
        bus, other = await nats_bus(url=server.url), await nats_bus(url=server.url)
        kill(server)
        await eventually(lambda: not bus._client.is_connected)
        receiver = Recorder()
        with pytest.raises(ConnectionLost):
            await bus.serve(ROLE, receiver)
        with pytest.raises(ConnectionLost):
            await bus.subscribe(TOPIC, "voltage", receiver)
        assert not bus.local.has_member(ROLE)
        server.start()
        await eventually(lambda: bus._client.is_connected and other._client.is_connected)
        with pytest.raises(NoSuchRole):
            await other.request(message(ROLE))
        await bus.serve(ROLE, receiver)
        assert await other.request(message(ROLE, payload=b"1")) == b"1"

    async def test_a_bus_can_be_closed_while_the_server_is_away(self, server: Server, nats_bus: NewBus) -> None:
        """The end of a node must not wait for a server that doesn't come."""
        bus = await nats_bus(url=server.url)
        kill(server)
        await eventually(lambda: not bus._client.is_connected)
        began_s = time.monotonic()
        await bus.aclose()
        assert time.monotonic() - began_s < AT_ONCE_S
        with pytest.raises(Closed):
            await bus.request(message(ROLE))
        server.start()

    async def test_a_silent_server_is_noticed(self, server: Server, nats_bus: NewBus) -> None:
        """A partition has no closed socket: only the missing pongs tell, after about three seconds."""
        bus = await nats_bus(url=server.url)
        tasks = Tasks("test")
        await stopped(server)
        try:
            asking = tasks.spawn(bus.request(message(ROLE, timeout_s=30)), name="ask")
            with pytest.raises(ConnectionLost):
                async with asyncio.timeout(25):
                    await asking
        finally:
            os.kill(server.pid, signal.SIGCONT)


async def _answers(bus: NatsBus) -> bool:
    try:
        await bus.request(message(ROLE))
    except (ConnectionLost, NoSuchRole):  # the other node may still be on its way
        return False
    return True


async def _hears(bus: NatsBus, receiver: Recorder) -> bool:
    await bus.publish(message(TOPIC, "voltage", b'"after"', timeout_s=None))
    return b'"after"' in receiver.payloads
