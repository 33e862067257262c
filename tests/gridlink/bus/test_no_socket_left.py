"""A bus that is closed leaves no socket and no task behind, whatever its client is in the middle of."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.errors import Closed, ServerUnreachable
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.faults import kill
from tests.gridlink.bus.rude import ENDS, HANDSHAKES, Rude

SEED = 20260704


def open_transports() -> list[asyncio.Transport]:
    """Those of this process that nobody has closed. (Finding a forgotten one is what warns of it.)"""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, asyncio.Transport) and not one.is_closing()]


def tasks() -> set[str]:
    """What runs besides the test, but for the test's own server."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return {str(task.get_coro()) for task in others if task.get_name() != "meet"}


async def nothing_left() -> None:
    """Fails where a transport or a task is left; a warning of one that was forgotten fails the test too."""
    await eventually(lambda: not tasks(), timeout_s=2)
    assert not open_transports()


def port_of(server: Server) -> int:
    """Where it listens."""
    return int(server.url.rpartition(":")[2])


async def begun(bus: NatsBus, rude: Rude, chance: random.Random) -> asyncio.Task[None]:
    """A first connect that has been going on for a moment."""
    before = rude.met
    opening = Tasks("test").spawn(bus.connect(rude.url), name="connect", awaited=True)
    await eventually(lambda: rude.met > before)
    await asyncio.sleep(chance.random() * 0.02)
    return opening


@pytest.mark.parametrize("handshake", HANDSHAKES)
@pytest.mark.parametrize("end", ENDS)
async def test_a_first_connect_that_fails_leaves_nothing(handshake: str, end: str) -> None:
    """The address of something else, of a server that is about to end, or of one that stands still."""
    async with Rude(handshake, end) as rude:
        bus = NatsBus("test", "n1")
        with pytest.raises(ServerUnreachable):
            await bus.connect(rude.url, within_s=0.25)
        await nothing_left()
        await bus.aclose()


@pytest.mark.parametrize("handshake", HANDSHAKES)
@pytest.mark.parametrize("end", ENDS)
async def test_a_first_connect_that_is_cancelled_leaves_nothing(handshake: str, end: str) -> None:
    """A node that is told to end while it starts. Nobody has the bus yet who could close it."""
    chance = random.Random(SEED)
    async with Rude(handshake, end) as rude:
        for _ in range(4):
            opening = await begun(NatsBus("test", "n1"), rude, chance)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        await nothing_left()


@pytest.mark.parametrize("handshake", HANDSHAKES)
async def test_a_bus_that_is_closed_while_it_connects_leaves_nothing(handshake: str) -> None:
    """Whoever waits for the connection is told why it doesn't come."""
    chance = random.Random(SEED)
    async with Rude(handshake, "closes") as rude:
        for _ in range(4):
            bus = NatsBus("test", "n1")
            opening = await begun(bus, rude, chance)
            await bus.aclose()
            with pytest.raises(Closed):
                await opening
        await nothing_left()


@pytest.mark.parametrize("handshake", HANDSHAKES)
@pytest.mark.parametrize("end", ENDS)
async def test_a_bus_that_is_closed_while_it_reconnects_leaves_nothing(
    server: Server, handshake: str, end: str
) -> None:
    """What answers at the server's address isn't the server (yet), and the node is told to end."""
    bus = NatsBus("test", "n1")
    await bus.connect(server.url)
    port = port_of(server)
    kill(server)
    await eventually(lambda: not bus._client.is_connected)
    async with Rude(handshake, end, port) as rude:
        await eventually(lambda: rude.met > (2 if end != "stays" else 0))
        before = len(open_transports())
        await bus.aclose()
        assert before <= 2  # under TLS a connection has two
        await nothing_left()


async def test_a_node_comes_back_after_whatever_answered_meanwhile(server: Server) -> None:
    """A port that was somebody else's for a minute: garbage must not end the trying."""
    bus = NatsBus("test", "n1")
    await bus.connect(server.url)
    port = port_of(server)
    kill(server)
    for handshake in HANDSHAKES:
        async with Rude(handshake, "closes", port) as rude:
            await eventually(lambda: rude.met > 0)
    server.start()
    await eventually(bus._up.is_set, timeout_s=10)
    await bus.aclose()


@pytest.mark.parametrize("seed", range(SEED, SEED + 5))
async def test_closing_at_any_moment_of_a_reconnect_leaves_nothing(server: Server, seed: int) -> None:
    """A hundred buses of a server that is killed, misleadingly replaced and started again, closed at random moments."""
    chance = random.Random(seed)
    for _ in range(5):
        buses = [NatsBus("test", f"n{number}") for number in range(4)]
        for bus in buses:
            await bus.connect(server.url)
        kill(server)
        ends = Tasks("ends")
        closing = [ends.spawn(closed_after(bus, chance.random() * 0.6), name="close") for bus in buses]
        async with Rude(port=port_of(server), seed=seed):
            await asyncio.sleep(chance.random() * 0.3)  # the fault itself
        server.start()
        await asyncio.gather(*closing)
        await nothing_left()


async def closed_after(bus: NatsBus, delay_s: float) -> None:
    """Closes a bus at a moment that a test has drawn."""
    await asyncio.sleep(delay_s)
    await bus.aclose()
