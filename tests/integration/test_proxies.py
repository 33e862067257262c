"""Access, limits, tracing, and proxies of bundles, between two nodes over a real nats-server."""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from gridlink import (
    AccessDenied,
    LimitExceeded,
    Module,
    Topic,
    every,
    subscribe,
)
from gridlink import message as handled
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.config import Credentials
from gridlink.message import Message
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.proxies import Proxy
from gridlink.proxies.policy import Rule, permissions
from gridlink.proxies.site import read_site_file
from gridlink.testing import Site, eventually
from tests.acceptance.running import bundle, running
from tests.integration.proxied import Meter, Sites, Storage, encryption, in_order, kept_by
from tests.integration.proxied import sites as sites  # noqa: PLC0414 - a fixture

# Access.


POLICY = {
    "proxy": "access",
    "policy": [
        {"from": "meter", "to": "role storage", "types": ["keep"]},
        {"from": "test", "to": "role meter"},
    ],
}


async def test_access_is_denied_where_no_rule_allows_it(sites: Sites) -> None:
    """At the sender that keeps the policy; and at the receiver for one that doesn't."""
    a = await sites.node("a", POLICY, meter=Meter)
    b = await sites.node("b", POLICY, storage=Storage)
    assert await sites.asks(a, "meter", "ask", {"text": "x"}) == "kept x"
    with pytest.raises(AccessDenied, match="meter@a may not send note to topic measurement"):
        await sites.asks(a, "meter", "tell", {"text": "x"})
    with pytest.raises(AccessDenied, match="test@a may not send keep to role storage") as caught:
        await sites.asks(a, "storage", "keep", {"text": "x"})
    assert (caught.value.source, caught.value.to, caught.value.type) == ("test@a", "role storage", "keep")
    reply = await sites.plain.request("gl.t.role.storage.keep", b'{"text":"x"}')
    assert reply.headers is not None
    assert reply.headers["Nats-Service-Error-Code"] == "403"
    await sites.plain.publish("gl.t.topic.measurement.note", b'{"text":"x"}')
    await eventually(lambda: sites.counters(b, "storage").refused == 3)
    assert kept_by["storage@b"] == ["x"]


async def test_a_process_that_lies_gets_no_further_than_its_credentials(tmp_path: Path) -> None:
    """Between processes a name is worth what the nats-server allows: the policy, as permissions, is kept there."""
    rules = [
        Rule("handler", "role storage"),
        Rule("guard", "topic measurement"),
        Rule("storage", hears=("role storage", "topic measurement")),
    ]
    users = [
        {"user": name, "password": name, "permissions": permissions(rules, [module], name, "t")}
        for name, module in (("a", "guard"), ("b", "storage"), ("c", "handler"))
    ]
    file = tmp_path / "nats-server.conf"
    text = configuration("t", -1, str(tmp_path))
    file.write_text(f"{text}authorization: {json.dumps({'users': users})}\n")
    site_file = tmp_path / "site.json"
    site_file.write_text(json.dumps({"proxies": [{"proxy": "access", "policy": [{"from": "handler", "to": "*"}]}]}))
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(str(file)))
        nodes = {}
        for name in "abc":
            bus = NatsBus("t", name)
            await bus.connect(server.url, Credentials(user=name, password=name))
            own = read_site_file(site_file) if name == "b" else None
            nodes[name] = await stack.enter_async_context(Node(bus, "m", site_file=own))
        await Site(nodes["b"], tmp_path).host(Storage, name="storage")
        await nodes["a"].registry.wait_for(role="storage")
        honest = Sender(nodes["c"].bus, "handler@c")
        assert await honest.request("storage", "keep", {"text": "honest"}) == "kept honest"
        liar = Sender(nodes["a"].bus, "handler@c")
        with pytest.raises(AccessDenied, match="doesn't let the credentials of node a"):
            await liar.request("storage", "keep", {"text": "lie"}, timeout_s=30)
        assert kept_by["storage@b"] == ["honest"]


# Limits.


async def test_a_sender_over_its_limit_is_told_and_others_are_not_disturbed(sites: Sites) -> None:
    """At the sender, and at the receiver for a plain client that floods."""
    limits = {"proxy": "limits", "messages_per_s": 0.01, "burst_s": 300, "for": {"role": "storage"}}
    a = await sites.node("a", limits, meter=Meter)
    b = await sites.node("b", limits, storage=Storage)
    for number in range(3):
        assert await sites.asks(a, "meter", "ask", {"text": str(number)}) == f"kept {number}"
    with pytest.raises(LimitExceeded, match=r"meter@a is over its messages_per_s of 0.01") as caught:
        await sites.asks(a, "meter", "ask", {"text": "x"})
    assert caught.value.limit == "messages_per_s"
    assert 0 < caught.value.retry_after_s <= 100
    for _ in range(10):
        reply = await sites.plain.request("gl.t.role.storage.keep", b'{"text":"flood"}')
    assert reply.headers is not None
    assert reply.headers["Nats-Service-Error-Code"] == "429"
    assert sites.counters(b, "storage").refused == 7
    assert await sites.asks(a, "meter", "tell", {"text": "event"}) is None
    await eventually(lambda: kept_by["storage@b"] == ["0", "1", "2", "flood", "flood", "flood", "event"])


async def test_a_flood_of_refused_events_is_logged_once_a_second(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted, every one; but nobody fills a board's flash with them."""
    b = await sites.node("b", {"proxy": "limits", "max_payload_bytes": 10}, storage=Storage)
    caplog.set_level(logging.WARNING)
    for _ in range(200):
        await sites.plain.publish("gl.t.topic.measurement.note", b'{"text":"much too long"}')
    await eventually(lambda: sites.counters(b, "storage").refused == 200)
    assert 1 <= len([line for line in caplog.messages if "an event note" in line]) <= 3


# Tracing.


class Timed(Module[None]):
    """Publishes twice in each run of a timer, and once when it hears itself."""

    publishes = (Topic("tick", one=int, two=int, three=int),)

    @every(seconds=0.05)
    async def run(self) -> None:
        """Publishes twice."""
        await self.bus.publish("tick", "one", 1)
        await self.bus.publish("tick", "two", 2)

    @subscribe("tick", "two")
    async def on_two(self, number: int) -> None:
        """Publishes in the trace of what it handles."""
        assert handled().type == "two"
        await self.bus.publish("tick", "three", number)


async def test_all_that_a_run_of_a_timer_causes_is_one_trace(sites: Sites) -> None:
    """Across two nodes; and the next run is another one."""
    found: list[tuple[str, str]] = []

    async def keep(got: Msg) -> None:
        assert got.headers is not None
        found.append((got.subject.rpartition(".")[2], got.headers["Gl-Message"].split(";")[3]))

    await sites.plain.subscribe("gl.t.topic.tick.*", cb=keep)
    await in_order(sites.plain)
    await sites.node("a", timed=Timed)
    await eventually(lambda: len([kind for kind, _ in found if kind == "three"]) >= 2)
    by_trace: dict[str, list[str]] = {}
    for kind, trace in found:
        by_trace.setdefault(trace[3:35], []).append(kind)
    runs = list(by_trace.values())
    assert runs[0] == ["one", "two", "three"]
    assert len(runs) >= 2
    assert len({trace for _, trace in found}) == len(found)


# Own proxies and order.


class Installed(Proxy):
    """A proxy of an installed package: fails on one text."""

    def incoming(self, call: Any) -> Any:
        """Raises on `bang`."""

        async def checked(message: Message) -> Any:
            if b"bang" in message.payload:
                raise KeyError("bang")
            return await call(message)

        return checked


async def test_a_proxy_that_raises_fails_that_message_alone(sites: Sites) -> None:
    """A request gets the error, an event is counted; what comes before and after passes."""
    a = await sites.node("a", meter=Meter)
    b = await sites.node("b", {"proxy": f"{__name__}:Installed"}, storage=Storage)
    for text in ("one", "bang", "two"):
        await sites.asks(a, "meter", "tell", {"text": text})
    with pytest.raises(Exception, match="Installed raised on keep: KeyError: 'bang'"):
        await sites.asks(a, "meter", "ask", {"text": "bang"})
    assert await sites.asks(a, "meter", "ask", {"text": "three"}) == "kept three"
    assert kept_by["storage@b"] == ["one", "two", "three"]
    assert sites.counters(b, "storage").errors == 1


async def test_encryption_nearer_to_the_wire_lets_other_proxies_see_plain_text(sites: Sites) -> None:
    """The documented order: an own proxy after `encryption` in the list is inside it, one before it outside."""
    a = await sites.node("a", encryption(sites.key, **{"for": {"role": "storage"}}), meter=Meter)
    inside = [encryption(sites.key, **{"for": {"role": "storage"}}), {"proxy": f"{__name__}:Installed"}]
    await sites.node("b", *inside, storage=Storage)
    with pytest.raises(Exception, match="Installed raised"):
        await sites.asks(a, "meter", "ask", {"text": "bang"})
    await sites.node("c", *reversed(inside), other=Storage)
    asks = Sender(a.bus, "meter@a", a.instances["meter@a"]._proxies).request
    await a.registry.wait_for(instance="other@c")
    assert await asks("other@c", "keep", {"text": "bang"}) == "kept bang"


OWN = """
from dataclasses import dataclass
from gridlink import Module, Proxy, request

@dataclass(frozen=True)
class Settings:
    digits: int

class Rounding(Proxy):
    settings_type = Settings

    def __init__(self, settings):
        self.digits = settings.digits

    def incoming(self, call):
        async def rounded(message):
            value = round(float(message.payload), self.digits)
            return await call(message.with_payload(str(value).encode()))
        return rounded

class Probe(Module[None]):
    '''Says a number again.'''
    roles = ("ROLE",)

    @request("echo")
    async def echo(self, number: float) -> float:
        return number
"""


async def test_a_bundle_brings_its_own_proxy(tmp_path: Path) -> None:
    """In a NodeManager's interpreter and in a process of its own; another bundle's messages stay as they are."""
    managed = tmp_path / "managed"
    managed.mkdir()
    for name, mode in (("inside", "node"), ("alone", "process"), ("plain", "node")):
        bundle(managed, name, OWN.replace("ROLE", name), mode=mode)
    entries = [{"proxy": f"{name}:Rounding", "digits": 1} for name in ("inside", "alone")]
    (managed / "site.json").write_text(json.dumps({"proxies": entries}))
    async with running(managed) as node:
        await node.all_running("inside", "alone", "plain")
        for name, expected in (("inside", 1.2), ("alone", 1.2), ("plain", 1.234)):
            assert await node.sender.request(name, "echo", 1.234, reply=float) == expected


async def test_a_site_file_that_is_wrong_keeps_the_node_from_starting(tmp_path: Path) -> None:
    """A site that is to be encrypted must not run without."""
    managed = tmp_path / "managed"
    managed.mkdir()
    bundle(managed, "inside", OWN.replace("ROLE", "inside"))
    (managed / "site.json").write_text('{"proxies": [{"proxy": "encryption", "key_file": "gone.key"}]}')
    with pytest.raises(AssertionError, match=r"site.json: proxies\[0\] \(encryption\): expected a key in the file"):
        async with running(managed):
            raise AssertionError("it runs")


async def test_a_whole_site_starts_encrypted_and_with_a_policy(tmp_path: Path) -> None:
    """The managers' own messages go through the proxies as well: they must not lock themselves out."""
    managed = tmp_path / "managed"
    managed.mkdir()
    bundle(managed, "inside", OWN.replace("ROLE", "inside"))
    key = managed / "site.key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    policy = {"proxy": "access", "policy": []}
    (managed / "site.json").write_text(json.dumps({"proxies": [policy, encryption("site.key")]}))
    async with running(managed) as node:
        await node.all_running("inside")
        with pytest.raises(AccessDenied):
            await node.sender.request("inside", "echo", 1.0)
