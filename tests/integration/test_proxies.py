"""Proxies between two nodes over a real nats-server: the wire is read, meddled with, and lied on."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from gridlink import (
    AccessDenied,
    LimitExceeded,
    Module,
    Refused,
    RequestTimeout,
    Topic,
    Unreadable,
    every,
    request,
    subscribe,
)
from gridlink import message as handled
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.config import Credentials
from gridlink.message import Message
from gridlink.module.counters import Counters
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.proxies import Proxy
from gridlink.proxies.policy import Rule, permissions
from gridlink.proxies.site import read_site_file
from gridlink.testing import Site, eventually
from tests.acceptance.running import bundle, running


@dataclass(frozen=True)
class Note:
    """A payload."""

    text: str


class Meter(Module[None]):
    """Publishes, and asks the storage."""

    roles = ("meter",)
    publishes = (Topic("measurement", note=Note),)

    @request("tell")
    async def tell(self, note: Note) -> None:
        """Publishes it."""
        await self.bus.publish("measurement", "note", note)

    @request("ask")
    async def ask(self, note: Note) -> str:
        """Asks the storage, and says what it answered."""
        reply: str = await self.bus.request("storage", "keep", note, reply=str, timeout_s=2)
        return reply


class Storage(Module[None]):
    """Keeps notes."""

    roles = ("storage",)

    def __init__(self) -> None:
        self.kept: list[str] = []
        kept_by[self.instance] = self.kept

    @request("keep")
    async def keep(self, note: Note) -> str:
        """Keeps it and says it again."""
        if "bad" in note.text:
            raise Refused(f"it is bad: {note.text}")
        if "broken" in note.text:
            raise ValueError(note.text)
        self.kept.append(note.text)
        return f"kept {note.text}"

    @subscribe("measurement", "note")
    async def on_note(self, note: Note) -> None:
        """Keeps it."""
        self.kept.append(note.text)


kept_by: dict[str, list[str]] = {}


class Tap:
    """A relay between nodes and nats-server that keeps every byte which passes, in both directions."""

    def __init__(self, port: int) -> None:
        self.bytes = bytearray()
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, other_writer]
        await asyncio.gather(self._copy(reader, other_writer), self._copy(other_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.bytes += data
                writer.write(data)
        except ConnectionError:
            return
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The URL for nodes."""
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


class Sites:
    """Two nodes of one site with their site files, a tap between them and the server, and a plain client."""

    def __init__(self, directory: Path, url: str, tap: Tap, plain: Client, stack: AsyncExitStack) -> None:
        self.directory, self.tap, self.plain = directory, tap, plain
        self._url, self._stack = url, stack
        self.key = self.new_key("site.key")

    def new_key(self, name: str) -> str:
        """A key file; returns its path."""
        path = self.directory / name
        path.write_text(secrets.token_hex(32))
        path.chmod(0o600)
        return str(path)

    async def node(self, name: str, *proxies: Any, **modules: type[Module[Any]]) -> Node:
        """A node with a site file of its own that hosts these modules."""
        file = self.directory / name / "site.json"
        file.parent.mkdir()
        file.write_text(json.dumps({"proxies": proxies}))
        bus = NatsBus("t", name)
        await bus.connect(self._url)
        node = await self._stack.enter_async_context(Node(bus, "m", site_file=read_site_file(file)))
        for module, cls in modules.items():
            await Site(node, file.parent).host(cls, name=module)
        return node

    def counters(self, node: Node, module: str) -> Counters:
        """What is counted of an instance."""
        return node.instances[f"{module}@{node.node}"].counters

    async def asks(self, node: Node, to: str, type: str, payload: Any) -> Any:
        """Asks from outside of all modules, as a plain client does."""
        return await Sender(node.bus, f"test@{node.node}").request(to, type, payload, timeout_s=5)


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Sites]:
    """See Sites."""
    file = tmp_path / "nats-server.conf"
    file.write_text(configuration("t", -1, str(tmp_path)))
    kept_by.clear()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(str(file)))
        tap = Tap(int(server.url.rpartition(":")[2]))
        url = await stack.enter_async_context(tap.listening())
        plain = await nats.connect(server.url)
        stack.push_async_callback(plain.close)
        yield Sites(tmp_path, url, tap, plain, stack)


def encryption(key_file: str, **fields: Any) -> dict[str, Any]:
    """An entry of a site file."""
    return {"proxy": "encryption", "key_file": key_file, **fields}


async def in_order(client: Client) -> None:
    """Returns when the server has everything that the client sent."""
    await client.flush()


# Encryption.


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
    rules = [Rule("handler", "role storage"), Rule("guard", "topic measurement")]
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
        with pytest.raises(RequestTimeout):
            await liar.request("storage", "keep", {"text": "lie"}, timeout_s=0.5)
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
