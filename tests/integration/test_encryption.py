"""Encryption between two nodes over a real nats-server: the wire is read, and meddled with."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable

import pytest
from nats.aio.msg import Msg

from gridlink import (
    Refused,
    Unreadable,
    request,
)
from gridlink.module.sender import Sender
from gridlink.testing import eventually
from tests.integration.proxied import Meter, Note, Sites, Storage, encryption, in_order, kept_by
from tests.integration.proxied import sites as sites  # noqa: PLC0414 - a fixture


async def test_plain_text_is_never_on_the_wire(sites: Sites) -> None:
    """Requests, replies, events, refusals, failures: every byte between the nodes and the server is read."""
    scope = {"for": {"role": "storage", "topic": "measurement"}}
    a = await sites.node("a", encryption(sites.key, **scope), meter=Meter)
    await sites.node("b", encryption(sites.key, **scope), storage=Storage)
    assert await sites.asks(a, "meter", "ask", {"text": "secret-one"}) == "kept secret-one"
    with pytest.raises(Refused, match="it is bad: secret-bad"):
        await sites.asks(a, "meter", "ask", {"text": "secret-bad"})
    with pytest.raises(Exception, match="ValueError: secret-broken"):
        await sites.asks(a, "meter", "ask", {"text": "secret-broken"})
    await sites.asks(a, "meter", "tell", {"text": "secret-two"})
    await eventually(lambda: kept_by["storage@b"] == ["secret-one", "secret-two"])
    wire = bytes(sites.tap.bytes)
    assert b"gl.t.role.storage.keep" in wire
    assert b"gl.t.topic.measurement.note" in wire
    assert wire.count(b'"sealed"') >= 8
    for plain in (b"secret", base64.b64encode(b'{"text":"secret')[:-4], b"7365637265"):
        assert plain not in wire


async def test_without_encryption_the_tap_does_read_plain_text(sites: Sites) -> None:
    """Else the test above would prove nothing."""
    a = await sites.node("a", meter=Meter)
    await sites.node("b", storage=Storage)
    await sites.asks(a, "meter", "ask", {"text": "secret-one"})
    assert b"secret-one" in bytes(sites.tap.bytes)


async def test_a_message_to_an_instance_of_the_role_is_sealed_too(sites: Sites) -> None:
    """Else `storage@b` would be a way around `role storage`."""
    scope = {"for": {"role": "storage"}}

    class Direct(Meter):
        roles = ("direct",)

        @request("direct")
        async def direct(self, note: Note) -> str:
            reply: str = await self.bus.request("storage@b", "keep", note, reply=str)
            return reply

    a = await sites.node("a", encryption(sites.key, **scope), direct=Direct)
    await sites.node("b", encryption(sites.key, **scope), storage=Storage)
    await a.registry.wait_for(role="storage")
    assert await sites.asks(a, "direct", "direct", {"text": "secret"}) == "kept secret"
    assert b"secret" not in bytes(sites.tap.bytes)


async def test_a_wrong_key_is_refused_with_a_clear_error(sites: Sites) -> None:
    """On a request to its sender; on an event in the receiver's counters and log."""
    a = await sites.node("a", encryption(sites.key), meter=Meter)
    b = await sites.node("b", encryption(sites.new_key("other.key")), storage=Storage)
    meter = a.instances["meter@a"]
    asks = Sender(a.bus, "meter@a", meter._proxies).request
    with pytest.raises(Unreadable, match=r"expected a payload sealed with key .*, got one sealed with key"):
        await asks("storage", "keep", {"text": "x"})
    await Sender(a.bus, "meter@a", meter._proxies).publish("measurement", "note", {"text": "x"})
    await eventually(lambda: sites.counters(b, "storage").refused == 2)
    assert kept_by["storage@b"] == []


async def test_a_replaced_key_is_still_accepted(sites: Sites) -> None:
    """Rotation, in the middle of it: one node seals with the new key, the other still with the old one."""
    new = sites.new_key("new.key")
    a = await sites.node(
        "a", encryption(sites.key, accept_key_files=[new], **{"for": {"role": "storage"}}), meter=Meter
    )
    b = encryption(new, accept_key_files=[sites.key], **{"for": {"role": "storage"}})
    await sites.node("b", b, storage=Storage)
    assert await sites.asks(a, "meter", "ask", {"text": "x"}) == "kept x"


@pytest.mark.parametrize(
    "meddle",
    [
        lambda body: body.replace(b'"data":"', b'"data":"AAAA'),
        lambda body: body[:-8] + (b"BBBB" if body[-8:-4] != b"BBBB" else b"CCCC") + body[-4:],
        lambda body: body.replace(b'"nonce":"', b'"nonce":"AAAA'),
        lambda body: b'{"text":"forged"}',
        lambda body: b"",
        lambda body: body[:40],
    ],
    ids=["longer", "a letter", "nonce", "plain", "empty", "cut"],
)
async def test_what_was_tampered_with_is_refused(
    sites: Sites, meddle: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody on the server reads a message and sends it again, changed, under the same subject and headers."""
    read: list[Msg] = []

    async def keep(found: Msg) -> None:
        read.append(found)

    await sites.plain.subscribe("gl.t.topic.measurement.note", cb=keep)
    await in_order(sites.plain)
    scope = {"for": {"role": "storage", "topic": "measurement"}}
    a = await sites.node("a", encryption(sites.key, **scope), meter=Meter)
    b = await sites.node("b", encryption(sites.key, **scope), storage=Storage)
    await sites.asks(a, "meter", "tell", {"text": "one"})
    await eventually(lambda: read and kept_by["storage@b"] == ["one"])
    original = read[0]
    caplog.set_level(logging.WARNING)
    await sites.plain.publish(original.subject, meddle(original.data), headers=original.headers)
    await eventually(lambda: sites.counters(b, "storage").refused == 1)
    assert kept_by["storage@b"] == ["one"]
    assert "an event note of meter@a: " in caplog.text
    reply = await sites.plain.request("gl.t.role.storage.keep", meddle(original.data), headers=original.headers)
    assert reply.headers is not None
    assert reply.headers["Nats-Service-Error-Code"] == "400"
    assert json.loads(reply.data)["error"] == "Unreadable"


async def test_a_sealed_payload_can_not_be_sent_to_another_subject(sites: Sites) -> None:
    """An event, moved to a role that takes the same payload, is refused."""
    read: list[Msg] = []

    async def keep(found: Msg) -> None:
        read.append(found)

    await sites.plain.subscribe("gl.t.topic.measurement.note", cb=keep)
    await in_order(sites.plain)
    a = await sites.node("a", encryption(sites.key, **{"for": {"topic": "measurement"}}), meter=Meter)
    await sites.node("b", encryption(sites.key), storage=Storage)
    await sites.asks(a, "meter", "tell", {"text": "one"})
    await eventually(lambda: read)
    reply = await sites.plain.request("gl.t.role.storage.keep", read[0].data, headers=read[0].headers)
    assert "sealed for another message" in json.loads(reply.data)["message"]
    assert kept_by["storage@b"] == ["one"]
