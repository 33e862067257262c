"""One bundle in the NodeManager's interpreter: loaded, hosted by the node, restarted by the policy, unloaded."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from gridlink.lifecycle import State
from gridlink.module import Module
from gridlink.module.module import HostSpec
from gridlink.node.bundle import Bundle, read_bundle
from gridlink.node.supervision import keep_running
from gridlink.registry import Entry
from nodemanager.isolation import NotHostable
from nodemanager.loader import Loader


class HostedModule:
    """Keeps one module running. `settled` is set once it runs, or has failed for the first time."""

    def __init__(
        self,
        manager: Module[Any],
        loader: Loader,
        directory: Path,
        data_dir: Path,
        managed_by: tuple[str, ...],
        note: str = "",
        follows: str = "",
        start_within_s: float = 0.0,
    ) -> None:
        self.state, self.reason = State.STARTING, ""
        self.needs_process = ""  # why it can't be hosted here
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._manager, self._loader, self._data_dir = manager, loader, data_dir
        self.bundle: Bundle = read_bundle(directory)
        self.name = self.bundle.manifest.name
        self.trust = self.bundle.manifest.trust
        self._note, self._follows = note, follows
        self.start_within_s = start_within_s  # while the instance that it follows waits; 0: as it says itself
        self.instance = f"{self.name}@{manager.hosting.node}"
        self.managed_by = tuple(dict.fromkeys((*managed_by, manager.instance)))
        self._history = self.bundle.manifest.restart.history()

    async def run(self) -> None:
        """Hosts the module; returns when it runs, or is given up."""
        await keep_running(self._attempt, self._history, self._report)

    async def stop(self, within_s: float = math.inf) -> None:
        """Ends the module in about `within_s` at most, and unloads its bundle."""
        if self.task is not None:
            self.task.cancel()
        self.state = State.STOPPED
        await self._manager.hosting.release(self.instance, within_s)
        self._loader.unload(self.name)
        self.settled.set()  # whoever waits for it to start needn't any more

    async def give_up(self, reason: str) -> None:
        """Ends the module and leaves it FAILED, until it is started anew."""
        await self.stop()
        await self._report(State.FAILED, reason)

    async def _attempt(self) -> None:
        self.state, self.reason = State.STARTING, ""
        self._manager.hosting.tell_guardian("hosts", f"{self.name} {self.bundle.directory}")
        try:
            await self._manager.hosting.host(self._spec())
        except BaseException as error:
            self.needs_process = error.reason if isinstance(error, NotHostable) else ""
            self._loader.unload(self.name, keep_lib=True)  # the policy may try again
            raise
        self.state, self._follows, self.start_within_s = State.RUNNING, "", 0.0
        self.settled.set()

    async def _report(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        if state is State.FAILED:
            self._loader.unload(self.name)
        if self.needs_process:
            self._manager.log.warning("%s can't live in this interpreter: %s", self.name, self.needs_process)
        else:
            self._manager.log.error("%s is %s: %s", self.name, state, reason)
        await self._manager.hosting.announce(self._entry(state, reason))
        self.settled.set()

    def _spec(self) -> HostSpec:
        return HostSpec(
            manifest=self.bundle.manifest,
            load=lambda: self._loader.load(self.bundle),
            directory=self.bundle.directory,
            data_dir=self._data_dir,
            mode="node",
            managed_by=self.managed_by,
            note=self._note,
            follows=self._follows,
            start_within_s=self.start_within_s,
        )

    def _entry(self, state: State, reason: str) -> Entry:
        hosting = self._manager.hosting
        return Entry(
            name=self.name,
            instance=self.instance,
            node=hosting.node,
            machine=hosting.machine,
            pid=0,
            version=self.bundle.manifest.version,
            mode="node",
            state=state,
            reason=reason,
            managed_by=self.managed_by,
        )
