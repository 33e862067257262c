"""What modules did to processes that others live in, as the guardian tells it: said aloud, and they are kept out.

The AppManager's own node is the guardian's business: the next one is without the offender. A NodeManager in a process
of its own is started again by the AppManager: what it did harm to runs in mode `fork` instead, also where it lies in
that NodeManager's own directory (the paper's Figure 7).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from gridlink.errors import GridlinkError
from gridlink.health import CRASHED, HUNG, TOPIC, ModuleCrashed, ModuleHung
from gridlink.node.bundle import read_bundle
from gridlink.node.plan import Planned

if TYPE_CHECKING:
    from appmanager.children import Children


class Offence(Struct, frozen=True):
    """`host`: the process of a bundle (a NodeManager's) in which it was; empty for the AppManager's own node.

    `kind`: hung, crashed by a signal, or ended in another way. `moves`: it is not to be there again. `stack`: the
    innermost frame first, empty where it isn't known.
    """

    host: str
    module: str
    directory: str
    kind: Literal["hung", "crashed", "ended"]
    why: str
    moves: bool
    held_s: float = 0.0
    limit_s: float = 0.0
    stack: tuple[str, ...] = ()


class Offences:
    """Of one AppManager: what came before it started, and what it hears of."""

    def __init__(self, manager: Children) -> None:
        self._manager = manager
        self._hung: dict[str, int] = {}
        self._left_out: dict[str, dict[str, str]] = {}  # by host: what isn't to be there; see NodeSettings.blocked

    def left_out(self, host: str) -> dict[str, str]:
        """What isn't to run in that process; it may grow."""
        return self._left_out.setdefault(host, {})

    def hung(self, module: str) -> int:
        """How often a process was replaced because that module hung in it: the counters there went with it."""
        return self._hung.get(module, 0)

    def moved(self, before: Iterable[Offence]) -> dict[str, str]:
        """Of those before us, the modules that the AppManager itself manages, and why they can't be in a node."""
        return {one.module: one.why for one in before if one.host and not self._is_inside(one)}

    def adopt(self, before: Iterable[Offence]) -> list[Planned]:
        """Of those before us, the bundles that lie in a NodeManager's own directory, as they run from now on."""
        found = [self._adopted(one) for one in before if one.host and self._is_inside(one)]
        return [planned for planned in found if planned is not None]

    def tell(self, offences: Iterable[Offence]) -> None:
        """Says them aloud."""
        for one in offences:
            if one.kind == "hung":
                self._hung[one.module] = self.hung(one.module) + 1
            self._manager.tasks.spawn(self._publish(one), name=f"{one.module} {one.kind}")

    def heard(self, offence: Offence) -> None:
        """A process is about to be started again: without the offender, where that isn't to be there."""
        self.tell([offence])
        if not offence.moves or offence.module in self._manager.touched:
            return
        if self._is_inside(offence):
            adopted = self._adopted(offence)
            moved = adopted is not None and self._manager.take_in(adopted)
        else:
            moved = self._manager.take_out(offence.module, offence.why)
        if moved:
            self._put_on_record(offence, "")

    def put_on_record(self, before: Iterable[Offence]) -> None:
        """The moves that come of what was before us, once the bundles are planned."""
        for one in before:
            planned = self._manager.find(one.module)
            if one.moves:
                self._put_on_record(one, planned.refused if planned is not None else "")

    def _put_on_record(self, offence: Offence, failed: str) -> None:
        who = f"guardian of {self._manager.hosting.node}"
        self._manager.moved_unasked(offence.module, offence.why, who, failed)

    def _is_inside(self, offence: Offence) -> bool:
        return Path(offence.directory).is_relative_to(Path(self._manager.config.managed) / offence.host)

    def _adopted(self, offence: Offence) -> Planned | None:
        directory = Path(offence.directory)
        try:
            manifest = read_bundle(directory).manifest
        except GridlinkError as error:  # somebody has taken it away meanwhile
            self._manager.log.error("%s of %s does not run: %s", offence.module, offence.host, error)  # noqa: TRY400
            return None
        self.left_out(offence.host)[offence.module] = ""
        return Planned(directory, manifest.name, manifest, "fork", note=offence.why, within=offence.host)

    async def _publish(self, offence: Offence) -> None:
        node = self._manager.hosting.node
        instance = f"{offence.module}@{node}-{offence.host}" if offence.host else f"{offence.module}@{node}"
        if offence.kind == "hung":
            hung = ModuleHung(offence.module, instance, offence.held_s, offence.limit_s, "replaced", offence.stack)
            self._manager.log.error("%s; stack: %s", hung, " < ".join(offence.stack) or "none of a module")
            await self._manager.bus.publish(TOPIC, HUNG, hung)
            return
        how = offence.why.removeprefix(f"{offence.module}: ")
        crashed = ModuleCrashed(offence.module, instance, how, offence.moves, offence.stack)
        stack = f"; stack: {' < '.join(offence.stack)}" if offence.stack else ""
        self._manager.log.error("%s%s", crashed, stack)
        await self._manager.bus.publish(TOPIC, CRASHED, crashed)


def as_moved(planned: Planned, why: str) -> Planned:
    """A bundle that can't be in a NodeManager's interpreter any more."""
    return replace(planned, mode="fork", note=why, into="")
