"""A real AppManager that runs a module in a real NodeManager, on one node; the test has the guardian's end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from appmanager import AppManager
from appmanager.module_host import ModuleHost
from appmanager.offences import Offence
from appmanager.provisioning.machine import Kind
from appmanager.provisioning.plan import Order, Plan
from appmanager.store.disk import RealDisk
from gridlink import testing
from gridlink.lifecycle import State
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.node.plan import Choice
from gridlink.testing import Site, eventually
from nodemanager import NodeManager
from tests.acceptance.running import bundle, good


class Guardian:
    """The guardian's end of the pipes: no child lives but what is asked for, and that ends when it is asked to."""

    def __init__(self) -> None:
        self._orders_fd, self._events_fd = -1, -1
        self.orders: list[list[str]] = []

    def pipes(self) -> tuple[int, int]:
        """Those of an AppManager."""
        read_fd, self._events_fd = os.pipe()
        self._orders_fd, write_fd = os.pipe()
        return read_fd, write_fd

    async def listen(self) -> None:
        """Answers until the AppManager has ended."""
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe = os.fdopen(self._orders_fd, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        while line := await reader.readline():
            order = line.decode().rstrip("\n").split("\t")
            self.orders.append(order)
            if order[0] == "children":
                self._tell("children", "")
            elif order[0] == "stop":
                self._tell("exited", order[1], "0", "it ended", "")
        os.close(self._events_fd)

    def _tell(self, *fields: str) -> None:
        os.write(self._events_fd, ("\t".join(fields) + "\n").encode())


class World:
    """An AppManager that runs `counter` in a NodeManager."""

    def __init__(self, site: Site, managed: Path, guardian: Guardian) -> None:
        self.site, self.managed, self.guardian = site, managed, guardian
        module = site.node.instances["appmanager@test"]._module
        assert isinstance(module, AppManager)
        self.manager = module
        self.host = ModuleHost(module, RealDisk(), lambda *_: None)

    def plan(self, kind: Kind, choice: Choice | None = None) -> Plan:
        """A command's."""
        mode, into = (choice.mode, choice.into) if choice is not None else ("", "")
        order = Order("1", kind, "counter", mode=mode, into=into)  # type: ignore[arg-type]
        return Plan(order, "counter", digests={"from": "a", "to": "b"})

    def offence(self) -> Offence:
        """The counter has hung in the NodeManager's process."""
        return Offence("nodemanager", "counter", str(self.managed / "counter"), "hung", "it hung", moves=True)


async def nodemanager(site: Site, target: type[NodeManager]) -> None:
    """Starts one as if the AppManager had."""
    manifest = Manifest(name="nodemanager", version="1.0.0", entry="nodemanager:NodeManager")
    place = site.directory / "nodemanager"
    await site.node.host(
        HostSpec(manifest, lambda: Loaded(target), place, place, "node", {}, managed_by=("appmanager@test",))
    )


@asynccontextmanager
async def a_world(tmp_path: Path, target: type[NodeManager] = NodeManager) -> AsyncIterator[World]:
    """Up, with the counter RUNNING."""
    managed, guardian = tmp_path / "managed", Guardian()
    bundle(managed, "counter", good("counter"))
    pipes = guardian.pipes()
    listening = asyncio.ensure_future(guardian.listen())  # noqa: TID251
    async with testing.site(tmp_path) as site:
        await nodemanager(site, target)
        await site.host(AppManager, {"managed": str(managed), "control_fds": pipes}, name="appmanager")
        around = World(site, managed, guardian)
        await eventually(lambda: site.node.registry.find(name="counter"))
        await eventually(lambda: around.manager.child("counter").state is State.RUNNING)  # type: ignore[union-attr]
        yield around
    await listening
