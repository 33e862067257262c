"""The NodeManager's side of the watchdog: which limits hold for whom, and what follows when a module was too long.

Counted, logged, told on topic `health`; a module that has to be interrupted again and again is moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from gridlink.health import HUNG, TOPIC, Action, ModuleHung
from gridlink.lifecycle import State
from gridlink.module import Module
from gridlink.restart import RestartHistory
from nodemanager.watchdog.hang import Hang
from nodemanager.watchdog.limits import STARTING, WatchdogSetting, starting
from nodemanager.watchdog.sqlite import Connections
from nodemanager.watchdog.watchdog import Rule, Watchdog

LOOKS_IN_LIMIT = 2.0  # at the loop, in the time of the shortest limit
CARE_EVERY_S = 5.0
GUARDIAN_LATER_S = 0.25  # than the watchdog: it acts where the watchdog couldn't


class Warden:
    """Watches the modules of one NodeManager. `state` is a module's, None for one that isn't hosted by it.

    `move` takes a module out of this interpreter; it is called with the module's name and why. `start_within_s`: how
    long a module may start while another version of it waits; 0: as usual.
    """

    def __init__(
        self,
        manager: Module[Any],
        setting: WatchdogSetting,
        state: Callable[[str], State | None],
        move: Callable[[str, str], Awaitable[None]],
        start_within_s: Callable[[str], float],
    ) -> None:
        self._manager, self._setting, self._state, self._move = manager, setting, state, move
        self._start_within_s = start_within_s
        self._connections = Connections()
        self._offences: dict[str, RestartHistory] = {}
        self._watchdog: Watchdog | None = None

    def start(self) -> None:
        """Begins to watch, where that is wanted."""
        setting = self._setting
        if setting.mode == "off":
            return
        shortest_s = setting.shortest_warn_s
        tell = self._manager.hosting.tell_guardian
        watchdog = Watchdog(shortest_s / LOOKS_IN_LIMIT, shortest_s, self._rule, self._on_hang, tell)
        if why := watchdog.start():
            self._manager.log.warning("no watchdog: %s", why)
            return
        self._watchdog = watchdog
        if setting.mode == "move":
            for name in ("", *setting.modules):
                tell("limit", f"{setting.limits(name).give_up_s + GUARDIAN_LATER_S:.3f} {name}")
        self._manager.tasks.spawn(self._care(watchdog), name="watchdog")

    def stop(self) -> None:
        """Ends watching; may be called twice."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.stop()
            self._connections.release()
            self._manager.hosting.tell_guardian("limit", "0")

    async def publish(self, report: ModuleHung) -> None:
        """Logs a report and tells it to everybody."""
        self._manager.log.error("%s; stack: %s", report, " < ".join(report.stack) or "none of a module")
        await self._manager.bus.publish(TOPIC, HUNG, report)

    def imported(self) -> None:
        """A bundle was imported: it may have brought sqlite3 along."""
        if self._watchdog is not None:
            self._connections.watch()

    async def _care(self, watchdog: Watchdog) -> None:
        while True:
            self._connections.watch()
            if watchdog.reclaim():
                self._manager.log.error("a module had taken SIGALRM, which is the watchdog's: taken back")
            await asyncio.sleep(CARE_EVERY_S)

    def _rule(self, name: str, importing: bool) -> Rule:
        module = name.partition("@")[0]
        state = self._state(module)
        if state is None:
            return STARTING, "warn"  # our own: the guardian's limit is enough
        if importing:
            return STARTING, self._setting.mode
        if state is not State.RUNNING:
            return starting(self._start_within_s(module), self._setting.limits(module)), self._setting.mode
        return self._setting.limits(module), self._setting.mode

    def _on_hang(self, hang: Hang) -> None:
        instance = f"{hang.module}@{self._manager.hosting.node}"
        counters = self._manager.hosting.counters(instance)
        if counters is not None:
            counters.hung += 1
            counters.stuck += hang.is_stuck
        action: Action = "interrupted" if hang.interrupted else "named"
        if hang.interrupted and self._setting.mode == "move" and self._state(hang.module) is State.RUNNING:
            history = self._offences.setdefault(hang.module, self._history())
            if history.failed(time.monotonic()) is None:
                action = "moved"
        report = hang.report(self._manager.hosting.node, action)
        self._manager.tasks.spawn(self._follow(report), name=f"{hang.module} hung")

    def _history(self) -> RestartHistory:
        return RestartHistory(self._setting.offences, self._setting.within_s)

    async def _follow(self, report: ModuleHung) -> None:
        await self.publish(report)
        if report.action == "moved":
            self._offences.pop(report.module, None)
            await self._move(report.module, str(report))
