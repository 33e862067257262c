"""Nodes of one name: the newcomer doesn't start; two that meet later refuse what would reach both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gridlink import Module, address, request
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server, configuration
from gridlink.codec import codec
from gridlink.errors import NameTaken
from gridlink.manifest import Manifest
from gridlink.message import Message
from gridlink.module.module import HostSpec, Loaded
from gridlink.node import Node, namesake
from gridlink.testing import eventually
from tests.gridlink.conftest import NewBus, require_nats_server


class Probe(Module[None]):
    """Says where it is."""

    roles = ("probe",)

    @request("where")
    async def where(self) -> str:
        return self.hosting.machine


async def host(node: Node, directory: Path) -> None:
    """Hosts a probe."""
    manifest = Manifest(name="probe", version="1.0.0", entry="probe:Probe")
    await node.host(HostSpec(manifest, lambda: Loaded(Probe), directory, directory, "node", {}))


async def ask(bus: NatsBus, where: address.Address) -> str:
    """The probe's machine."""
    reply = await bus.request(Message(address=where, type="where", payload=b"", deadline_s=time.monotonic() + 2))
    return reply.decode().strip('"')


async def test_the_newcomer_is_refused_with_who_has_the_name_and_the_older_goes_on(
    nats_bus: NewBus, tmp_path: Path
) -> None:
    """Each would hide the other's instances. The older doesn't notice."""
    async with Node(await nats_bus("board"), "old") as node:
        await host(node, tmp_path)
        newcomer = Node(await nats_bus("board"), "new")
        with pytest.raises(
            NameTaken, match=rf"called board runs .*on machine old, process {os.getpid()}, for 0 s.*--n"
        ):
            await newcomer.__aenter__()
        assert node.bus.refuses == ""
        assert await ask(await nats_bus("asker"), address.instance("probe@board")) == "old"


CHILD = """
import asyncio, sys
from gridlink import lean
lean.import_asyncio()
from tests.gridlink.node.test_namesake import child
asyncio.run(child(*sys.argv[1:]))
"""


async def child(url: str, site: str, directory: str) -> None:
    """A node in a process of its own, until it is killed."""
    bus = NatsBus(site, "board")
    await bus.connect(url)
    async with Node(bus, "m") as node:
        await host(node, Path(directory))
        await asyncio.Event().wait()


@asynccontextmanager
async def other_process(node: Node, server: Server, site: str, directory: Path) -> AsyncIterator[int]:
    """The process id of a node `board` that runs."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, server.url, site, str(directory))
    try:
        await node.registry.wait_for(instance="probe@board", timeout_s=20)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_killed_node_starts_again_at_once_though_others_still_know_it(
    nats_bus: NewBus, shared_server: Server, site: str, tmp_path: Path
) -> None:
    """The dead one's entry stays for four seconds in the registries: it must not keep the name."""
    async with (
        Node(await nats_bus("watcher"), "m") as watcher,
        other_process(watcher, shared_server, site, tmp_path) as pid,
    ):
        again = await nats_bus("board")
        os.kill(pid, signal.SIGKILL)
        assert watcher.registry.knows("probe@board")
        began_s = time.monotonic()
        async with Node(again, "m"):
            assert time.monotonic() - began_s < 1.0


async def test_a_namesake_that_hangs_does_not_keep_the_name(
    nats_bus: NewBus,
    shared_server: Server,
    site: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection stands and it says nothing: a stopped process, or a machine that fell silent."""
    monkeypatch.setattr(namesake, "ANSWER_S", 0.1)
    async with (
        Node(await nats_bus("watcher"), "m") as watcher,
        other_process(watcher, shared_server, site, tmp_path) as pid,
    ):
        os.kill(pid, signal.SIGSTOP)
        async with Node(await nats_bus("board"), "m"):
            assert "a node called board was there and doesn't answer" in caplog.text


class Pair:
    """Two nats-servers of a site that are parted until they are joined."""

    def __init__(self, directory: Path) -> None:
        require_nats_server()
        self._port = free_port()
        self.servers: list[Server] = []
        for name in ("a", "b"):
            (directory / name).mkdir()
            file = directory / name / "nats-server.conf"
            own = self._port if name == "a" else -1
            text = configuration(name, -1, str(file.parent))
            file.write_text(f'{text}cluster {{\n  name: test\n  listen: "127.0.0.1:{own}"\n}}\n')
            self.servers.append(Server(str(file)))
        self._second = directory / "b" / "nats-server.conf"

    def join(self) -> None:
        """Makes a route between the two."""
        text = self._second.read_text()
        self._second.write_text(text.replace("name: test", f'name: test\n  routes: ["nats://127.0.0.1:{self._port}"]'))
        self.servers[1].reload()


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def connected(site: str, node: str, server: Server) -> NatsBus:
    """A bus at a server."""
    bus = NatsBus(site, node)
    await bus.connect(server.url)
    return bus


async def test_two_that_meet_later_refuse_what_would_reach_both_until_one_is_gone(
    tmp_path: Path, site: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Boards with cloned names, or a partition that heals. Roles and topics go on: a name doesn't stop a substation."""
    pair = Pair(tmp_path)
    async with AsyncExitStack() as stack:
        first, second = (stack.enter_context(server) for server in pair.servers)
        one = await stack.enter_async_context(Node(await connected(site, "board", first), "machine1"))
        await host(one, tmp_path)
        asker = await connected(site, "asker", first)
        stack.push_async_callback(asker.aclose)
        async with Node(await connected(site, "board", second), "machine2") as two:
            await host(two, tmp_path)
            pair.join()
            await eventually(lambda: bool(one.bus.refuses and two.bus.refuses), timeout_s=10)
            with pytest.raises(NameTaken, match=r"another node of this site is called board too.*--node NAME"):
                await ask(asker, address.instance("probe@board"))
            assert await ask(asker, address.role("probe")) in ("machine1", "machine2")
            reply = await asker.request(namesake._question("board"))
            assert "called board too" in codec(namesake.Who).decode(reply).refuses  # what `gridlink doctor` asks for
            said = [r for r in caplog.records if r.levelno == logging.ERROR and "called board too" in r.getMessage()]
            assert 2 <= len(said) <= 4  # each says it at once, and once more when it knows the machine
        await eventually(lambda: not one.bus.refuses, timeout_s=10)
        assert await ask(asker, address.instance("probe@board")) == "machine1"
