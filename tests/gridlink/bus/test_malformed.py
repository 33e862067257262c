"""Messages that stop or end a connection whose client isn't careful."""

from __future__ import annotations

import asyncio

from gridlink import address
from gridlink.bus.server import Server
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import NewBus
from tests.raw_client import client

ROLE = address.role("oltc")


async def test_a_header_block_that_begins_with_a_line_end_is_no_size(
    nats_bus: NewBus, shared_server: Server, site: str
) -> None:
    """nats-py waited for as many bytes as the payload is a number of, and nothing more came in."""
    asking, serving = await nats_bus(), await nats_bus()
    await serving.serve(ROLE, Recorder())
    headers, body = b"\r\n\r\n", b"1" + b"0" * 30
    sizes = b"%d %d" % (len(headers), len(headers) + len(body))
    async with client(shared_server.url) as raw:
        await raw.send(b"HPUB gl.%s.role.oltc.x  %s\r\n%s%s\r\n" % (site.encode(), sizes, headers, body))
        await raw.settled()
    async with asyncio.timeout(2):
        assert await asking.request(message(ROLE, payload=b"1", timeout_s=2)) == b"1"
