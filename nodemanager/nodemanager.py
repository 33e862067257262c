"""The NodeManager: hosts bundles in its own interpreter, keeps them running, and tells what became of each.

It hosts what the AppManager asks for, and what lies in `managed` of its own bundle (the paper's Figure 7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gridlink import Topic
from gridlink.errors import NoSuchInstance, Refused
from gridlink.lifecycle import State
from gridlink.message import message
from gridlink.module import Module, request
from gridlink.node.admission import admitted, read_free
from gridlink.node.bring_down import bring_down
from gridlink.node.bring_up import bring_up
from gridlink.node.bundle import read_bundle
from gridlink.node.plan import Planned, Policy, read_plan
from nodemanager.hosted import HostedModule
from nodemanager.leaving import leave
from nodemanager.loader import Loader
from nodemanager.watchdog.limits import WatchdogSetting
from nodemanager.watchdog.report import ModuleHung

if TYPE_CHECKING:
    from nodemanager.watchdog.warden import Warden

ANSWER_IN_TIME = 0.8  # of a request's time; the rest is for the answer


@dataclass(frozen=True, slots=True)
class Config:
    """`hung`: given by the guardian, the modules for which it has replaced this node."""

    watchdog: WatchdogSetting = field(default_factory=WatchdogSetting)
    hung: tuple[ModuleHung, ...] = ()


@dataclass(frozen=True, slots=True)
class HostOrder:
    """A bundle to host: its directory, where its own files go, and the instances that ask for it.

    `note`: for who looks at it. `follows`: the instance of another process that it takes over from.
    """

    directory: str
    data_dir: str
    managed_by: list[str]
    note: str = ""
    follows: str = ""


@dataclass(frozen=True, slots=True)
class Hosted:
    """What became of a bundle. `needs_process`: why it can't live in this interpreter, only in one of its own."""

    name: str
    state: State
    reason: str
    needs_process: str = ""


class NodeManager(Module[Config]):
    """Hosts modules in one interpreter."""

    publishes = (Topic("health", moduleHung=ModuleHung),)
    stop_within_s = 60.0  # whoever ends it says how much of that there is

    def __init__(self) -> None:
        self._hosted: dict[str, HostedModule] = {}
        self._loader = Loader()
        self._warden: Warden | None = None

    async def start(self) -> None:
        """Begins to watch, and to host what lies in its own bundle."""
        self._watch()
        managed = self.directory / "managed"
        if managed.is_dir():
            self.tasks.spawn(self._host_own(managed), name="own modules")

    async def stop(self) -> None:
        """Ends what it hosts, in reverse of the start."""
        await bring_down(self._hosted, self.stop_left_s, self.log)
        if self._warden is not None:
            self._warden.stop()

    def _watch(self) -> None:
        self.config.watchdog.check(f"{self.instance}: watchdog")
        if self.config.watchdog.mode == "off":
            return
        from nodemanager.watchdog.warden import Warden  # noqa: PLC0415 - see nodemanager.watchdog

        warden = self._warden = Warden(self, self.config.watchdog, self._state_of, self._leaves)
        warden.start()
        self._loader.on_loaded = warden.imported
        for report in self.config.hung:
            self.tasks.spawn(warden.publish(report), name=f"{report.module} hung")

    def _state_of(self, module: str) -> State | None:
        hosted = self._hosted.get(module)
        return hosted.state if hosted is not None else None

    async def _leaves(self, module: str, why: str) -> None:
        hosted = self._hosted.get(module)
        if hosted is not None:
            await leave(self, hosted, why)

    @request("host")
    async def host(self, order: HostOrder) -> Hosted:
        """Hosts a bundle and answers when it runs, or has failed for the first time; asked twice, it answers again."""
        hosted = self._start(order)
        await hosted.settled.wait()
        return Hosted(hosted.name, hosted.state, hosted.reason, hosted.needs_process)

    def _start(self, order: HostOrder) -> HostedModule:
        directory, data_dir, managed_by = Path(order.directory), Path(order.data_dir), tuple(order.managed_by)
        hosted = HostedModule(self, self._loader, directory, data_dir, managed_by, order.note, order.follows)
        if hosted.trust != self._trust:
            raise Refused(f"{hosted.name} is {hosted.trust}, and {self.instance} hosts what is {self._trust}")
        if hosted.name not in self._hosted:
            self._hosted[hosted.name] = hosted
            hosted.task = self.tasks.spawn(hosted.run(), name=hosted.name)
        return self._hosted[hosted.name]

    @request("release")
    async def release(self, name: str) -> None:
        """Stops a module within the request's time, and forgets it."""
        hosted = self._hosted.pop(name, None)
        if hosted is None:
            raise NoSuchInstance(
                f"{self.instance} doesn't host {name}: it hosts {', '.join(self._hosted) or 'nothing'}"
            )
        left_s = message().time_left_s()
        await hosted.stop(math.inf if left_s is None else left_s * ANSWER_IN_TIME)

    @request("list")
    async def list(self) -> list[Hosted]:
        """What it hosts."""
        return [Hosted(h.name, h.state, h.reason) for h in self._hosted.values()]

    @cached_property
    def _trust(self) -> str:
        """Its own: modules of another one never share a process with it."""
        return read_bundle(self.directory).manifest.trust

    async def _host_own(self, managed: Path) -> None:
        policy = Policy(mode="node", untrusted="refuse", trust=self._trust)
        planned = admitted(read_plan(managed, policy), read_free())
        for one in planned:
            if one.refused:
                self.log.error("%s: %s", one.directory, one.refused)
        await bring_up(planned, self._start_own, self.registry, self.tasks)

    def _start_own(self, planned: Planned) -> HostedModule:
        data_dir = self.data_dir / planned.name
        return self._start(HostOrder(str(planned.directory), str(data_dir), [self.instance]))
