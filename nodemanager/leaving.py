"""A module leaves this interpreter for a process of its own: its AppManager is asked to run it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gridlink.codec import encode
from gridlink.errors import GridlinkError
from gridlink.registry import Entry

if TYPE_CHECKING:
    from gridlink.module import Module
    from nodemanager.hosted import HostedModule

MODE = "fork"
WITHIN_S = 40.0


async def leave(manager: Module[Any], hosted: HostedModule, why: str) -> None:
    """Has the module run in mode `fork`, where an AppManager started it; where none can, it ends here, FAILED.

    The AppManager stops it here first: what it handles is finished and its state is kept for its next instance.
    """
    asked = [entry for name in hosted.managed_by for entry in manager.registry.find(instance=name) if _moves(entry)]
    if not asked:
        await hosted.give_up(f"{why}; no AppManager runs it, so it ends: correct it and start it again")
        return
    order = {"name": hosted.name, "mode": MODE, "reason": why, "force": True}
    try:
        to, content = asked[0].instance, encode([hosted.name, MODE, why])
        warrant = manager.hosting.warrants.of(manager.hosting.node, to, "move", content)
        await manager.bus.request(to, "move", order, timeout_s=WITHIN_S, id=warrant)
    except GridlinkError as error:
        await hosted.give_up(f"{why}; {asked[0].instance} can't move it: {error}")


def _moves(entry: Entry) -> bool:
    return "move" in entry.requests
