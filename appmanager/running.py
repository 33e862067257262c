"""`start`, `stop`, `restart` and `kill` of a module, and what they are refused for. They last until the next start."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from appmanager.orders import Word
from gridlink.errors import Refused
from gridlink.lifecycle import State
from gridlink.node.plan import NODEMANAGER_ENTRY, Planned

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager

STOP_WITHIN_S = 20.0
KILL_WITHIN_S = 2.0
START_WITHIN_S = 30.0
STOPPED = "an operator stopped it: `gridlink start` runs it again"
DOORS = ("dashboard_interface", "gateway")
"""Roles by which the site is reached from outside."""
STEPS_OF: dict[Word, tuple[str, ...]] = {
    "start": ("start",),
    "stop": ("stop",),
    "restart": ("stop", "start"),
    "kill": ("kill",),
}


class Runner:
    """Of one AppManager. `protected`: modules that nobody may end from here."""

    def __init__(self, manager: AppManager, protected: Collection[str]) -> None:
        self._manager, self._protected = manager, protected

    def check(self, module: str, word: Word, yes: bool) -> None:
        """Raises Refused for what must not be ended, or not without a second thought, and for what isn't there."""
        if module in self._protected:
            raise Refused(f"{module} runs this node: it is ended with it, by whoever started that (systemd)")
        planned = self._manager.find(module)
        if planned is None:
            known = ", ".join(one.name for one in self._manager.planned) or "nothing"
            raise Refused(f"{module} isn't installed here, {known} is: `gridlink install` does that")
        if word == "start":
            return
        if word == "uninstall" and planned.manifest is not None and planned.manifest.entry == NODEMANAGER_ENTRY:
            inside = [one.name for one in self._manager.planned if one.into == module]
            if inside:
                raise Refused(f"{module} hosts {', '.join(inside)}: move or uninstall them first")
        if not yes and word != "restart" and self._last_door(module):
            raise Refused(
                f"{module} is the last door to the outside: nobody reaches the site from there without it. Add --yes"
            )

    def check_start(self, word: Word, module: str) -> None:
        """Raises Refused, ManifestInvalid: it may not run here, as it is now, or doesn't fit."""
        self._to_start(word, module)

    def missed(self, module: str) -> tuple[str, ...]:
        """What nobody would serve without a module, and which of the others use that, as people read it."""
        entries = self._manager.registry.find()
        others = {role for entry in entries if entry.name != module for role in entry.roles}
        alone = {role for entry in entries if entry.name == module for role in entry.roles} - others
        manifests = [one.manifest for one in self._manager.planned if one.manifest is not None and one.name != module]
        users = {role: [one.name for one in manifests if role in one.used_roles] for role in sorted(alone)}
        return tuple(
            f"nobody would serve role {role}, which {', '.join(names)} use{'s' if len(names) == 1 else ''}"
            for role, names in users.items()
            if names
        )

    def _last_door(self, module: str) -> bool:
        registry = self._manager.registry
        doors = [entry for role in DOORS for entry in registry.find(role=role)]
        ours = [entry for entry in doors if entry.name == module and self._manager.instance in entry.managed_by]
        return bool(ours) and all(entry in ours for entry in doors)

    async def run(self, word: Word, module: str) -> str:
        """Does it; why it failed, or nothing. Raises GridlinkError, TimeoutError.

        What may not start is refused before anything of it ends.
        """
        if word in ("start", "restart"):
            to = self._to_start(word, module)
            return await self._start(to) if to is not None else ""
        await self._end(module, KILL_WITHIN_S if word == "kill" else STOP_WITHIN_S)
        await self._manager.announce(module, State.STOPPED, STOPPED)
        return ""

    async def _end(self, module: str, within_s: float) -> None:
        child = self._manager.child(module)
        if child is not None:
            await child.stop(within_s)
            await self._manager.forget_child(module)

    def _to_start(self, word: Word, module: str) -> Planned | None:
        """The bundle as it would be started now; None where it runs. Raises Refused: it may not, or doesn't fit."""
        manager, child = self._manager, self._manager.child(module)
        if word == "start" and child is not None and child.state is State.RUNNING:
            return None
        planned = manager.find(module)
        if planned is None:
            raise Refused(f"{module} isn't installed here: `gridlink install` does that")
        to = manager.plan_of(planned.directory, module)
        manager.admit(to, manager.own_mib(module))
        return to

    async def _start(self, to: Planned) -> str:
        await self._end(to.name, STOP_WITHIN_S)
        self._manager.put(to)
        return await self._manager.start_anew(to, START_WITHIN_S)
