"""The NodeManager: hosts bundles in its own interpreter, keeps them running, and tells what became of each.

It hosts what the AppManager asks for, and what lies in `managed` of its own bundle (the paper's Figure 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gridlink.errors import NoSuchInstance
from gridlink.lifecycle import State
from gridlink.module import Module, request
from gridlink.node.bring_up import bring_up
from gridlink.node.plan import Planned, Policy, read_plan
from nodemanager.hosted import HostedModule
from nodemanager.loader import Loader


@dataclass(frozen=True, slots=True)
class HostOrder:
    """A bundle to host: its directory, where its own files go, and the instances that ask for it."""

    directory: str
    data_dir: str
    managed_by: list[str]


@dataclass(frozen=True, slots=True)
class Hosted:
    """What became of a bundle."""

    name: str
    state: State
    reason: str


class NodeManager(Module[None]):
    """Hosts modules in one interpreter."""

    stop_within_s = 12.0

    def __init__(self) -> None:
        self._hosted: dict[str, HostedModule] = {}
        self._loader = Loader()

    async def start(self) -> None:
        """Begins to host what lies in its own bundle."""
        managed = self.directory / "managed"
        if managed.is_dir():
            self.tasks.spawn(self._host_own(managed), name="own modules")

    async def stop(self) -> None:
        """Ends what it hosts, in reverse of the start."""
        for name in reversed(list(self._hosted)):
            await self.release(name)

    @request("host")
    async def host(self, order: HostOrder) -> Hosted:
        """Hosts a bundle and answers when it runs, or has failed for the first time; asked twice, it answers again."""
        hosted = self._start(order)
        await hosted.settled.wait()
        return Hosted(hosted.name, hosted.state, hosted.reason)

    def _start(self, order: HostOrder) -> HostedModule:
        hosted = HostedModule(self, self._loader, Path(order.directory), Path(order.data_dir), tuple(order.managed_by))
        if hosted.name not in self._hosted:
            self._hosted[hosted.name] = hosted
            hosted.task = self.tasks.spawn(hosted.run(), name=hosted.name)
        return self._hosted[hosted.name]

    @request("release")
    async def release(self, name: str) -> None:
        """Stops a module and forgets it."""
        hosted = self._hosted.pop(name, None)
        if hosted is None:
            raise NoSuchInstance(
                f"{self.instance} doesn't host {name}: it hosts {', '.join(self._hosted) or 'nothing'}"
            )
        await hosted.stop()

    @request("list")
    async def list(self) -> list[Hosted]:
        """What it hosts."""
        return [Hosted(h.name, h.state, h.reason) for h in self._hosted.values()]

    async def _host_own(self, managed: Path) -> None:
        planned = read_plan(managed, Policy(mode="node"))
        for one in planned:
            if one.refused:
                self.log.error("%s: %s", one.directory, one.refused)
        await bring_up(planned, self._start_own, self.registry, self.tasks)

    def _start_own(self, planned: Planned) -> HostedModule:
        data_dir = self.data_dir / planned.name
        return self._start(HostOrder(str(planned.directory), str(data_dir), [self.instance]))
