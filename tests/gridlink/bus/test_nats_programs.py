"""Programs of other people on the bus: any NATS client can take part, and none can disturb."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.errors import GridlinkError, NoSuchRole, Refused
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import NewBus

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")


@pytest.fixture
async def plain(shared_server: Server) -> AsyncIterator[Client]:
    """A client of nats-py alone, as anybody may write one."""
    client = await nats.connect(shared_server.url)
    yield client
    await client.close()


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
