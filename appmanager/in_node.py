"""A bundle in a NodeManager's interpreter: the NodeManager is asked over the bus, and asked again when it was away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gridlink.errors import GridlinkError, ModuleInvalid, NoSuchInstance
from gridlink.lifecycle import State
from gridlink.node.plan import Planned

if TYPE_CHECKING:
    from gridlink.module.module import Module

HOST_WITHIN_S = 15.0
MANAGER_WITHIN_S = 20.0


class NodeChild:
    """One bundle, hosted by a NodeManager. `settled` is set once that has said what became of it."""

    def __init__(self, manager: Module[Any], planned: Planned) -> None:
        if planned.manifest is None:
            raise ModuleInvalid(f"{planned.name} has no manifest")
        self.state, self.reason = State.STARTING, ""
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._manager, self._planned = manager, planned
        self._into = planned.manifest.into or "nodemanager"
        self._nodemanager = self._instance = ""

    async def run(self) -> None:
        """Has the bundle hosted, and again whenever its NodeManager has been away."""
        while True:
            try:
                # Each machine of the site has a NodeManager of that name: ours is the one that we started.
                found = await self._manager.registry.wait_for(
                    name=self._into, managed_by=self._manager.instance, timeout_s=MANAGER_WITHIN_S
                )
                self._nodemanager = found.instance
                self._instance = f"{self._planned.name}@{found.node}"
                await self._host()
            except GridlinkError as error:
                if self.reason != str(error):  # said once, not at each try
                    self._manager.log.error("%s is FAILED: %s", self._planned.name, error)  # noqa: TRY400
                self.state, self.reason = State.FAILED, str(error)
            self.settled.set()
            await self._nodemanager_gone()

    async def _host(self) -> None:
        order = {
            "directory": str(self._planned.directory),
            "data_dir": str(self._manager.data_dir.parent / self._planned.name),
            "managed_by": [self._manager.instance],
        }
        hosted = await self._manager.bus.request(self._nodemanager, "host", order, timeout_s=HOST_WITHIN_S)
        self.state, self.reason = State(hosted["state"]), hosted["reason"]

    async def _nodemanager_gone(self) -> None:
        if not self._manager.registry.find(instance=self._nodemanager):
            return  # it never was there, or went while it was asked
        async for change in self._manager.registry.watch():
            if change.instance == self._nodemanager and change.after is None:
                return
            if change.after is not None and change.instance == self._instance:
                self.state, self.reason = change.after.state, change.after.reason

    async def stop(self) -> None:
        """Has the bundle released; a NodeManager that is gone has taken it along."""
        if self.task is not None:
            self.task.cancel()
        if self._nodemanager:
            try:
                await self._manager.bus.request(self._nodemanager, "release", self._planned.name, timeout_s=12)
            except NoSuchInstance:
                self._manager.log.info("%s is gone with its NodeManager", self._planned.name)
        self.state = State.STOPPED
