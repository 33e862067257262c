"""A bundle in an interpreter of its own: asked of the guardian, watched through it, restarted by the policy."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appmanager.link import Exited, GuardianLink
from gridlink.errors import ModuleInvalid, StartFailed
from gridlink.lifecycle import State
from gridlink.manifest import Manifest
from gridlink.node.plan import Planned
from gridlink.node.process import STATUS_INVALID
from gridlink.node.settings import HostSetting, LogSetting, NodeSettings
from gridlink.node.supervision import keep_running
from gridlink.registry import Entry

if TYPE_CHECKING:
    from gridlink.module.module import Module

STOP_GRACE_S = 8.0


class ProcessChild:
    """One bundle's process. `settled` is set once it has been RUNNING, or has failed for the first time."""

    def __init__(
        self,
        manager: Module[Any],
        link: GuardianLink,
        planned: Planned,
        logs: Path,
        json_logs: bool,
        runs_already: bool,
    ) -> None:
        if planned.manifest is None:
            raise ModuleInvalid(f"{planned.name} has no manifest")
        self.state, self.reason = State.STARTING, ""
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._manager, self._link, self._planned = manager, link, planned
        self._manifest: Manifest = planned.manifest
        self._logs, self._json_logs, self._runs_already = logs, json_logs, runs_already
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()
        self._node = f"{manager.hosting.node}-{planned.name}"
        self.instance = f"{planned.name}@{self._node}"
        self._history = self._manifest.restart.history()

    async def run(self) -> None:
        """Keeps the process running until it is stopped or given up."""
        await keep_running(self._attempt, self._history, self._report)

    def exited(self, exited: Exited) -> None:
        """The guardian says that the process has ended."""
        self._exits.put_nowait(exited)

    async def stop(self) -> None:
        """Ends the process, and returns when it has ended."""
        if self.task is not None:
            self.task.cancel()
        if self.state in (State.RUNNING, State.STARTING):
            self.state = State.STOPPING
            self._link.stop(self._planned.name, STOP_GRACE_S)
            await self._exits.get()
        self.state = State.STOPPED

    async def _attempt(self) -> None:
        self.state, self.reason = State.STARTING, ""
        if not self._runs_already:
            await self._announce(State.STARTING, "")
            self._link.spawn(self._planned.name, self._settings())
        self._runs_already = False
        seen = self._manager.tasks.spawn(self._seen_running(), name=f"{self._planned.name} running")
        try:
            exited = await self._exits.get()
        finally:
            seen.cancel()
        why = exited.reason or f"its process ended: {exited.how}"
        if exited.status == STATUS_INVALID:
            raise ModuleInvalid(why)
        raise StartFailed(why)

    async def _seen_running(self) -> None:
        registry = self._manager.registry
        await registry.wait_for(instance=self.instance, timeout_s=3600)
        self.state = State.RUNNING
        await self._manager.hosting.release(self.instance)  # its own node announces it now
        self.settled.set()

    async def _report(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        self._manager.log.error("%s is %s: %s", self._planned.name, state, reason)
        await self._announce(state, reason)
        self.settled.set()

    async def _announce(self, state: State, reason: str) -> None:
        entry = Entry(
            name=self._manifest.name,
            instance=self.instance,
            node=self._node,
            machine=self._manager.hosting.machine,
            pid=0,
            version=self._manifest.version,
            mode="process",
            state=state,
            reason=reason,
            managed_by=(self._manager.instance,),
        )
        await self._manager.hosting.announce(entry)

    def _settings(self) -> NodeSettings:
        hosting = self._manager.hosting
        data = self._manager.data_dir.parent / self._planned.name
        host = HostSetting(
            directory=str(self._planned.directory),
            data_dir=str(data),
            mode="process",
            managed_by=(self._manager.instance,),
        )
        log = LogSetting(str(self._logs / f"{self._node}.log"), self._json_logs)
        settings = NodeSettings(site=hosting.site, node=self._node, machine=hosting.machine, url=hosting.url, log=log)
        return replace(settings, hosts=(host,), site_file=hosting.site_file)
