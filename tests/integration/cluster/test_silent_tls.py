"""A server with TLS that falls silent or dies: TLS closes with a farewell, which a dead peer never answers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.bus.trust import Trust
from gridlink.errors import ConnectionLost, NoSuchRole
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import message
from tests.integration.cluster.test_credentials import operator
from tests.integration.cluster.test_credentials import server as server  # noqa: PLC0414 - a fixture
from tests.integration.cluster.test_credentials import trust as trust  # noqa: PLC0414 - a fixture

NOBODY = address.role("nobody")
FAREWELL_S = 30.0  # asyncio's patience with the end of a TLS connection


@pytest.fixture
async def bus(server: Server, trust: Trust) -> AsyncIterator[NatsBus]:
    """A bus on the server, which the test may end."""
    made = NatsBus("a", "n1")
    await made.connect(server.url, operator(trust.directory.parent, "a"))
    yield made
    await made.aclose()


async def reached(bus: NatsBus) -> bool:
    """Whether the server answers: that nobody is there."""
    try:
        await bus.request(message(NOBODY))
    except NoSuchRole:
        return True
    except ConnectionLost:
        return False
    return False


async def test_a_silent_server_is_left_without_a_farewell(bus: NatsBus, server: Server) -> None:
    """Requests fail after the missing pings, not 30 s later; and the server is used again as soon as it is back."""
    os.kill(server.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        with pytest.raises(ConnectionLost):
            await bus.request(message(NOBODY, timeout_s=60))
        assert time.monotonic() - began_s < FAREWELL_S / 2
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await eventually(lambda: reached(bus), timeout_s=FAREWELL_S / 2)


async def test_a_bus_is_closed_though_its_server_is_silent(bus: NatsBus, server: Server) -> None:
    """The end of a node must not wait for a server that says nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        await bus.aclose()
        assert time.monotonic() - began_s < FAREWELL_S / 2
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_killed_server_is_left_without_a_warning(
    bus: NatsBus, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio warns of a TLS connection that its peer ends, unless it is told that there is TLS."""
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    server.pid = 0
    await eventually(lambda: not bus._up.is_set())
    assert "eof_received" not in caplog.text
    server.start()
    await eventually(lambda: reached(bus), timeout_s=15)
