"""The AppManager: brings up the bundles of a managed directory, each as its mode says, and keeps them running.

Processes are the guardian's; which of them are to be is decided here. Modules in an interpreter are a NodeManager's;
it is asked over the bus. Started in order of `uses`, stopped in reverse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appmanager.in_node import NodeChild
from appmanager.in_process import ProcessChild
from appmanager.link import Exited, GuardianLink
from gridlink.errors import ManagedDirectoryInvalid
from gridlink.lifecycle import State
from gridlink.module import Module, request
from gridlink.node.bring_up import bring_up
from gridlink.node.plan import Planned, Policy, read_plan
from gridlink.registry import Entry


@dataclass(frozen=True, slots=True)
class Config:
    """Given by the guardian. `mode`: how all bundles are to run, whatever their manifests say."""

    managed: str
    control_fds: tuple[int, int]
    mode: str = ""
    nodemanager: bool = True
    json_logs: bool = False


@dataclass(frozen=True, slots=True)
class Managed:
    """A bundle of the managed directory, and what became of it."""

    name: str
    directory: str
    mode: str
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """The managed directory as a whole."""

    managed: str
    running: int
    failed: int
    settled: bool  # every bundle has been started, or given up, at least once


class AppManager(Module[Config]):
    """Supervises this machine's modules."""

    roles = ("appmanager",)
    stop_within_s = 12.0

    def __init__(self) -> None:
        self._link = GuardianLink(self.config.control_fds, self._exited)
        self._planned: list[Planned] = []
        self._children: dict[str, NodeChild | ProcessChild] = {}  # in order of start
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Opens the link to the guardian and begins to bring the bundles up."""
        policy = Policy(self.config.mode, self.config.nodemanager, processes=bool(self.hosting.url))
        self._planned = read_plan(Path(self.config.managed), policy)
        if not self._planned:
            raise ManagedDirectoryInvalid(f"{self.config.managed} holds no bundle")
        await self._link.open()
        self.tasks.spawn(self._link.listen(), name="guardian")
        self.tasks.spawn(self._bring_up(), name="bring up")

    async def stop(self) -> None:
        """Stops the modules in reverse of their start."""
        for child in reversed(list(self._children.values())):
            await child.stop()
        self._link.close()

    @request("list")
    async def list(self) -> list[Managed]:
        """The bundles of the managed directory and their states."""
        return [Managed(p.name, str(p.directory), p.mode, *self._state(p.name, p.refused)) for p in self._planned]

    @request("status")
    async def status(self) -> Status:
        """How many of the bundles run."""
        states = [self._state(p.name, p.refused)[0] for p in self._planned]
        running, failed = states.count(State.RUNNING), states.count(State.FAILED)
        return Status(self.config.managed, running, failed, self._settled.is_set())

    def _state(self, name: str, refused: str) -> tuple[State, str]:
        if refused:
            return State.FAILED, refused
        child = self._children.get(name)
        return (child.state, child.reason) if child is not None else (State.STOPPED, "not started yet")

    async def _bring_up(self) -> None:
        running = await self._link.children()
        for planned in self._planned:
            if planned.refused:
                await self._announce_refused(planned)
        await bring_up(self._planned, lambda planned: self._start(planned, running), self.registry, self.tasks)
        self._settled.set()
        now = await self.status()
        self.log.info("%d of %d bundles are RUNNING", now.running, len(self._planned))

    def _start(self, planned: Planned, running: Sequence[str]) -> NodeChild | ProcessChild:
        child: NodeChild | ProcessChild
        if planned.mode == "process":
            runs_already = planned.name in running
            child = ProcessChild(self, self._link, planned, self._logs(), self.config.json_logs, runs_already)
        else:
            child = NodeChild(self, planned)
        self._children[planned.name] = child
        child.task = self.tasks.spawn(child.run(), name=planned.name)
        return child

    def _logs(self) -> Path:
        return Path(self.config.managed) / ".gridlink" / "logs"

    def _exited(self, exited: Exited) -> None:
        child = self._children.get(exited.name)
        if isinstance(child, ProcessChild):
            child.exited(exited)

    async def _announce_refused(self, planned: Planned) -> None:
        self.log.error("%s: %s", planned.directory.name, planned.refused)
        entry = Entry(
            name=planned.name,
            instance=f"{planned.name}@{self.hosting.node}",
            node=self.hosting.node,
            machine=self.hosting.machine,
            pid=0,
            version=planned.manifest.version if planned.manifest else "",
            mode=planned.mode,
            state=State.FAILED,
            reason=planned.refused,
            managed_by=(self.instance,),
        )
        await self.hosting.announce(entry)
