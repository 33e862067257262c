"""`gridlink tap` on a running site: what passes inside one node, sealed payloads, and who may look."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from gridlink.bus.mirror import Wish
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.bus.trust import operator_rights
from gridlink.cli.listening import Passed, listening
from gridlink.cli.tap_text import line, shown
from gridlink.config import Credentials
from gridlink.errors import AccessDenied
from gridlink.node import Node
from gridlink.proxies.policy import Rule, permissions
from gridlink.testing import Site, eventually
from tests.acceptance.running import bundle, running
from tests.conftest import clean_environment, command
from tests.integration.proxied import Meter, Sites, Storage, encryption
from tests.integration.proxied import sites as sites  # noqa: PLC0414 - a fixture

ASKER = """
from gridlink import Module, Refused, Topic, every, request

class Probe(Module[None]):
    '''Asks itself, and tells.'''
    roles = ("ROLE",)
    publishes = (Topic("told", number=int),)

    @request("echo")
    async def echo(self, number: int) -> int:
        if number % 10 == 9:
            raise Refused("no nines")
        return number

    @every(seconds=0.02)
    async def ask(self) -> None:
        self.number = getattr(self, "number", 0) + 1
        await self.bus.publish("told", "number", self.number)
        await self.bus.request("ROLE", "echo", self.number)
"""


Tap = subprocess.Popen[str]


@pytest.fixture
def taps() -> Iterator[Callable[..., Tap]]:
    """Starts a tap of a site; none outlives the test."""
    started: list[Tap] = []

    def start(managed: Path, *options: str) -> Tap:
        arguments = command("-C", managed, "tap", *options)
        pipe, environment = subprocess.PIPE, clean_environment()
        started.append(subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, env=environment))
        return started[-1]

    yield start
    for tap in started:
        if tap.poll() is None:
            tap.kill()
        tap.communicate()


async def said_by(tap: Tap) -> str:
    """What a tap has printed, when it has ended well."""
    out, err = await asyncio.to_thread(tap.communicate, timeout=40)
    assert tap.returncode == 0, err
    return out


@pytest.mark.slow
async def test_a_user_sees_what_passes_inside_a_node(tmp_path: Path, taps: Callable[..., Tap]) -> None:
    """Requests, replies with their times, errors; the summary in three forms; and nothing once no tap runs."""
    bundle(tmp_path / "managed", "asker", ASKER.replace("ROLE", "asker"))
    async with running(tmp_path / "managed") as node:
        await node.all_running("asker")
        shown_: list[float] = []
        loop = asyncio.get_running_loop()

        async def mirrored(_: Msg) -> None:
            shown_.append(loop.time())

        asked: set[str] = set()

        async def wished(wish: Msg) -> None:
            asked.add(json.loads(wish.data)["tap"])

        plain = await nats.connect(node.file["url"])
        await plain.subscribe("gl-tap.site.wish", cb=wished)
        await plain.subscribe("gl-tap.site.seen.*", cb=mirrored)
        live = taps(node.managed, "--role", "asker", "--count", "40", "--json")
        events = taps(node.managed, "--topic", "told", "--count", "3")
        summary = taps(node.managed, "--summary", "--for", "1.5", "--json")
        diagram = taps(node.managed, "--mermaid", "--from", "asker", "--for", "1.5")
        interrupted = taps(node.managed, "--summary")
        killed = taps(node.managed)
        lines = [json.loads(text) for text in (await said_by(live)).splitlines()]
        assert {one["kind"] for one in lines} == {"request", "reply", "error"}
        assert all(one["from"].startswith("asker@") and one["to"] == "asker" for one in lines)
        request = next(one for one in lines if one["kind"] == "request")
        reply = next(one for one in lines if one["kind"] == "reply" and one["id"] == request["id"])
        assert (reply["payload"], reply["elapsed_ms"] > 0) == (request["payload"], True)
        error = next(one for one in lines if one["kind"] == "error")
        assert error["payload"] == {"error": "Refused", "message": "no nines"}
        assert all(" => topic told number " in text for text in (await said_by(events)).splitlines())
        rows = {row["to"]: row for row in json.loads(await said_by(summary))["messages"]}
        assert rows["role asker"]["count"] > 10
        assert rows["role asker"]["errors"] > 0
        assert 0 < rows["role asker"]["p50_ms"] <= rows["role asker"]["max_ms"]
        assert rows["topic told"]["subscribers"] == []
        assert (await said_by(diagram)).startswith('flowchart LR\n  n1["asker@')
        await eventually(lambda: len(asked) == 6, timeout_s=30)
        interrupted.send_signal(signal.SIGINT)
        table = (await said_by(interrupted)).splitlines()
        assert table[0].split() == ["FROM", "TO", "TYPE", "COUNT", "ERRORS", "P50", "MS", "P99", "MS", "MAX", "MS"]
        assert any("role asker" in row for row in table)
        killed.kill()
        began_s = loop.time()
        await eventually(lambda: loop.time() - max(shown_) > 1.0, timeout_s=15)
        assert max(shown_) - began_s < 8.0
        await plain.close()


async def test_what_is_sealed_stays_sealed(sites: Sites) -> None:
    """Between two modules of one node: the tap, and all of the wire, see what the wire would have seen."""
    node = await sites.node("a", encryption(sites.key), meter=Meter, storage=Storage)
    heard: list[Passed] = []
    tap = NatsBus("t", "tap")
    await tap.connect(node.url)
    async with listening(tap, Wish(roles=("storage",)), heard.append, lambda _: None):
        await eventually(lambda: node.bus.local.mirror)  # type: ignore[attr-defined]
        inside = node.instances["meter@a"]._environment.bus
        assert await inside.request("storage", "keep", {"text": "secret words"}) == "kept secret words"
        with pytest.raises(Exception, match="it is bad: bad secret"):
            await inside.request("storage", "keep", {"text": "bad secret"})
        await eventually(lambda: len(heard) == 4)
    await tap.aclose()
    assert [one.seen.kind for one in heard] == ["request", "reply", "request", "error"]
    assert all(shown(one)["payload"].get("sealed") == "xchacha20poly1305" for one in heard[:3])
    assert shown(heard[3])["payload"]["error"] == "FailedSealed"
    text = "".join(line(shown(one)) + json.dumps(shown(one)) for one in heard).encode() + bytes(sites.tap.bytes)
    assert b"(sealed with key" in text
    assert b"secret" not in text


async def test_on_a_restricted_site_operators_may_tap_and_nodes_may_not(tmp_path: Path) -> None:
    """nats-server says so: a node's credentials let it neither ask another node nor hear what it shows."""
    rules = [
        Rule("meter", ("role storage", "topic measurement"), hears=("role meter",)),
        Rule("storage", hears=("role storage", "topic measurement")),
    ]
    rights = {"a": permissions(rules, ["meter", "storage"], "a", "t"), "b": permissions(rules, ["meter"], "b", "t")}
    users = [{"user": name, "password": name, "permissions": given} for name, given in rights.items()]
    users.append({"user": "operator", "password": "operator", "permissions": operator_rights("t")})
    file = tmp_path / "nats-server.conf"
    text = configuration("t", -1, str(tmp_path))
    file.write_text(f"{text}authorization: {json.dumps({'users': users})}\n")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(str(file)))
        buses = {}
        for name in ("a", "b", "operator"):
            bus = buses[name] = NatsBus("t", name)
            stack.push_async_callback(bus.aclose)
            await bus.connect(server.url, Credentials(user=name, password=name))
        node = await stack.enter_async_context(Node(buses["a"], "m"))
        site = Site(node, tmp_path)
        for module, cls in (("meter", Meter), ("storage", Storage)):
            await site.host(cls, name=module)
        heard: list[Passed] = []
        with pytest.raises(AccessDenied, match=r"may not tap site t .*: use the operator's"):
            async with listening(buses["b"], Wish(), heard.append, lambda _: None):
                raise AssertionError("it taps")
        with pytest.raises(AccessDenied, match=r"may not send on gl-tap.t.wish"):
            await buses["b"].say_surely("gl-tap.t.wish", b'{"tap":"t"}')
        for subject in ("gl-tap.>", "gl-tap.t.seen.a", ">"):
            with pytest.raises(AccessDenied, match="may not listen"):
                await buses["b"].listen(subject, lambda _: None)
        assert buses["a"].local.mirror is None
        async with listening(buses["operator"], Wish(), heard.append, lambda _: None):
            await eventually(lambda: buses["a"].local.mirror)
            await site.request("meter", "ask", {"text": "x"})
            await eventually(lambda: len(heard) == 4)
        assert {one.seen.source for one in heard} == {"test@a", "meter@a"}
