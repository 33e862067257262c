"""How a bus leaves a server: without a word kept for later, without waiting for the dead, and never for good."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.config import Credentials
from gridlink.errors import Closed, ConnectionLost, GridlinkError
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.peer import Peer
from tests.gridlink.bus.receivers import Recorder, message

ROLE = address.role("oltc")
USER = Credentials(user="node", password="right")


Connect = Callable[..., Awaitable[NatsBus]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes connected buses, which are closed at the end."""
    made: list[NatsBus] = []

    async def new(url: str, credentials: Credentials | None = None) -> NatsBus:
        bus = NatsBus("test", f"n{len(made)}")
        made.append(bus)
        await bus.connect(url, credentials)
        return bus

    yield new
    for bus in made:
        await bus.aclose()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A peer, until the test's bus is closed."""
    async with Peer() as made:
        yield made


async def test_what_the_kernel_has_not_sent_is_dropped_with_its_connection(peer: Peer, connect: Connect) -> None:
    """By default it is sent when the link is back: a request that was reported as failed would be done after all."""
    bus, tasks = await connect(peer.url), Tasks("test")
    peer.deaf = True
    bodies = [b'"%d %s"' % (number, b"x" * 50_000) for number in range(6)]  # fits into the kernel's buffer
    asking = [tasks.spawn(bus.request(message(ROLE, payload=body, timeout_s=30)), name="ask") for body in bodies]
    await eventually(lambda: len(bus._in_flight) == len(bodies))
    for one in asking:
        with pytest.raises(ConnectionLost):
            await one
        peer.deaf = False  # to the next connection
    await eventually(lambda: len(peer.connections) == 2, timeout_s=15)
    left_behind, aborted = await peer.rest(peer.connections[0])
    assert aborted
    assert bodies[-1] not in left_behind


async def test_a_bus_is_closed_though_nobody_takes_what_was_published(peer: Peer, connect: Connect) -> None:
    """The end of a node must not wait for a server that reads no more."""
    bus, tasks = await connect(peer.url), Tasks("test")
    peer.deaf = True
    event = message(address.topic("measurement"), "voltage", b"x" * 900_000, timeout_s=None)

    async def publish() -> None:
        with pytest.raises((Closed, ConnectionLost)):
            while True:
                await bus.publish(event)

    publishing = tasks.spawn(publish(), name="publish")
    await eventually(lambda: bus._client.is_behind)
    began_s = time.monotonic()
    await bus.aclose()
    assert time.monotonic() - began_s < 10
    await publishing


@pytest.mark.parametrize(
    "said",
    [
        "Stale Connection",
        "Server Shutdown",
        "Slow Consumer",
        "maximum connections exceeded",
        "Authorization Violation",
        "Unknown Protocol Operation",
        "",
    ],
)
async def test_a_server_that_says_an_error_is_left_and_asked_again(peer: Peer, connect: Connect, said: str) -> None:
    """nats-py closes for good at all of them but one: the node would be deaf until somebody restarts it."""
    bus, tasks = await connect(peer.url), Tasks("test")
    reconnected: list[bool] = []
    bus.on_reconnect = lambda: reconnected.append(True)
    asking = tasks.spawn(bus.request(message(ROLE, timeout_s=60)), name="ask")
    await eventually(lambda: bus._in_flight)
    began_s = time.monotonic()
    await peer.say(peer.connections[0], f"-ERR '{said}'".encode())
    with pytest.raises(ConnectionLost):
        await asking
    await eventually(lambda: reconnected)
    assert time.monotonic() - began_s < 10
    assert len(peer.connections) == 2


async def test_a_connection_that_breaks_as_soon_as_it_is_made_is_made_again(peer: Peer, connect: Connect) -> None:
    """A node that starts while its server restarts, or on a machine that stands still for seconds."""
    peer.ends = 2
    bus = await connect(peer.url)
    assert bus._up.is_set()
    assert len(peer.connections) == 3


def configure(server: Server, more: str) -> None:
    """Adds to the server's configuration, and makes it read it."""
    file = Path(server._file)
    file.write_text(configuration("test", -1, str(file.parent)) + more)
    server.reload()


async def answers(bus: NatsBus) -> bool:
    """Whether a request is answered by the member."""
    try:
        return await bus.request(message(ROLE, payload=b"1")) == b"1"
    except GridlinkError:
        return False


def users(password: str) -> str:
    """The part of a configuration that lets `node` in."""
    return f'authorization {{ users: [ {{ user: node, password: "{password}" }} ] }}\n'


async def test_credentials_that_are_refused_for_a_while_do_not_end_a_node(server: Server, connect: Connect) -> None:
    """A server whose users are wrong for a minute, while an operator mends them."""
    receiving, asking = await connect(server.url, USER), await connect(server.url, USER)  # as yet anybody is let in
    configure(server, users("right"))
    await receiving.serve(ROLE, Recorder())
    assert await answers(asking)
    configure(server, users("wrong"))
    await eventually(lambda: not asking._up.is_set() and not receiving._up.is_set())
    with pytest.raises(ConnectionLost):
        await asking.request(message(ROLE))
    configure(server, users("right"))
    await eventually(lambda: answers(asking), timeout_s=15)


async def test_a_server_that_is_full_is_asked_until_it_is_not(server: Server, connect: Connect) -> None:
    """`max_connections` of a server that others use too."""
    receiving, asking = await connect(server.url), await connect(server.url)
    await receiving.serve(ROLE, Recorder())
    assert await answers(asking)
    configure(server, "max_connections: 1\n")
    await eventually(lambda: not (asking._up.is_set() and receiving._up.is_set()))
    configure(server, "max_connections: 10\n")
    await eventually(lambda: answers(asking), timeout_s=15)
