"""What comes in over a raw socket: malformed, too much, too slow, too many; and the end of the listener."""

import asyncio
import json
import socket

import pytest

from dashboard_interface.server import bind
from tests.modules.dashboard_interface.house import House, Start, until

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/tap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def status_of(answer: bytes) -> int:
    """The status code of the first response in `answer`."""
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://evil.example/api/grid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 421),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
        (b"GET //healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (
            b"GET /?" + b"&".join([b"a=1"] * 99) + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            400,
        ),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (POST + b"Content-Length: 99999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2000\r\n" + b" " * 0x2000 + b"\r\n0\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    ],
)
async def test_malformed_and_oversized_requests_are_refused_and_closed(
    start: Start, request_bytes: bytes, status: int
) -> None:
    """Each ends with a status, never with a silent close or a hanging connection."""
    house: House = await start()
    answer = await house.raw(request_bytes)
    assert status_of(answer) == status
    if status != 200:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == status
    await until(lambda: house.server.connections == 0)


async def test_requests_on_one_connection_are_answered_in_their_order(start: Start) -> None:
    """Keep-alive and pipelining: browsers and monitoring poll on one connection."""
    house: House = await start()
    answer = await house.raw(GET * 3 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200") == 4
    assert house.server.requests == 4


async def test_head_and_304_leave_the_connection_usable(start: Start) -> None:
    """Neither has a body; one byte of it would be read as the next answer."""
    house: House = await start()
    known = b"GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n"
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = await house.raw(GET.replace(b"GET", b"HEAD") + known + last)
    heads = [part.split(b"\r\n")[0] for part in answer.split(b"\r\n\r\n")]
    assert heads[:3] == [b"HTTP/1.1 200 OK", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 200 OK"]


async def test_a_body_is_asked_for_with_100_continue(start: Start) -> None:
    """curl waits a second without it."""
    house: House = await start()
    reader, writer = await house.connect()
    writer.write(POST + b"Connection: close\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    writer.write(b'{"position":1}')
    assert status_of(await reader.read()) == 200
    writer.close()


async def test_a_request_that_trickles_in_is_408(start: Start) -> None:
    """A slow sender holds a connection no longer than request_timeout_s."""
    house: House = await start(request_timeout_s=0.1, linger_s=0.1)
    assert status_of(await house.raw(b"GET / HTT")) == 408


async def test_a_refusal_reaches_a_client_that_is_still_sending(start: Start) -> None:
    """Closing with unread input resets the connection, and the client would lose the reason."""
    house: House = await start(linger_s=0.3)
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, house.server.address)
        await loop.sock_sendall(client, POST + b"Content-Length: 60000\r\n\r\n" + b" " * 60000)
        await until(lambda: house.server.connections == 0)
        answer = b""
        while part := await loop.sock_recv(client, 4096):
            answer += part
    assert status_of(answer) == 413


async def test_an_idle_connection_is_closed_without_a_word(start: Start) -> None:
    """Keep-alive ends; a client that sends at that moment must not read a 408 as its answer."""
    house: House = await start(keep_alive_s=0.05)
    assert await house.raw(b"") == b""


async def test_connections_past_the_limit_get_503(start: Start) -> None:
    """Memory stays bounded whatever knocks."""
    house: House = await start(max_connections=2)
    held = [await house.connect() for _ in range(2)]
    await until(lambda: house.server.connections == 2)
    answer = await house.raw(b"")
    assert status_of(answer) == 503
    assert house.server.refused == 1
    for _, writer in held:
        writer.close()
    await until(lambda: house.server.connections == 0)
    assert status_of(await house.raw(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200


async def test_a_client_that_leaves_in_the_middle_is_forgotten(start: Start) -> None:
    """No task and no connection is left behind by a half request."""
    house: House = await start()
    _, writer = await house.connect()
    writer.write(GET[:20])
    await until(lambda: house.server.connections == 1)
    writer.transport.abort()
    await until(lambda: house.server.connections == 0)


async def test_closing_ends_idle_and_working_connections_in_bounded_time(start: Start) -> None:
    """A stop has a deadline even if a role never answers; closing twice is fine."""
    house: House = await start()
    house.site.never = asyncio.Event()
    idle, idle_writer = await house.connect()
    busy, busy_writer = await house.connect()
    busy_writer.write(b"GET /api/tap HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: bool(house.site.asked))
    async with asyncio.timeout(2):
        await house.server.aclose(grace_s=0.1)
        await house.server.aclose(grace_s=0.1)
    assert await idle.read() == b""
    assert await busy.read() == b""
    with pytest.raises(OSError):
        await house.connect()
    idle_writer.close()
    busy_writer.close()


async def test_closing_lets_a_request_in_work_finish(start: Start) -> None:
    """An operator's tap command that was taken is answered."""
    house: House = await start()
    house.site.never = asyncio.Event()
    reader, writer = await house.connect()
    writer.write(b"GET /api/tap HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: bool(house.site.asked))
    asyncio.get_running_loop().call_later(0.05, house.site.never.set)
    await house.server.aclose(grace_s=2)
    answer = await reader.read()
    assert status_of(answer) == 200
    assert b"connection: close" in answer.lower()
    writer.close()


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    """Two dashboards on a machine must both start, and the second says where it is."""
    first, taken = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    second, replaced = bind("127.0.0.1", port)
    with first, second:
        assert (taken, replaced) == (False, True)
        assert second.getsockname()[1] != port


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.evil", "::ffff:1.2.3.4"]
)
def test_a_bind_beyond_loopback_is_refused(host: str) -> None:
    """No log-in and no TLS: nothing but this machine may reach the door."""
    with pytest.raises(ValueError, match=r"expected a loopback address.*SSH tunnel"):
        bind(host, 0)


def test_every_form_of_loopback_is_bound() -> None:
    """localhost and IPv6 are what people write."""
    for host in ("127.0.0.1", "localhost", "127.8.8.8", *(["::1"] if socket.has_ipv6 else [])):
        try:
            sock, _ = bind(host, 0)
        except OSError:
            assert host == "::1"  # a machine without IPv6
            continue
        sock.close()


def test_answers_are_not_held_back_by_the_kernel() -> None:
    """asyncio sets TCP_NODELAY where the protocol is named alone; without it each answer took 40 ms."""
    sock, _ = bind("127.0.0.1", 0)
    with sock:
        assert sock.proto == socket.IPPROTO_TCP
