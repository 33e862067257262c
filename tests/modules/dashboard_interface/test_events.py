"""The event stream over a real socket: what comes, what is made up after a gap, and who is dropped."""

import asyncio
import socket

import pytest

from dashboard_interface.api import Voltage
from dashboard_interface.sse import COMMENT, QUEUE, RING, Hub
from tests.modules.dashboard_interface.house import NOW_S, House, Start, until

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def listen(house: House, last_event_id: str = "") -> Stream:
    """A client of /api/events, past the head; HTTP/1.0 so that there are no chunks to undo."""
    reader, writer = await house.connect()
    extra = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
    writer.write(f"GET /api/events HTTP/1.0\r\nHost: localhost\r\n{extra}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    assert b"text/event-stream" in head
    return reader, writer


async def event(reader: asyncio.StreamReader, name: str) -> dict[str, str]:
    """The fields of the next event of that name."""
    async with asyncio.timeout(5):
        while True:
            block = (await reader.readuntil(b"\n\n")).decode()
            fields = dict(line.split(": ", 1) for line in block.strip().splitlines() if not line.startswith(":"))
            if fields.get("event") == name:
                return fields


async def test_a_client_gets_the_state_at_once_and_then_the_changes(start: Start) -> None:
    """The page shows something before the first event."""
    house: House = await start()
    house.view.voltage(Voltage("bus_3", 1.05, NOW_S))
    reader, writer = await listen(house)
    assert '"bus_3":1.05' in (await event(reader, "voltage"))["data"]
    house.hub.change("tap", b'{"position":2}')
    assert (await event(reader, "tap"))["data"] == '{"position":2}'
    writer.close()
    await until(lambda: len(house.hub) == 0)


async def test_a_client_that_comes_back_misses_no_change(start: Start) -> None:
    """Last-Event-ID, as browsers send it by themselves."""
    house: House = await start()
    reader, writer = await listen(house)
    seen = (await event(reader, "hello"))["id"]
    writer.close()
    house.hub.change("problem", b"1")
    house.hub.change("problem", b"2")
    reader, writer = await listen(house, seen)
    assert [(await event(reader, "problem"))["data"] for _ in range(2)] == ["1", "2"]
    writer.close()


@pytest.mark.parametrize("last", ["0000-1", "x", "-", "-5", "abc-" + "9" * 30, "abc-²"])
async def test_a_gap_that_cannot_be_filled_is_said(start: Start, last: str) -> None:
    """A client of an earlier run, or with an invented id, must not believe that all is quiet."""
    house: House = await start()
    reader, writer = await house.connect()
    writer.write(f"GET /api/events HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n".encode("latin-1"))
    await reader.readuntil(b"\r\n\r\n")
    assert (await event(reader, "resync"))["data"] == "{}"
    writer.close()


async def test_changes_older_than_the_ring_are_said_to_be_lost() -> None:
    """The ring is small; exactly its length can be made up, one more can't."""
    hub = Hub(1)
    hub.change("tap", b"0")
    at = f"{hub._epoch}-1"
    for _ in range(RING):
        hub.change("tap", b"n")
    assert len(hub._missed(at)) == RING
    hub.change("tap", b"n")
    assert b"event: resync" in hub._missed(at)[0]


async def test_a_silent_stream_gets_comments(start: Start) -> None:
    """Proxies and phones close what is silent."""
    house: House = await start(comment_every_s=0.05)
    reader, writer = await listen(house)
    async with asyncio.timeout(5):
        await reader.readuntil(COMMENT)
    writer.close()


async def test_streams_past_the_limit_get_503_and_others_are_still_served(start: Start) -> None:
    """Streams can't take all connections."""
    house: House = await start(max_streams=2)
    streams = [await listen(house) for _ in range(2)]
    answer = await house.raw(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 503 " in answer
    assert b"retry-after" in answer.lower()
    for _, writer in streams:
        writer.close()
    await until(lambda: len(house.hub) == 0)
    _, writer = await listen(house)
    writer.close()


async def test_a_client_that_does_not_read_is_dropped_and_the_rest_go_on(start: Start) -> None:
    """A slow client costs its bounded queue and no more."""
    house: House = await start(send_timeout_s=0.2)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, house.server.address)
    await loop.sock_sendall(slow, b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    reader, writer = await listen(house)
    await until(lambda: len(house.hub) == 2)
    async with asyncio.timeout(20):
        while not house.hub.dropped:  # states don't fill a queue: what drops is the client that doesn't read
            house.hub.state("voltage", b"1" * 20_000)
            await event(reader, "voltage")
    assert house.hub.dropped == 1
    await until(lambda: len(house.hub) == 1)
    await until(lambda: house.server.connections == 1)
    slow.close()
    writer.close()


async def test_a_full_queue_drops_its_client_alone() -> None:
    """The bound is the queue's, before any timeout; states don't fill it."""
    hub = Hub(2)
    slow, quick = hub.subscribe(None), hub.subscribe(None)
    for _ in range(QUEUE + 1):
        hub.change("tap", b"1")
        hub.state("voltage", b"2")
        await quick.next(1)
    assert (slow.closed, slow.overflowed, quick.closed, hub.dropped, len(hub)) == (True, True, False, 1, 1)
    assert await slow.next(1) is None


async def test_only_the_newest_state_is_sent() -> None:
    """Voltages at an accelerated clock come by the thousand."""
    hub = Hub(1)
    client = hub.subscribe(None)
    await client.next(1)
    hub.state("voltage", b"1")
    hub.state("voltage", b"2")
    assert await client.next(1) == b"event: voltage\ndata: 2\n\n"


async def test_closing_ends_the_streams_whole(start: Start) -> None:
    """A browser sees the end at once, and the stop doesn't wait for it to leave."""
    house: House = await start()
    reader, writer = await listen(house)
    async with asyncio.timeout(1.5):
        await house.server.aclose(grace_s=1)
        await reader.read()
    assert len(house.hub) == 0
    writer.close()


async def test_cancelling_a_waiting_client_leaves_it_usable() -> None:
    """`next` is awaited under a task group: what it would have given comes with the following call."""
    hub = Hub(1)
    client = hub.subscribe(None)
    await client.next(1)
    waiting = asyncio.ensure_future(client.next(60))  # noqa: TID251 - the test itself owns and awaits it
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hub.change("tap", b"1")
    assert b"event: tap" in (await client.next(1) or b"")
