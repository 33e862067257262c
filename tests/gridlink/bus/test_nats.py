"""What only the bus over NATS has to do: servers that die, connections that come back, and programs of other people."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.errors import Closed, ConnectionLost, GridlinkError, NoSuchRole, Refused, ServerUnreachable
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Gate, Recorder, message
from tests.gridlink.conftest import NewBus

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")
AT_ONCE_S = 5.0  # on a machine that is busy with other things; each test's alternative takes longer, or for ever


def kill(server: Server) -> None:
    """As the OOM killer would; the server's port is kept for the next start."""
    file = Path(server._file)
    port = int(server.url.rpartition(":")[2])
    file.write_text(configuration("test", port, str(file.parent)))
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    server.pid = 0


async def stopped(server: Server) -> None:
    """Suspends the server, and returns when it is (all its threads are)."""
    os.kill(server.pid, signal.SIGSTOP)
    threads = Path(f"/proc/{server.pid}/task")
    await eventually(lambda: all(") T " in (t / "stat").read_text() for t in threads.iterdir()))


@pytest.fixture
async def plain(shared_server: Server) -> AsyncIterator[Client]:
    """A client of nats-py alone, as anybody may write one."""
    client = await nats.connect(shared_server.url)
    yield client
    await client.close()


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


class TestOtherPrograms:
    """Any NATS client can take part, and none can disturb."""

    async def test_a_request_without_headers_is_answered(self, plain: Client, nats_bus: NewBus) -> None:
        """`nats request gl.site.role.oltc.do '{"position": 3}'`."""
        bus = await nats_bus()
        receiver = Recorder()
        await bus.serve(ROLE, receiver)
        reply = await plain.request(f"gl.{bus.site}.role.oltc.do", b'{"position": 3}', timeout=2)
        assert reply.data == b'{"position": 3}'
        assert reply.headers is None
        got = receiver.requests[0]
        assert (got.source, got.id, got.deadline_s, got.wants_reply) == ("", "", None, True)

    async def test_a_refusal_carries_the_error_headers(self, plain: Client, nats_bus: NewBus) -> None:
        """ADR-32: every micro client understands them."""
        bus = await nats_bus()
        await bus.serve(ROLE, Recorder(refuses=Refused("expected 3, got 4")))
        reply = await plain.request(f"gl.{bus.site}.role.oltc.do", b"{}", timeout=2)
        assert reply.headers == {"Nats-Service-Error": "expected 3, got 4", "Nats-Service-Error-Code": "409"}
        assert reply.data == b'{"error":"Refused","message":"expected 3, got 4"}'

    async def test_an_event_of_a_plain_client_is_heard(self, plain: Client, nats_bus: NewBus) -> None:
        """A meter gateway publishes without knowing Gridlink."""
        bus, heard = await nats_bus(), Recorder()
        await bus.subscribe(TOPIC, "voltage", heard)
        await plain.publish(f"gl.{bus.site}.topic.measurement.voltage", b"{}")
        await eventually(lambda: heard.payloads == [b"{}"])

    async def test_malformed_subjects_headers_and_bodies_do_not_disturb(
        self, plain: Client, nats_bus: NewBus, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After all of it the node answers as before, and has logged no exception."""
        bus, heard = await nats_bus(), Recorder()
        receiver = Recorder()
        await bus.serve(ROLE, receiver)
        await bus.subscribe(TOPIC, "voltage", heard)
        headers: list[dict[str, str] | None] = [
            None,
            {"Gl-Message": ";;;;;;;"},
            {"Gl-Message": "a;b;nan;d"},
            {"Gl-Timeout-Ms": "-5", "traceparent": "nonsense"},
            {"Nats-Service-Error": "I am an error"},
            {"Status": "503"},
        ]
        for name in ("role.oltc.do", "role.oltc.d-o", "role.oltc.ü", "topic.measurement.voltage", "role.nobody.x"):
            for header in headers:
                for body in (b"", b"\xff\x00", b"{" * 1000):
                    await plain.publish(f"gl.{bus.site}.{name}", body, headers=header)
                    await plain.publish(f"gl.{bus.site}.{name}", body, "some.reply", headers=header)
        await self._raw(plain, bus)
        inbox = bus._inbox
        for token in ("1", "zz", "ffffff"):  # answers to what was never asked
            await plain.publish(f"{inbox}.{token}", b"{}")
        await plain.flush()
        assert await bus.request(message(ROLE, payload=b"1")) == b"1"
        reply = await plain.request(f"gl.{bus.site}.role.oltc.do", b"2", timeout=2)
        assert reply.data == b"2"
        assert bus._client.stats["reconnects"] == 0
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

    async def _raw(self, plain: Client, bus: NatsBus) -> None:
        """Header blocks that no client library would write."""
        assert plain.connected_url is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", plain.connected_url.port)
        writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        for block in (
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0 503\r\n\r\n",
            b"NATS/1.0\r\n: \xff\xfe\r\n:::\r\n\r\n",
        ):
            subject = f"gl.{bus.site}.role.oltc.do".encode()
            sizes = f"{len(block)} {len(block) + 2}".encode()
            writer.write(b"HPUB " + subject + b" " + sizes + b"\r\n" + block + b"{}\r\n")
        writer.write(b"PING\r\n")
        async with asyncio.timeout(2):
            await reader.readuntil(b"PONG\r\n")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def test_a_foreign_error_reply_becomes_a_gridlink_error(self, plain: Client, nats_bus: NewBus) -> None:
        """A role may be served by a micro service that isn't Gridlink."""
        bus = await nats_bus()

        async def refuse(received: Any) -> None:
            await plain.publish(
                received.reply, b"not json", headers={"Nats-Service-Error": "too hot", "Nats-Service-Error-Code": "500"}
            )

        await plain.subscribe(f"gl.{bus.site}.role.heater.*", cb=refuse)
        await plain.flush()

        async def refused() -> str:
            with pytest.raises(GridlinkError) as caught:
                await bus.request(message(address.role("heater")))
            return "" if isinstance(caught.value, NoSuchRole) else str(caught.value)

        said = await eventually(refused)  # a machine that stands still makes the server drop the plain client once
        assert said == "too hot (code 500)"


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


async def test_a_listener_that_raises_loses_that_message_alone(
    plain: Client, nats_bus: NewBus, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader of the connection must live on, whatever a receiver does."""
    bus, heard = await nats_bus(), Recorder()

    class Broken(Recorder):
        def take_event(self, message: object) -> None:
            raise ZeroDivisionError

    await bus.subscribe(address.topic("broken"), "voltage", Broken())
    await bus.subscribe(TOPIC, "voltage", heard)
    await plain.publish(f"gl.{bus.site}.topic.broken.voltage", b"1")
    await plain.publish(f"gl.{bus.site}.topic.measurement.voltage", b"2")
    await eventually(lambda: heard.payloads == [b"2"])
    assert "was lost" in caplog.text
