"""What a machine can't do on a site whose nats-server keeps the policy: command other nodes, or answer for others."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gridlink import AccessDenied, Module, address, request
from gridlink.address import NODE_COMMANDS
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.bus.trust import operator_rights
from gridlink.config import Credentials
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.node.namesake import Who
from gridlink.proxies.policy import Rule, permissions
from gridlink.testing import Site, eventually
from tests.gridlink.bus.receivers import Recorder, message
from tests.gridlink.conftest import require_nats_server

POLICY = [
    Rule("meter", ("topic measurement", "role slow"), hears=("role meter",)),
    Rule("slow", hears=("role slow",)),
]
MODULES = {"board": "meter", "vm2": "slow"}


class Slow(Module[None]):
    """Serves a role."""

    roles = ("slow",)

    @request("ask")
    async def ask(self) -> str:
        """Done."""
        return "answered"


class Buses:
    """A server and, for each user, a bus."""

    def __init__(self, server: Server, stack: AsyncExitStack) -> None:
        self.server, self._stack = server, stack

    async def of(self, user: str) -> NatsBus:
        """A connection with the user's credentials."""
        bus = NatsBus("west", user)
        self._stack.push_async_callback(bus.aclose)
        await bus.connect(self.server.url, Credentials(user=user, password="pw", inbox_prefix=f"_INBOX.{user}"))
        return bus


@pytest.fixture
async def buses(tmp_path: Path) -> AsyncIterator[Buses]:
    """See Buses: two machines with the policy's rights, and an operator."""
    require_nats_server()
    rights = {name: permissions(POLICY, ("appmanager", module), name, "west") for name, module in MODULES.items()}
    rights["operator"] = operator_rights("west")
    users = [{"user": name, "password": "pw", "permissions": given} for name, given in rights.items()]
    file = tmp_path / "nats-server.conf"
    file.write_text(f"{configuration('west', -1, str(tmp_path))}authorization: {json.dumps({'users': users})}\n")
    async with AsyncExitStack() as stack:
        yield Buses(stack.enter_context(Server(str(file))), stack)


async def test_a_machine_asks_other_nodes_and_commands_its_own_alone(buses: Buses, tmp_path: Path) -> None:
    """Else any board could have the modules of all others stopped."""
    board, vm2, operator = [await buses.of(name) for name in ("board", "vm2", "operator")]
    async with Node(vm2, "m") as node:
        await Site(node, tmp_path).host(Slow, name="slow")
        asking = Sender(board, "meter@board")
        assert (await asking.request("_node@vm2", "who", reply=Who)).boot == node.registry.boot
        for command in NODE_COMMANDS:
            with pytest.raises(AccessDenied):
                await asking.request("_node@vm2", command, {"instance": "slow@vm2", "follower": "slow@board"})
        for to in ("_node@vm2", "nodemanager@vm2"):
            with pytest.raises(AccessDenied):
                await asking.request(to, "unload", "slow@vm2")
        held = [node.instances["slow@vm2"].is_held]
        commanding = Sender(operator, "gridlink@operator")
        await commanding.request("_node@vm2", "hold", {"instance": "slow@vm2", "follower": "slow@other"})
        held.append(node.instances["slow@vm2"].is_held)
        assert held == [False, True]  # what was refused is a command that works
        await commanding.request("_node@vm2", "resume", "slow@vm2")


async def test_a_machine_neither_hears_nor_serves_what_the_policy_does_not_say(buses: Buses) -> None:
    """Who hears a request may answer it before the one who should."""
    board, vm2, operator = [await buses.of(name) for name in ("board", "vm2", "operator")]
    for heard in ("gl.>", "gl.west.>", "gl.west.role.>", "gl.west.role.slow.*", "gl.west.topic.*.*"):
        with pytest.raises(AccessDenied, match="may not listen to"):
            await board.listen(heard, lambda _: None)
    with pytest.raises(AccessDenied, match="may not listen to"):
        await board.serve(address.instance("slow@vm2"), Recorder())
    with pytest.raises(AccessDenied, match="role slow"):
        await board.serve(address.role("slow"), Recorder())
    honest = Recorder()
    await vm2.serve(address.role("slow"), honest)
    assert await operator.request(message(address.role("slow"), payload=b'"honest"')) == b'"honest"'
    assert len(honest.requests) == 1


async def test_a_reply_is_sent_to_no_address(buses: Buses) -> None:
    """A machine may name any subject for a reply: who answers there would send for it what it may not send itself."""
    board, vm2, operator = [await buses.of(name) for name in ("board", "vm2", "operator")]
    reached, asked = Recorder(), Recorder()
    await operator.serve(address.role("oltc"), reached)
    await vm2.serve(address.role("slow"), asked)
    for reply in ("gl.west.role.oltc.set", "gl-tap.west.wish", "$JS.gridlink.API.STREAM.NAMES"):
        board._client.put("gl.west.role.slow.ask", reply, b"{}")
    assert await board.request(message(address.role("slow"))) is not None  # in order: the others have come before
    await operator._client.flush()
    assert len(asked.requests) == 1
    assert not reached.requests


async def test_a_second_reply_is_refused(buses: Buses) -> None:
    """One request is worth one reply."""
    vm2, operator = await buses.of("vm2"), await buses.of("operator")
    replies: list[bytes] = []
    await operator.listen("_INBOX.operator.mine", replies.append)
    asked: list[bytes] = []
    await vm2.listen("gl.west.role.slow.*", asked.append)
    operator._client.put("gl.west.role.slow.ask", "_INBOX.operator.mine", b"")
    await eventually(lambda: asked)
    await vm2.say_surely("_INBOX.operator.mine", b"1")
    with pytest.raises(AccessDenied):
        await vm2.say_surely("_INBOX.operator.mine", b"2")
    await operator._client.flush()
    assert replies == [b"1"]


def rss_mib(pid: int) -> float:
    """What a process has resident."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.slow
async def test_a_server_that_keeps_a_policy_does_not_grow_with_the_requests(buses: Buses) -> None:
    """It remembers each request that may be answered; where it kept them, 100,000 would be 16 MiB."""
    vm2, operator = await buses.of("vm2"), await buses.of("operator")
    await vm2.serve(address.role("slow"), Recorder())
    sizes: list[float] = []
    began_s = time.monotonic()

    async def ask(times: int) -> None:
        for _ in range(times):
            await operator.request(message(address.role("slow")))

    for _ in range(3):
        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(ask(50_000 // 32))
        sizes.append(rss_mib(buses.server.pid))
    print(f"nats-server RSS MiB {sizes} after 50,000 requests each, {time.monotonic() - began_s:.0f} s")
    assert sizes[2] - sizes[0] < 6
