"""`gridlink-node`s on hosts that are namespaces, with the trust that `gridlink init --cluster` makes for them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gridlink.bus.nats import NatsBus
from gridlink.bus.trust import server_name
from gridlink.config import Credentials
from gridlink.errors import GridlinkError
from gridlink.module.sender import Sender
from tests.acceptance.running import NODE, bundle
from tests.integration.cluster.hosts import Host, Network
from tests.integration.cluster.reach import Reach

SITE = "a"
COMMAND = str(Path(sys.executable).with_name("gridlink"))

ECHO = """
import os, time
from dataclasses import dataclass
from gridlink import Module, request

@dataclass(frozen=True)
class Config:
    done: str

class Probe(Module[Config]):
    '''Writes down what it does, and says where.'''
    roles = ("echo",)

    async def start(self) -> None:
        self._file = os.open(self.config.done, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @request("do")
    async def do(self, number: str) -> str:
        os.write(self._file, f"{number} {time.monotonic()}\\n".encode())
        return "done"
"""

EYE = """
from gridlink import Module, request

class Probe(Module[None]):
    '''Says whom its node sees.'''
    roles = ("eye",)

    @request("seen")
    async def seen(self) -> list[str]:
        return [f"{entry.instance} {entry.state.value}" for entry in self.registry.instances()]
"""


class Machine:
    """A host with a managed directory and its node."""

    def __init__(self, host: Host, managed: Path, site: str) -> None:
        self.host, self.managed, self.site, self.name = host, managed, site, host.name
        self.output = managed.with_suffix(".out")
        self.done = managed.with_suffix(".done")
        self.process: subprocess.Popen[bytes] | None = None

    def make(self, trust: Path | None, *, echo: bool = True) -> None:
        """Writes its bundles, and puts its trust where a node looks for it."""
        if echo:
            bundle(self.managed, "echo", ECHO)
            (self.managed / "echo" / "config.json").write_text(json.dumps({"done": str(self.done)}))
        bundle(self.managed, "eye", EYE)
        if trust is not None:
            (self.managed / ".gridlink").mkdir()
            (self.managed / ".gridlink" / "trust").symlink_to(trust)

    def start(self, *options: str) -> None:
        """Starts the node."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("NATS_", "GRIDLINK_"))}
        named = ["--site", self.site, "--node", self.name]
        arguments = [NODE, "--manage", str(self.managed), *named, "--no-view", "--for", "3600", *options]
        self.process = self.host.popen(*arguments, output=self.output, env=environment)

    @property
    def file(self) -> dict[str, Any]:
        """`.gridlink/node.json`; empty while there is none."""
        try:
            found: dict[str, Any] = json.loads((self.managed / ".gridlink" / "node.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found

    def kill(self, which: str, number: int = signal.SIGKILL) -> None:
        """Sends a signal to its `node`, `nats_server` or `guardian`."""
        os.kill(self.file["pids"][which], number)

    def executed(self) -> list[tuple[str, float]]:
        """What its echo has done, and when (monotonic seconds, the same on all hosts)."""
        lines = self.done.read_text().splitlines() if self.done.exists() else []
        return [(number, float(when)) for number, when in (line.split() for line in lines)]

    def stop(self) -> None:
        """Ends it, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=25)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _complete(names: list[str], views: list[list[str]]) -> bool:
    nodes = {line.partition(" ")[0].partition("@")[2] for line in views[0]}
    running = all(line.endswith(" RUNNING") for line in views[0])
    return nodes == set(names) and running and all(view == views[0] for view in views)


async def _learns_of_no_other_server(*_: object, initial_connection: bool = False) -> None:
    """The test asks each machine's own server, by the way that isn't cut."""


class Cluster:
    """Machines of one site, and the test's own way to each."""

    def __init__(self, network: Network, trust: Path, machines: Mapping[str, Machine]) -> None:
        self.network, self.trust, self.machines = network, trust, dict(machines)
        self._buses: dict[str, NatsBus] = {}
        self._senders: dict[str, Sender] = {}
        self._reach = Reach()
        self.last_error: GridlinkError | None = None  # why a machine didn't say whom it sees

    def credentials(self) -> Credentials:
        """The operator's."""
        own = self.trust / "operator"
        return Credentials(nkey=str(own / "node.nk"), ca=str(own / "ca.pem"), tls_name=server_name(SITE))

    async def seen(self, name: str) -> list[str]:
        """Whom the node of a machine sees, asked through its own server; empty where it doesn't answer."""
        try:
            if name not in self._senders:
                bus = NatsBus(SITE, f"test-{name}-{time.monotonic_ns()}")
                bus._client._process_info = _learns_of_no_other_server  # type: ignore[assignment]
                await bus.connect(f"tls://{self.machines[name].host.way_in}:4222", self.credentials(), within_s=2)
                self._buses[name], self._senders[name] = bus, Sender(bus, f"test@{bus.node}")
                await self._reach.add(name, bus)
            seen: list[str] = await self._senders[name].request(f"eye@{name}", "seen", reply=list[str], timeout_s=0.5)
        except GridlinkError as error:
            self.last_error = error
            return []
        return seen

    async def agree(self, names: Iterable[str], within_s: float = 30.0, stable_s: float = 0.0) -> float:
        """How long it takes until the nodes of the machines see each other, and the same, and nobody else.

        With `stable_s` it must stay so for that long; what counts is the beginning of that time.
        """
        names = list(names)
        began_s, since_s = time.monotonic(), None
        while True:
            views = await asyncio.gather(*(self.seen(name) for name in names))
            now_s = time.monotonic()
            if not _complete(names, views):
                since_s = None
            elif since_s is None:
                since_s = now_s
            if since_s is not None and now_s - since_s >= stable_s:
                return since_s - began_s
            if now_s - began_s > within_s:
                found = dict(zip(names, views, strict=True))
                raise AssertionError(f"no agreement within {within_s} s: {found}, {self.last_error!r}")
            await asyncio.sleep(0.02)

    async def healed(self, stable_s: float) -> float:
        """How long it takes until events pass between all machines' servers, and their nodes agree for `stable_s`."""
        reached_s = await self._reach.all_ways(self.machines)
        return reached_s + await self.agree(self.machines, stable_s=stable_s)

    async def forgotten(self, apart: Iterable[str], within_s: float = 15.0) -> None:
        """Returns when the nodes of the machines see nobody but themselves, and the others none of them."""
        alone, began_s = set(apart), time.monotonic()
        together = self.machines.keys() - alone
        while True:
            views = dict(zip(self.machines, await asyncio.gather(*map(self.seen, self.machines)), strict=True))
            nodes = {name: {line.partition(" ")[0].partition("@")[2] for line in view} for name, view in views.items()}
            if all(nodes[name] == ({name} if name in alone else together) for name in nodes):
                return
            if time.monotonic() - began_s > within_s:
                raise AssertionError(f"parted for {within_s} s, and still seen: {views}")
            await asyncio.sleep(0.02)

    async def gone(self, name: str, of: Iterable[str], within_s: float = 15.0) -> float:
        """How long it takes until no node of the other machines sees that of `name`."""
        began_s, names = time.monotonic(), list(of)
        while True:
            views = await asyncio.gather(*(self.seen(one) for one in names))
            if all(views) and not any(f"@{name} " in line for view in views for line in view):
                return time.monotonic() - began_s
            if time.monotonic() - began_s > within_s:
                raise AssertionError(f"{name} is still seen after {within_s} s")
            await asyncio.sleep(0.02)

    async def aclose(self) -> None:
        """Ends the test's connections and the machines."""
        for bus in self._buses.values():
            await bus.aclose()
        for machine in self.machines.values():
            if machine.process is not None and machine.process.poll() is None:
                machine.process.terminate()
        for machine in self.machines.values():
            machine.stop()


@asynccontextmanager
async def cluster(
    directory: Path,
    *init: str,
    names: Iterable[str] = ("h1", "h2", "h3"),
    echo: Iterable[str] | None = None,
    prepare: Callable[[Machine], None] = lambda _: None,
) -> AsyncIterator[Cluster]:
    """A running cluster that has found itself; `echo`: who serves the role, all if not given.

    `prepare` puts more into a machine's managed directory before it starts.
    """
    names = tuple(names)
    with Network(*names) as network:
        trust = directory / "trust"
        hosts = ",".join(f"{name}={host.address}" for name, host in network.hosts.items())
        arguments = ["init", str(trust), "--cluster", SITE, "--machines", ",".join(names), "--hosts", hosts, *init]
        subprocess.run([COMMAND, *arguments], check=True, capture_output=True)
        machines = {name: Machine(host, directory / name, SITE) for name, host in network.hosts.items()}
        made = Cluster(network, trust, machines)
        try:
            for name, machine in machines.items():
                machine.make(trust / name, echo=echo is None or name in echo)
                prepare(machine)
                machine.start()
            await made.agree(names)
            yield made
        except BaseException:
            for machine in machines.values():
                print(machine.name, machine.output.read_text()[-4000:])
                log = machine.managed / ".gridlink" / "nats" / "nats-server.log"
                print(log.read_text()[-3000:] if log.exists() else "no log of nats-server")
            raise
        finally:
            await made.aclose()
