"""The NodeManager: hosts bundles in its own interpreter, keeps them running, and tells what became of each.

It hosts what the AppManager asks for, and what lies in `managed` of its own bundle (the paper's Figure 7).
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Struct, field

from gridlink import Topic
from gridlink.codec import encode
from gridlink.errors import NoSuchInstance, Refused
from gridlink.health import ModuleHung
from gridlink.lifecycle import State
from gridlink.message import message
from gridlink.module import Module, request
from gridlink.node.admission import admitted, read_free
from gridlink.node.bring_down import bring_down
from gridlink.node.bring_up import bring_up
from gridlink.node.plan import Planned, Policy, read_plan
from nodemanager.guards import Guards
from nodemanager.hosted import HostedModule
from nodemanager.leaving import leave
from nodemanager.loader import Loader
from nodemanager.memory import MIB, MemoryLimit
from nodemanager.watchdog.limits import WatchdogSetting

if TYPE_CHECKING:
    from nodemanager.watchdog.warden import Warden

LOOK_EVERY_S = 5.0
COPIES = "native"  # of its own directory: copies of native libraries
STATUS_FULL = 71  # of the process
ANSWER_IN_TIME = 0.8  # of a request's time; the rest is for the answer


class Config(Struct, frozen=True):
    """`memory_mib`: what its process may take; without, all that is free but for a reserve."""

    watchdog: WatchdogSetting = field(default_factory=WatchdogSetting)
    memory_mib: Annotated[float, msgspec.Meta(gt=0)] | None = None


class HostOrder(Struct, frozen=True):
    """A bundle to host: its directory, where its own files go, and the instances that ask for it.

    `note`: for who looks at it. `follows`: the instance that it takes over from; `start_within_s`: while that one
    waits; 0: as long as the module says.
    """

    directory: str
    data_dir: str
    managed_by: list[str]
    note: str = ""
    follows: str = ""
    start_within_s: float = 0.0


class Hosted(Struct, frozen=True):
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
        self._held: set[str] = set()  # that wait for another version
        self._loader = Loader(self.data_dir / COPIES)
        self._is_full = False
        self._context = contextvars.copy_context()  # in our name, also where a module's handler calls
        self._warden: Warden | None = None
        self._memory = MemoryLimit(self.config.memory_mib)
        self._guards = Guards(self._hosted.__contains__, self.hosting.tell_guardian, self.hosting.node)

    async def start(self) -> None:
        """Begins to watch, and to host what lies in its own bundle."""
        self._watch()
        self._guards.start()
        self._memory.renew()
        self.hosting.on_full = self._filled
        self._loader.on_loaded = self._imported
        self.tasks.spawn(self._look(), name="guards")
        managed = self.directory / "managed"
        if managed.is_dir():
            self.tasks.spawn(self._host_own(managed), name="own modules")

    async def configure(self, old: Config, new: Config) -> None:
        """Takes nothing while it runs: its watchdog is armed at the start."""
        raise Refused("watchdog: it takes other settings when it is started: restart it")

    async def stop(self) -> None:
        """Ends what it hosts, in reverse of the start."""
        await bring_down(self._hosted, self.stop_left_s, self.log)
        if self._warden is not None:
            self._warden.stop()
        self._guards.stop()
        self._memory.lift()
        self._loader.end()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._guards.look()
            self._memory.renew()

    def _filled(self, instance: str) -> None:
        if not self._is_full:
            self._is_full = True
            self._memory.lift()
            self.tasks.spawn(self._give_way(instance), name="memory", context=self._context)

    async def _give_way(self, instance: str) -> None:
        """Ends this process for the module that has filled it: the largest one, else the one that found it full."""
        sizes = await self.hosting.sizes(f"{name}@{self.hosting.node}" for name in self._hosted)
        largest = max(sizes, key=lambda name: sizes[name], default=instance)
        name, size_mib = largest.partition("@")[0], sizes.get(largest, 0) / MIB
        why = f"it filled the memory of its node: {size_mib:.0f} MiB of objects are its own"
        self.log.critical("%s: %s: the node is replaced", largest, why)
        self.hosting.tell_guardian("exits", f"{name} {why}")
        os._exit(STATUS_FULL)

    def _watch(self) -> None:
        self.config.watchdog.check(f"{self.instance}: watchdog")
        if self.config.watchdog.mode == "off":
            return
        from nodemanager.watchdog.warden import Warden  # noqa: PLC0415 - see nodemanager.watchdog

        warden = self._warden = Warden(self, self.config.watchdog, self._state_of, self._leaves, self._start_within_s)
        warden.start()

    def _state_of(self, module: str) -> State | None:
        hosted = self._hosted.get(module)
        return hosted.state if hosted is not None else None

    def _start_within_s(self, module: str) -> float:
        hosted = self._hosted.get(module)
        return hosted.start_within_s if hosted is not None else 0.0

    async def _leaves(self, module: str, why: str) -> None:
        hosted = self._hosted.get(module)
        if hosted is not None:
            await leave(self, hosted, why)

    @request("host")
    async def host(self, order: HostOrder) -> Hosted:
        """Hosts a bundle and answers when it runs, or has failed for the first time; asked twice, it answers again."""
        self._check("host", encode(order))
        hosted = self._made(order)
        if order.follows == hosted.instance:
            await self._replace(hosted)
        else:
            await self._make_room(hosted)
            hosted = self._start(hosted)
            await hosted.settled.wait()
        return Hosted(hosted.name, hosted.state, hosted.reason, hosted.needs_process)

    def _check(self, what: str, content: bytes) -> None:
        """Raises AccessDenied to whoever isn't the AppManager that has started this."""
        self.hosting.warrants.check(self.hosting.node, self.instance, what, content, message().id)

    def _made(self, order: HostOrder) -> HostedModule:
        directory, data_dir, managed_by = Path(order.directory), Path(order.data_dir), tuple(order.managed_by)
        former = order.follows, order.start_within_s
        hosted = HostedModule(self, self._loader, directory, data_dir, managed_by, order.note, *former)
        if hosted.trust != self._trust:
            raise Refused(f"{hosted.name} is {hosted.trust}, and {self.instance} hosts what is {self._trust}")
        return hosted

    async def _make_room(self, hosted: HostedModule) -> None:
        """Ends what is hosted of another bundle in that directory: it has been replaced. Raises Refused: not there."""
        there = self._hosted.get(hosted.name)
        if there is None or there.bundle == hosted.bundle:
            return
        if there.bundle.directory != hosted.bundle.directory:
            raise Refused(
                f"{self.instance} hosts {hosted.name} of {there.bundle.directory}, and {hosted.bundle.directory} was "
                f"asked for: names are unique on a node: rename one, or move it to another"
            )
        was, now = there.bundle.manifest.version, hosted.bundle.manifest.version
        self.log.warning("%s %s is ended: %s is in its place", hosted.name, was, now)
        await self._ended(hosted.name, there)

    def _start(self, hosted: HostedModule) -> HostedModule:
        if hosted.name not in self._hosted:
            self._begin(hosted)
        return self._hosted[hosted.name]

    def _begin(self, hosted: HostedModule) -> None:
        self._hosted[hosted.name] = hosted
        hosted.task = self.tasks.spawn(self._guarded(hosted), name=hosted.name)

    async def _replace(self, hosted: HostedModule) -> None:
        """Hosts another version of a module that is held. Where it doesn't start, the held one waits for the next."""
        former = self._hosted.get(hosted.name)
        if former is not None and former.task is not None:
            former.task.cancel()
        self._loader.unload(hosted.name)
        self._held.add(hosted.name)
        self._begin(hosted)
        await hosted.settled.wait()
        if hosted.state is State.RUNNING:
            self._held.discard(hosted.name)
            return
        if hosted.task is not None:
            hosted.task.cancel()
        self._hosted.pop(hosted.name, None)
        self._loader.unload(hosted.name)

    async def _guarded(self, hosted: HostedModule) -> None:
        await hosted.run()
        self._guards.learn()

    def _imported(self, name: str) -> None:
        self._guards.look(name)
        if self._warden is not None:
            self._warden.imported()

    @request("release")
    async def release(self, name: str) -> None:
        """Stops a module within the request's time, and forgets it."""
        self._check("release", encode(name))
        hosted = self._hosted.get(name)
        if hosted is None and name in self._held:
            self._held.discard(name)
            await self.hosting.release(f"{name}@{self.hosting.node}", _within_s())
            return
        if hosted is None:
            raise NoSuchInstance(
                f"{self.instance} doesn't host {name}: it hosts {', '.join(self._hosted) or 'nothing'}"
            )
        await self._ended(name, hosted)

    async def _ended(self, name: str, hosted: HostedModule) -> None:
        del self._hosted[name]
        await hosted.stop(_within_s())

    @request("list")
    async def list(self) -> list[Hosted]:
        """What it hosts."""
        return [Hosted(h.name, h.state, h.reason) for h in self._hosted.values()]

    async def _host_own(self, managed: Path) -> None:
        policy = Policy(mode="node", untrusted="refuse", trust=self._trust)
        planned = [one for one in read_plan(managed, policy) if self.hosting.blocked.get(one.name) != ""]
        planned = admitted(planned, read_free())
        for one in planned:
            if one.refused:
                self.log.error("%s: %s", one.directory, one.refused)
        await bring_up(planned, self._start_own, self.registry, self.tasks)

    def _start_own(self, planned: Planned) -> HostedModule:
        data_dir = self.data_dir / planned.name
        return self._start(self._made(HostOrder(str(planned.directory), str(data_dir), [self.instance])))


def _within_s() -> float:
    """What may be taken of the request's time."""
    left_s = message().time_left_s()
    return math.inf if left_s is None else left_s * ANSWER_IN_TIME
