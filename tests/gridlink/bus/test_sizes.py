"""Messages at the server's limit: what is too large fails alone, and costs the node no connection."""

from __future__ import annotations

import pytest

from gridlink import address
from gridlink.errors import GridlinkError, HandlerFailed, PayloadTooLarge
from gridlink.message import Message
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import NewBus

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")


async def test_the_largest_payload_fits_with_its_headers(nats_bus: NewBus) -> None:
    """The server counts headers too; who fills a payload to the limit must not meet that."""
    here, there, heard = await nats_bus(), await nats_bus(), Recorder()
    await there.serve(ROLE, Recorder())
    await there.subscribe(TOPIC, "voltage", heard)
    largest = b"x" * here.max_payload_bytes
    asked = message(ROLE, payload=largest)
    assert await here.request(asked) == largest
    await here.publish(message(TOPIC, "voltage", largest, timeout_s=None))
    await eventually(lambda: heard.payloads == [largest])
    with pytest.raises(PayloadTooLarge):
        await here.request(message(ROLE, payload=largest + b"x"))
    assert here._client.stats["reconnects"] == there._client.stats["reconnects"] == 0


async def test_an_error_that_says_too_much_is_cut(nats_bus: NewBus) -> None:
    """The text of an error is its module's: it may hold a whole file."""

    class Talkative(Recorder):
        def take_request(self, message: Message, answer: object) -> GridlinkError:
            return HandlerFailed("x" * 3_000_000)

    here, there = await nats_bus(), await nats_bus()
    await there.serve(ROLE, Talkative())
    with pytest.raises(HandlerFailed, match=r"\(cut\)$") as raised:
        await here.request(message(ROLE))
    assert len(str(raised.value)) < 20_000
    assert there._client.stats["reconnects"] == 0
