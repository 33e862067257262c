"""A machine's credentials on a site with a policy: what it doesn't allow is refused, and the sender is told."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gridlink import AccessDenied, Module, Topic, address, request
from gridlink.bus.cluster import trusted_configuration
from gridlink.bus.mesh import Routes
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.bus.trust import Trust, read_trust
from gridlink.config import Credentials, credentials
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.testing import Site, eventually
from tests.acceptance.running import NODE, bundle
from tests.cli.conftest import run
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import require_nats_server
from tests.integration.cluster.test_credentials import free_ports, operator

POLICY = [
    {"from": "guard", "to": "role oltc", "types": ["raise"]},
    {"from": "guard", "to": "topic problem", "types": ["seen"]},
    {"from": "gridlink", "to": "role oltc"},
    {"from": "guard", "hears": ["topic problem"]},
    {"from": "oltc", "hears": ["role oltc", "role spare"]},
]


class Oltc(Module[None]):
    """Serves two roles."""

    roles = ("oltc", "spare")

    @request("raise")
    async def raise_(self) -> str:
        """Done."""
        return "raised"

    @request("reset")
    async def reset(self) -> str:
        """Done."""
        return "reset"


class Guard(Module[None]):
    """Publishes what it may, and what it may not."""

    publishes = (Topic("problem", seen=int, solved=int),)


def make(directory: Path, *options: str) -> Path:
    """What `gridlink init --cluster` makes, with a policy; its machines are m1 and m2."""
    port, route_port = free_ports(2)
    site_file = directory / "site.json"
    directory.mkdir(exist_ok=True)
    site_file.write_text(json.dumps({"proxies": [{"proxy": "access", "policy": POLICY}]}))
    made = run(
        "init", directory / "trust", "--cluster", "a", "--machines", "m1,m2", "--hosts", "m1=127.0.0.1,m2=127.0.0.1",
        "--port", str(port), "--route-port", str(route_port), "--policy", site_file, *options,
    )  # fmt: skip
    assert made.status == 0, made.err
    return directory / "trust"


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """That of m1, which runs `guard` alone."""
    return read_trust(make(tmp_path, "--modules", "m1=guard", "--modules", "m2=oltc") / "m1", "a")


class Machines:
    """A server, and nodes on two machines that have their own credentials."""

    def __init__(self, url: str, trust: Trust, stack: AsyncExitStack) -> None:
        self.url, self._trust, self._stack = url, trust, stack

    def credentials_of(self, machine: str) -> Credentials:
        """As the node on that machine has them."""
        return credentials(read_trust(self._trust.directory.parent / machine, "a").environment())

    async def bus(self, name: str, given: Credentials, site: str = "a") -> NatsBus:
        """A connected bus."""
        bus = NatsBus(site, name)
        self._stack.push_async_callback(bus.aclose)
        await bus.connect(self.url, given)
        return bus

    async def node(self, machine: str, directory: Path, cls: type[Module[Any]], name: str) -> Node:
        """A node of the machine with one module."""
        bus = await self.bus(machine, self.credentials_of(machine))
        node = await self._stack.enter_async_context(Node(bus, machine))
        await Site(node, directory).host(cls, name=name)
        return node


@pytest.fixture
async def machines(tmp_path: Path, trust: Trust) -> AsyncIterator[Machines]:
    """See Machines."""
    require_nats_server()
    directory = tmp_path / "nats"
    directory.mkdir()
    assert trust.cluster is not None
    Routes(directory, trust.cluster).write()
    (directory / "nats-server.conf").write_text(trusted_configuration(trust, 0, str(directory)))
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(str(directory / "nats-server.conf")))
        yield Machines(server.url, trust, stack)


async def test_what_the_policy_allows_passes_and_the_rest_is_refused_to_the_sender(
    machines: Machines, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, as AccessDenied, for requests, sends and events; in the log once; and the connection lives on."""
    one = await machines.node("m1", tmp_path, Guard, "guard")
    await machines.node("m2", tmp_path, Oltc, "oltc")
    await one.registry.wait_for(role="oltc")
    guard: Sender = one.instances["guard@m1"]._environment.bus
    assert await guard.request("oltc", "raise") == "raised"
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        began_s = time.monotonic()
        with pytest.raises(AccessDenied, match="guard@m1 may not send reset to role oltc: the nats-server") as caught:
            await guard.request("oltc", "reset", timeout_s=30)
        assert time.monotonic() - began_s < 5
        assert (caught.value.source, caught.value.to, caught.value.type) == ("guard@m1", "role oltc", "reset")
    with pytest.raises(AccessDenied, match="role spare"):
        await guard.send("spare", "reset")
    assert len([line for line in caplog.messages if "send to gl.a.role.oltc.reset" in line]) == 1
    heard = Recorder()
    await one.bus.subscribe(address.topic("problem"), "*", heard)
    await guard.publish("problem", "seen", 1)
    for number in (2, 3):
        with pytest.raises(AccessDenied, match="guard@m1 may not send solved to topic problem"):
            await guard.publish("problem", "solved", number)
    assert heard.payloads == [b"1", b"2", b"3"]  # in its own node nobody is between
    assert await guard.request("oltc", "raise") == "raised"


async def test_the_operator_may_send_all_and_sees_all(machines: Machines, tmp_path: Path, trust: Trust) -> None:
    """Commands, taps, and service discovery: a machine's node answers a question once: roles are asked by name."""
    await machines.node("m2", tmp_path, Oltc, "oltc")
    given = operator(trust.directory.parent, "a")
    bus = await machines.bus("cli-1", given)
    assert await Sender(bus, "gridlink@cli-1").request("spare", "reset") == "reset"
    await bus.listen("gl-tap.a.seen.*", lambda _: None)
    await bus.say_surely("gl-tap.a.wish", b'{"tap":"t","over":true}')
    answers: list[bytes] = []
    await bus.listen("_INBOX.found.*", answers.append)
    for number, asked in enumerate(("", ".oltc", ".spare")):
        bus._client.put(f"$SRV.PING{asked}", f"_INBOX.found.{number}", b"")
        await eventually(lambda: len(answers) == number + 1)  # noqa: B023 - it is awaited here
    assert [json.loads(body)["name"] for body in answers[1:]] == ["oltc", "spare"]


async def test_a_machines_credentials_hear_no_replies_of_others_and_no_other_site(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    """Each refusal is an error where it was asked for, never silence."""
    mine = machines.credentials_of("m1")
    bus = await machines.bus("cli-1", mine)  # a command on the machine, with the machine's keys
    for subject in ("_INBOX.>", "_INBOX.m2.>", "gl-tap.a.seen.*"):
        with pytest.raises(AccessDenied, match="may not listen to"):
            await bus.listen(subject, lambda _: None)
    with pytest.raises(AccessDenied, match="NATS_INBOX_PREFIX"):
        await machines.bus("cli-2", structs.replace(mine, inbox_prefix=None))
    stranger = await machines.bus("m1", mine, site="b")
    for registering in (
        stranger.serve(address.role("oltc"), Recorder()),
        stranger.subscribe(address.topic("problem"), "seen", Recorder()),
    ):
        with pytest.raises(AccessDenied, match="node m1 may not listen to"):
            await registering
    assert not stranger.local.has_member(address.role("oltc"))
    with pytest.raises(AccessDenied):
        await stranger.request(message(address.role("oltc")))


async def test_a_refusal_is_forgotten_when_the_server_allows_it(
    machines: Machines, tmp_path: Path, trust: Trust
) -> None:
    """The policy is changed, the directories are made again, the server reads its configuration: no node restarts."""
    one = await machines.node("m1", tmp_path, Guard, "guard")
    guard: Sender = one.instances["guard@m1"]._environment.bus
    with pytest.raises(AccessDenied):
        await guard.publish("problem", "solved", 1)
    assert trust.cluster is not None
    file = tmp_path / "nats" / "nats-server.conf"
    free = replace(trust, cluster=replace(trust.cluster, permissions={}))
    file.write_text(trusted_configuration(free, 0, str(file.parent)))
    pid = int((tmp_path / "nats").glob("nats-server_*.ports").__next__().stem.rpartition("_")[2])
    subprocess.run(["kill", "-HUP", str(pid)], check=True)

    async def passes() -> bool:
        try:
            await guard.publish("problem", "solved", 1)
        except AccessDenied:
            return False
        return True

    await eventually(passes, timeout_s=20)


SERVES = """
from gridlink import Module, request

class Probe(Module[None]):
    '''Serves a role.'''
    roles = ("oltc",)

    @request("raise")
    async def raise_(self) -> str:
        return "raised"

    @request("reset")
    async def reset(self) -> str:
        return "reset"
"""

MISTAKEN = """
from gridlink import Module, every

class Probe(Module[None]):
    '''Asks what it may, and what it may not.'''

    @every(seconds=0.2)
    async def ask(self) -> None:
        self.log.info("it is %s", await self.bus.request("oltc", "raise"))
        await self.bus.request("oltc", "reset")
"""


def test_the_log_of_a_node_says_what_the_server_refuses(tmp_path: Path) -> None:
    """As an operator meets it: a module without a rule, in a process of its own, on a machine with its credentials."""
    trust = make(tmp_path)
    managed = tmp_path / "managed"
    bundle(managed, "oltc", SERVES)
    bundle(managed, "guard", MISTAKEN, mode="process")
    arguments = [NODE, "--manage", str(managed), "--site", "a", "--node", "m1", "--no-view", "--for", "3"]
    done = subprocess.run([*arguments, "--trust", str(trust / "m1")], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    log = "".join(file.read_text() for file in (managed / ".gridlink" / "logs").glob("m1*.log"))
    assert "it is raised" in log
    refused = (
        "guard@m1-guard may not send reset to role oltc: the nats-server doesn't let the credentials of node m1-guard"
    )
    assert f"ask: {refused}" in log
    assert log.count("the nats-server doesn't let the node m1-guard send to gl.a.role.oltc.reset") == 1
    assert log.count("doesn't let the node") == 1  # all else that nodes say is allowed
