"""A host whose modules are plain objects: what runs, with which version, state and configuration."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from appmanager.provisioning.machine import Kind, Step
from appmanager.provisioning.plan import Plan
from appmanager.store.disk import Disk
from appmanager.store.layout import CONFIG, Layout
from appmanager.store.tree import read_whole, write_whole
from gridlink.errors import StartFailed


@dataclass
class Lamp:
    """A module that runs."""

    version: str
    state: bytes | None
    config: object


class PlainHost:
    """Runs modules of a directory. `fails`: the step in which it raises; `receives`: the file that comes."""

    def __init__(self, disk: Disk, layout: Layout, receives: bytes = b"") -> None:
        self.disk, self.layout, self.receives = disk, layout, receives
        self.running: dict[str, Lamp] = {}
        self.held: dict[str, Lamp] = {}
        self.fails: dict[Step, BaseException] = {}
        self.waits: dict[Step, Callable[[], Awaitable[None]]] = {}
        self.asked: list[str] = []
        self.remarks: dict[str, str] = {}

    def boot(self) -> None:
        """Starts what is in the managed directory, as a node does."""
        for name in self.disk.names(self.layout.managed):
            if not name.startswith("."):
                state = self.layout.state(name)
                self._start(name, name, read_whole(self.disk, state) if self.disk.kind(state) else None)

    async def receive(self, plan: Plan, into: Path) -> None:
        await self._met(Step.RECEIVE)
        write_whole(self.disk, into, self.receives)

    async def preflight(self, plan: Plan, staged: Path) -> None:
        await self._met(Step.PREFLIGHT)

    async def snapshot(self, plan: Plan) -> bytes | None:
        self.held[plan.module] = self.running[plan.module]
        await self._met(Step.SNAPSHOT)
        return self.running[plan.module].state

    def remark(self, plan: Plan) -> str:
        return self.remarks.pop(plan.module, "")

    async def stop(self, plan: Plan) -> None:
        await self._met(Step.STOP)
        del self.running[plan.module]

    async def start(self, plan: Plan, directory: Path, state: bytes | None) -> None:
        if plan.kind is Kind.CONFIGURE:
            await self._met(Step.START)
            self.running[plan.module].config = json.loads(read_whole(self.disk, directory / CONFIG))
            return
        self.running.pop(plan.module, None)
        await self._met(Step.START)
        self._start(plan.module, plan.place, state)
        if self.disk.kind(directory / CONFIG):
            write_whole(self.disk, self.layout.accepted(plan.module), read_whole(self.disk, directory / CONFIG))

    async def watch(self, plan: Plan) -> None:
        if plan.kind is not Kind.CONFIGURE:  # it goes on, and a checkpoint is taken
            self.running[plan.module].state = b"newer"
            write_whole(self.disk, self.layout.state(plan.module), b"newer")
        await self._met(Step.WATCH)

    async def abandon(self, plan: Plan, reached: Step) -> None:
        self.asked.append(f"abandon {reached}")
        if plan.kind is not Kind.CONFIGURE:
            self.running.pop(plan.module, None)

    async def go_back(self, plan: Plan, reached: Step, directory: Path, state: bytes | None) -> None:
        self.asked.append(f"go back {reached}")
        if plan.kind is not Kind.INSTALL:
            self._start(plan.module, plan.place, state)

    async def settle(self, plan: Plan) -> None:
        await self._met(Step.TIDY)
        self.held.pop(plan.module, None)

    async def _met(self, step: Step) -> None:
        if step in self.waits:
            await self.waits[step]()
        if step in self.fails:
            raise self.fails[step]

    def _start(self, module: str, place: str, state: bytes | None) -> None:
        directory = self.layout.place(place)
        if not self.disk.kind(directory):
            raise StartFailed(f"{module} isn't in its place")
        manifest = json.loads(read_whole(self.disk, directory / "module.json"))
        config = json.loads(read_whole(self.disk, directory / CONFIG)) if self.disk.kind(directory / CONFIG) else {}
        self.running[module] = Lamp(manifest["version"], state, config)
