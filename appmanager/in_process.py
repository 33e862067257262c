"""A bundle in a process of its own, forked or fresh: the guardian starts and watches it, the policy restarts it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from appmanager.confinement import words
from appmanager.link import Exited, GuardianLink
from gridlink.errors import GridlinkError, ModuleInvalid, NoSuchInstance, StartFailed
from gridlink.lifecycle import State
from gridlink.manifest import Manifest
from gridlink.node.plan import Planned
from gridlink.node.process import STATUS_INVALID
from gridlink.node.settings import HostSetting, LogSetting, NodeSettings
from gridlink.node.supervision import keep_running
from gridlink.registry import Entry

if TYPE_CHECKING:
    from gridlink.module.module import Module

STOP_GRACE_S = 12.0
KILLED_IN_TIME = 0.8  # of the time to end: then it is killed, and the rest is for hearing of it


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
        user: str = "",
        *,
        name: str = "",
        follows: str = "",
        start_within_s: float = 0.0,
    ) -> None:
        if planned.manifest is None:
            raise ModuleInvalid(f"{planned.name} has no manifest")
        self.state, self.reason = State.STARTING, ""
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._manager, self._link, self._planned = manager, link, planned
        self._manifest: Manifest = planned.manifest
        self._logs, self._json_logs, self._runs_already = logs, json_logs, runs_already
        self._user = user  # of the operating system; empty for ours
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()
        self.name = name or planned.name  # of the process: a second one of a module that moves has another
        self.follows = follows  # the instance that it takes over from
        self._start_within_s = start_within_s  # while that one waits; 0: as long as the module says
        self.hung = 0  # how often it hung where it was before
        self.left_out: Mapping[str, str] = {}  # of a NodeManager: what isn't to run in its process
        self._node = f"{manager.hosting.node}-{self.name}"
        self.instance = f"{planned.name}@{self._node}"
        self._history = self._manifest.restart.history()

    async def run(self) -> None:
        """Keeps the process running until it is stopped or given up."""
        await keep_running(self._attempt, self._history, self._report)

    def exited(self, exited: Exited) -> None:
        """The guardian says that the process has ended."""
        self._exits.put_nowait(exited)

    def cancel(self) -> None:
        """Cares for it no more."""
        if self.task is not None:
            self.task.cancel()

    async def stop(self, within_s: float) -> None:
        """Ends the process, and returns when it has ended. Raises TimeoutError: nobody says that it has."""
        await self._end(min(STOP_GRACE_S, within_s * KILLED_IN_TIME), within_s)

    async def kill(self, within_s: float) -> None:
        """As `stop`, but the module has no time for its end: it never ran, or keeps its loop."""
        await self._end(0.0, within_s)

    async def _end(self, grace_s: float, within_s: float) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.state in (State.RUNNING, State.STARTING):
            self.state = State.STOPPING
            self._link.stop(self.name, grace_s)
            try:
                async with asyncio.timeout(within_s):
                    await self._exits.get()
            except TimeoutError as error:
                raise TimeoutError(f"nobody has said within {within_s:.1f} s that its process has ended") from error
        self.state = State.STOPPED

    async def _attempt(self) -> None:
        self.state, self.reason = State.STARTING, ""
        if not self._runs_already:
            await self._announce(State.STARTING, "")
            settings, user = self._settings(), ""
            if self._user:
                settings, user = self._as_user(self._user, settings)
            limits = words(self._manifest.resources, user)
            keys = self._manager.hosting.warrants.for_child(self._node)
            self._link.spawn(self.name, self._planned.mode, limits, settings, keys)
        taken_over, self._runs_already = self._runs_already, False
        seen = self._manager.tasks.spawn(self._seen_running(taken_over), name=f"{self._planned.name} running")
        try:
            exited = await self._exits.get()
        finally:
            seen.cancel()
        why = exited.reason or f"its process ended: {exited.how}"
        if exited.status == STATUS_INVALID:
            raise ModuleInvalid(why)
        raise StartFailed(why)

    def _as_user(self, name: str, settings: NodeSettings) -> tuple[NodeSettings, str]:
        from appmanager.users import user_called  # noqa: PLC0415 - where the site names one

        user, data = user_called(name), Path(settings.hosts[0].data_dir)
        user.give(data, Path(settings.log.file))
        return structs.replace(settings, states=str(data / ".states"), accepted=str(data / ".accepted")), str(user)

    async def _seen_running(self, taken_over: bool) -> None:
        registry = self._manager.registry
        if taken_over:
            try:
                await self._manager.hosting.resume(self.instance)  # a former AppManager may have been moving it
            except (NoSuchInstance, StartFailed) as error:
                self._manager.log.warning("%s runs no module: it is started anew: %s", self.name, error)
                self._link.stop(self.name, STOP_GRACE_S)
            except GridlinkError as error:
                self._manager.log.info("%s is not asked to go on: %s", self.instance, error)
        await registry.wait_for(instance=self.instance, timeout_s=3600)
        self.state, self.follows, self._start_within_s = State.RUNNING, "", 0.0
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
            mode=self._planned.mode,
            state=state,
            reason=reason,
            managed_by=(self._manager.instance,),
        )
        await self._manager.hosting.announce(entry)

    def _settings(self) -> NodeSettings:
        hosting = self._manager.hosting
        data = self._manager.data_dir.parent / self._planned.within / self._planned.name
        host = HostSetting(
            directory=str(self._planned.directory),
            data_dir=str(data),
            mode=self._planned.mode,
            managed_by=(self._manager.instance,),
            note=self._planned.note,
            follows=self.follows,
            start_within_s=self._start_within_s,
            hung=self.hung,
        )
        log = LogSetting(str(self._logs / f"{self._node}.log"), self._json_logs)
        settings = NodeSettings(site=hosting.site, node=self._node, machine=hosting.machine, url=hosting.url, log=log)
        settings = structs.replace(settings, states=hosting.states, checkpoint_s=hosting.checkpoint_s)
        settings = structs.replace(settings, accepted=hosting.accepted, blocked=dict(self.left_out))
        return structs.replace(settings, hosts=(host,), site_file=hosting.site_file)
