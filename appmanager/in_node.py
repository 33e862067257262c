"""A bundle in a NodeManager's interpreter: the NodeManager is asked over the bus, and asked again when it was away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gridlink.codec import encode
from gridlink.errors import GridlinkError, ModuleInvalid, NoSuchInstance
from gridlink.lifecycle import State
from gridlink.node.plan import NODEMANAGER, Planned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gridlink.module.module import Module

HOST_WITHIN_S = 15.0
MANAGER_WITHIN_S = 20.0


class NodeChild:
    """One bundle, hosted by a NodeManager. `settled` is set once that has said what became of it.

    `elsewhere(why)` starts a bundle in a process of its own that can't live in the NodeManager's; None: it has failed.
    """

    def __init__(
        self,
        manager: Module[Any],
        planned: Planned,
        elsewhere: Callable[[str], Awaitable[None]] | None = None,
        *,
        follows: str = "",
        start_within_s: float = 0.0,
    ) -> None:
        if planned.manifest is None:
            raise ModuleInvalid(f"{planned.name} has no manifest")
        self.state, self.reason = State.STARTING, ""
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._manager, self._planned, self._elsewhere = manager, planned, elsewhere
        self._into = planned.into or planned.manifest.into or NODEMANAGER
        self._nodemanager = self.instance = self._needs_process = ""
        self._follows = follows  # the instance that it takes over from
        self._start_within_s = start_within_s  # while that one waits; 0: as long as the module says
        self.host_within_s = HOST_WITHIN_S  # its import and its start

    async def run(self) -> None:
        """Has the bundle hosted, and again whenever its NodeManager has been away."""
        while True:
            try:
                # Each machine of the site has a NodeManager of that name: ours is the one that we started.
                found = await self._manager.registry.wait_for(
                    name=self._into, managed_by=self._manager.instance, timeout_s=MANAGER_WITHIN_S
                )
                self._nodemanager = found.instance
                self.instance = f"{self._planned.name}@{found.node}"
                await self._host()
            except GridlinkError as error:
                if self.reason != str(error):  # said once, not at each try
                    self._manager.log.error("%s is FAILED: %s", self._planned.name, error)  # noqa: TRY400
                self.state, self.reason = State.FAILED, str(error)
            if self._needs_process and self._elsewhere is not None:
                await self._release(MANAGER_WITHIN_S)
                await self._elsewhere(self._needs_process)
                return self.settled.set()
            self.settled.set()
            await self._nodemanager_gone()

    async def _host(self) -> None:
        order = {  # in the order of HostOrder, whose bytes are what the warrant is for
            "directory": str(self._planned.directory),
            "data_dir": str(self._manager.data_dir.parent / self._planned.name),
            "managed_by": [self._manager.instance],
            "note": self._planned.note,
            "follows": self._follows,
            "start_within_s": self._start_within_s,
        }
        hosted = await self._order("host", order, self.host_within_s + self._start_within_s)
        self.state, self.reason = State(hosted["state"]), hosted["reason"]
        self._needs_process = hosted["needs_process"]
        if self.state is State.RUNNING:
            self._follows, self._start_within_s = "", 0.0

    async def _order(self, what: str, payload: Any, within_s: float) -> Any:
        to, node = self._nodemanager, self._nodemanager.partition("@")[2]
        warrant = self._manager.hosting.warrants.of(node, to, what, encode(payload))
        return await self._manager.bus.request(to, what, payload, timeout_s=within_s, id=warrant)

    async def _nodemanager_gone(self) -> None:
        if not self._manager.registry.find(instance=self._nodemanager):
            return  # it never was there, or went while it was asked
        async for change in self._manager.registry.watch(self._nodemanager, self.instance):
            if change.instance == self._nodemanager and change.after is None:
                return
            if change.after is not None and change.instance == self.instance:
                self.state, self.reason = change.after.state, change.after.reason

    @property
    def nodemanager(self) -> str:
        """The instance that hosts it; empty until that is known."""
        return self._nodemanager

    @property
    def needs_process(self) -> str:
        """Why it can't live in a NodeManager's interpreter; empty where it can."""
        return self._needs_process

    def cancel(self) -> None:
        """Cares for it no more: another version of it is hosted in its place, or it never was."""
        if self.task is not None:
            self.task.cancel()
        self.state = State.STOPPED

    async def stop(self, within_s: float) -> None:
        """Has the bundle released; a NodeManager that is gone has taken it along. Raises GridlinkError."""
        if self.task is not None:
            self.task.cancel()
        if self._nodemanager:
            await self._release(within_s)
        self.state = State.STOPPED

    async def _release(self, within_s: float) -> None:
        try:
            await self._order("release", self._planned.name, within_s)
        except NoSuchInstance:
            self._manager.log.info("%s is gone with its NodeManager", self._planned.name)
