"""What a node shows taps: what its instances are asked and answer, while a tap asks for it, and never without bound."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from gridlink import address
from gridlink.bus import mirror
from gridlink.bus.mirror import Batch, Mirror, Seen, Wish
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.errors import GridlinkError, NoSuchRole, Refused
from gridlink.message import Message
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import NewBus

ROLE = address.role("oltc")
TOPIC = address.topic("measurement")
ONE = address.instance("oltc@n1")


class Tapped:
    """A node whose oltc answers, and a tap of it."""

    def __init__(self, node: NatsBus, tap: NatsBus) -> None:
        self.node, self.tap = node, tap
        self.batches: list[Batch] = []

    @property
    def seen(self) -> list[Seen]:
        """All that the node has shown."""
        return [seen for batch in self.batches for seen in batch.seen]

    async def wish(self, **parts: Any) -> None:
        """Asks, and waits until the node knows."""
        await self.tap.say_surely(address.tap_wishes(self.tap.site), msgspec.json.encode(Wish(tap="t", **parts)))
        await eventually(lambda: self.is_looking != bool(parts.get("over")))

    @property
    def is_looking(self) -> bool:
        """Whether the node shows anything."""
        return self.node.local.mirror is not None

    async def asks(self, body: bytes = b"{}", **parts: Any) -> bytes:
        """A request between two instances of the node."""
        return await self.node.request(message(ROLE, payload=body, source="handler@n1", **parts))


@pytest.fixture
async def tapped(nats_bus: NewBus) -> Tapped:
    """See Tapped."""
    return await tapping(await nats_bus("n1"), await nats_bus("tap"))


async def tapping(node: NatsBus, tap: NatsBus) -> Tapped:
    """Makes one of two buses."""
    found = Tapped(node, tap)

    async def reply(asked: Message) -> bytes | GridlinkError:
        return Refused("it is locked: unlock it") if b"locked" in asked.payload else b'{"position":3}'

    await found.node.serve(ROLE, Recorder(reply))
    await found.node.allow_taps()
    await found.tap.listen(address.tap_seen(found.tap.site, "*"), lambda body: found.batches.append(_batch(body)))
    return found


def _batch(body: bytes) -> Batch:
    batch = mirror.seen_in(body)
    assert batch is not None
    return batch


async def test_a_request_and_its_reply_inside_one_node_are_shown(tapped: Tapped) -> None:
    """They never cross NATS: without the node's help nobody could see them."""
    await tapped.wish()
    assert await tapped.asks(b'{"position":3}') == b'{"position":3}'
    await eventually(lambda: len(tapped.seen) == 2)
    request, reply = tapped.seen
    assert (request.kind, request.address, request.type, request.source) == ("request", ROLE, "do", "handler@n1")
    assert (request.payload, reply.kind, reply.payload) == ('{"position":3}', "reply", '{"position":3}')
    assert 0 < reply.elapsed_us < 5_000_000
    assert tapped.batches[0].node == "n1"


async def test_an_error_a_send_and_a_request_of_another_node_are_shown_once(tapped: Tapped, nats_bus: NewBus) -> None:
    """The node that serves shows it, wherever it came from."""
    await tapped.wish()
    with pytest.raises(Refused):
        await tapped.asks(b'"locked"')
    await tapped.node.send(message(ROLE, payload=b"1", timeout_s=None))
    other = await nats_bus("n2")
    await other.allow_taps()
    await other.request(message(ROLE, payload=b"2", source="far@n2"))
    await eventually(lambda: len(tapped.seen) == 6)
    assert [(s.kind, s.payload) for s in tapped.seen if s.kind == "request"] == [
        ("request", '"locked"'), ("request", "1"), ("request", "2"),
    ]  # fmt: skip
    error = next(s for s in tapped.seen if s.kind == "error")
    assert error.payload is not None
    assert json.loads(error.payload) == {"error": "Refused", "message": "it is locked: unlock it"}


async def test_a_refusal_at_once_is_shown(tapped: Tapped) -> None:
    """Busy and NoSuchType are what one looks for with a tap."""
    await tapped.node.serve(ONE, Recorder(refuses=Refused("no")))
    await tapped.wish()
    with pytest.raises(Refused):
        await tapped.node.request(message(ONE))
    await eventually(lambda: [s.kind for s in tapped.seen] == ["request", "error"])


async def test_nothing_is_shown_before_a_tap_asks_nor_after_it_has_ended(tapped: Tapped) -> None:
    """Off is off: no object is left that the message path would meet."""
    await tapped.asks(b'"before"')
    assert not tapped.is_looking
    await tapped.wish()
    await tapped.asks(b'"while"')
    await eventually(lambda: len(tapped.seen) == 2)
    await tapped.wish(over=True)
    await tapped.asks(b'"after"')
    await tapped.wish()
    await tapped.asks(b'"again"')
    await eventually(lambda: len(tapped.seen) == 4)
    assert [s.payload for s in tapped.seen if s.kind == "request"] == ['"while"', '"again"']


async def test_a_tap_that_is_not_heard_of_any_more_is_forgotten(
    tapped: Tapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tap that was killed must not cost anything."""
    monkeypatch.setattr(mirror, "LEASE_S", 0.3)
    for _ in range(3):
        await tapped.wish()
        await asyncio.sleep(0.15)  # renewed in time
        assert tapped.is_looking
    await eventually(lambda: not tapped.is_looking)


async def test_each_wish_is_kept(tapped: Tapped) -> None:
    """By role, type and sender; Gridlink's own requests are never shown."""
    for wish in ({"roles": ("storage",)}, {"types": ("undo",)}, {"sources": ("guard",)}, {"topics": ("measurement",)}):
        await tapped.wish(**wish)
        await tapped.asks(b'"unwanted"')
    await tapped.node.serve(address.instance("_node@n1"), Recorder())
    await tapped.wish()
    await tapped.node.request(message(address.instance("_node@n1"), payload=b'"own"'))
    for number, wish in enumerate(({"roles": ("oltc",)}, {"types": ("do",)}, {"sources": ("handler",)})):
        await tapped.wish(**wish)
        await tapped.asks(str(number).encode())
    await eventually(lambda: len(tapped.seen) == 6)
    assert [s.payload for s in tapped.seen if s.kind == "request"] == ["0", "1", "2"]


async def test_a_flood_is_bounded_counted_and_disturbs_nobody(tapped: Tapped) -> None:
    """What waits for a tap is a batch at most; every request is answered."""
    await tapped.wish()
    replies = await asyncio.gather(*(tapped.asks(b'"%d"' % number) for number in range(3000)))
    assert len(replies) == 3000
    await eventually(lambda: len(tapped.seen) + sum(b.left_out for b in tapped.batches) == 6000)
    assert max(len(batch.seen) for batch in tapped.batches) <= mirror.MAX_WAITING
    assert sum(b.left_out for b in tapped.batches) > 0


async def test_of_a_large_payload_the_beginning_is_shown_marked_and_with_its_size(tapped: Tapped) -> None:
    """A tap is no copy machine."""
    await tapped.wish()
    await tapped.asks(b'"' + b"x" * 500_000 + b'"')
    await eventually(lambda: len(tapped.seen) == 2)
    request, reply = tapped.seen
    assert request.payload == '"' + "x" * (mirror.BEGINNING_BYTES - 1)
    assert (request.size_bytes, request.cut, reply.cut) == (500_002, ("payload",), ())


@pytest.mark.parametrize("payload", [b"\x01" * 60 * 1024, b"\xff" * 60 * 1024])
async def test_what_json_makes_larger_does_not_end_the_nodes_connection(tapped: Tapped, payload: bytes) -> None:
    """A control character is six bytes in JSON, and nats-server drops whoever sends more than it takes."""
    await tapped.wish()
    await asyncio.gather(*(tapped.asks(payload) for _ in range(8)))
    await eventually(lambda: len(tapped.seen) == 16)
    assert [s.cut for s in tapped.seen if s.kind == "request"] == [("payload",)] * 8
    assert tapped.node._client.stats["reconnects"] == 0
    assert await tapped.asks() == b'{"position":3}'


async def test_a_flood_of_long_senders_is_cut_and_bounded(tapped: Tapped, shared_server: Server) -> None:
    """A program outside may call itself anything, in a header of any length."""
    plain = await nats.connect(shared_server.url)
    await tapped.wish()
    subject, headers = f"gl.{tapped.node.site}.role.oltc.do", {"Gl-Source": "s" * 100_000}
    await asyncio.gather(*(plain.request(subject, b"1", headers=headers, timeout=10) for _ in range(20)))
    await plain.close()
    await eventually(lambda: len(tapped.seen) == 40)
    assert {(s.source, s.cut) for s in tapped.seen} == {("s" * mirror.MAX_LETTERS, ("source",))}
    assert tapped.node._client.stats["reconnects"] == 0


async def test_a_batch_that_the_server_would_not_take_is_left_out_and_counted(tmp_path: Path, nats_bus: NewBus) -> None:
    """A server of somebody else may take less than a batch; it would end the connection of whoever sends it more."""
    file = tmp_path / "nats-server.conf"
    file.write_text(configuration("test", -1, str(tmp_path)).replace("max_payload: 1MB", "max_payload: 32KB"))
    with Server(str(file)) as server:
        tapped = await tapping(await nats_bus("n1", server.url), await nats_bus("tap", server.url))
        assert tapped.node._client.max_payload == 32 * 1024
        await tapped.wish()
        await asyncio.gather(*(tapped.asks(b"x" * 8000) for _ in range(20)))
        await eventually(lambda: tapped.node.local.mirror is not None and tapped.node.local.mirror._left_out > 0)
        await tapped.asks()
        await eventually(lambda: len(tapped.seen) + sum(b.left_out for b in tapped.batches) == 42)
        assert tapped.seen[-2].payload == "{}"
        assert tapped.node._client.stats["reconnects"] == 0


async def test_a_batch_is_bounded_as_it_is_sent_whatever_is_in_it() -> None:
    """Every name and payload at the worst that JSON can make of it; what no longer fits is counted."""
    said: list[bytes] = []

    def say(body: bytes) -> bool:
        said.append(body)
        return True

    one = Mirror("n1", say, lambda: None)
    one.asked(msgspec.json.encode(Wish(tap="t")))
    worst = "\x01" * 5000
    for _ in range(100):
        asked = Message(
            address=address.Address(f"role.{worst}"), type=worst, source=worst, id=worst, payload=worst.encode()
        )
        one.saw(asked, "request", asked.payload)
        one.saw(asked, "reply", b"\x01" * 1_000_000)
    await eventually(lambda: said)
    one.close()
    (body,) = said
    batch = _batch(body)
    assert len(body) < mirror.MAX_WAITING_BYTES + 1024
    assert len(batch.seen) + batch.left_out == 200
    assert batch.seen[0].cut == ("address", "type", "source", "id")
    assert batch.seen[1].cut == ("address", "type", "source", "id", "payload")


async def test_a_tap_does_not_stand_in_for_a_role_that_nobody_serves(tapped: Tapped) -> None:
    """Who listens to a role's subject is a responder to nats-server: the sender would wait instead of being told."""
    await tapped.wish()
    await tapped.tap.overhear(lambda _: None)
    with pytest.raises(NoSuchRole):
        await tapped.node.request(message(address.role("nobody"), timeout_s=30))


async def test_a_wish_that_is_none_is_passed_over(tapped: Tapped, caplog: pytest.LogCaptureFixture) -> None:
    """The subject is open to whoever may send there."""
    caplog.set_level(logging.WARNING)
    for body in (b"", b"{", b"[]", b'{"roles": 5}', b"\xff"):
        tapped.tap.say(address.tap_wishes(tapped.tap.site), body)
    await tapped.tap.say_surely(address.tap_wishes(tapped.tap.site), b"5")
    await eventually(lambda: len([m for m in caplog.messages if "a tap's wish is passed over" in m]) == 6)
    assert not tapped.is_looking
    await tapped.asks()


async def test_no_more_than_a_few_taps_are_served() -> None:
    """Each costs a comparison a message."""
    one = Mirror("n1", lambda _: True, lambda: None)
    for number in range(mirror.MAX_TAPS + 1):
        one.asked(msgspec.json.encode(Wish(tap=str(number), types=(f"t{number}",))))
    wanted = [one.wants(message(ROLE, type=f"t{number}")) for number in range(mirror.MAX_TAPS + 1)]
    assert wanted == [True] * mirror.MAX_TAPS + [False]
    one.close()
    one.close()


async def test_what_could_not_be_sent_is_counted_as_left_out() -> None:
    """While the connection is down or slow, and told afterwards."""
    said: list[Batch] = []
    up = False

    def say(body: bytes) -> bool:
        if up:
            said.append(_batch(body))
        return up

    one = Mirror("n1", say, lambda: None)
    one.asked(msgspec.json.encode(Wish(tap="t")))
    one.saw(message(ROLE), "request", b"1")
    await eventually(lambda: one._left_out == 1)
    up = True
    one.saw(message(ROLE), "request", b"2")
    await eventually(lambda: said)
    assert ([s.payload for s in said[0].seen], said[0].left_out) == (["2"], 1)
    one.close()


async def test_closing_a_node_ends_its_mirror(tapped: Tapped) -> None:
    """No timer outlives the bus."""
    await tapped.wish()
    await tapped.asks()
    looking = tapped.node.local.mirror
    assert looking is not None
    timer = looking._timer
    assert timer is not None
    await tapped.node.aclose()
    assert timer.cancelled()
    assert not looking.wants(message(ROLE))
