"""`move` of the AppManager: what it takes, whether a bundle may run there, and what it is called. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from appmanager.orders import EXPIRES_S, Id, Signature, Who
from gridlink.errors import Refused
from gridlink.node.plan import CHOSEN, NODEMANAGER, NODEMANAGER_ENTRY, Planned, Policy, trusted


class MoveOrder(Struct, frozen=True):
    """How a bundle is to run from now on, also after a restart of the node. `into`: a NodeManager, for mode node.

    `reason`: why, for the log. `force`: it is stopped where its handlers don't finish, and it holds only until the
    AppManager is started again; a NodeManager asks for that, and nobody signs it. The rest: see appmanager.orders.
    """

    name: str
    mode: Literal["node", "fork", "process"]
    into: str = ""
    reason: str = ""
    force: bool = False
    id: Id = ""
    who: Who = ""
    expires_s: float = EXPIRES_S
    signature: Signature | None = None

    @property
    def module(self) -> str:
        """As other commands call it."""
        return self.name


def destination(one: Planned, order: MoveOrder, planned: Sequence[Planned], policy: Policy) -> Planned:
    """The bundle as it is planned after the move. Raises Refused with the reason where it may not run there."""
    if one.manifest is None:
        raise Refused(f"{order.name} can't run at all: {one.refused}")
    if one.manifest.entry == NODEMANAGER_ENTRY:
        raise Refused(f"{order.name} is a NodeManager, which others live in: change `mode` in its module.json instead")
    if order.mode != "node" and not policy.processes:
        raise Refused(f"{order.name}: mode {order.mode} needs a bus that other processes reach, this one is local")
    if order.into and order.mode != "node":
        raise Refused(f"{order.name}: --into names a NodeManager, so it goes with mode node, not {order.mode}")
    into = (order.into or one.manifest.into or NODEMANAGER) if order.mode == "node" else ""
    note = order.reason if order.force else CHOSEN
    to = trusted(replace(one, mode=order.mode, into=into, refused="", note=note), planned, policy)
    if to.refused:
        raise Refused(f"{order.name}: {to.refused}")
    if to.mode != order.mode and to.mode == one.mode:
        raise Refused(f"{order.name} stays in mode {one.mode}: {to.note}")
    return to


def processes_of(name: str, running: Mapping[str, str]) -> dict[str, str]:
    """The processes of a bundle among those that run (name -> mode): `NAME`, `NAME-2` while or after it has moved."""
    return {process: mode for process, mode in running.items() if process.partition("-")[0] == name}


def as_running(planned: Planned, running: Mapping[str, str]) -> Planned:
    """What a former AppManager has moved to a process of its own stays there: it runs, and isn't restarted for us."""
    own = processes_of(planned.name, running)
    if planned.refused or not own or planned.mode in own.values():
        return planned
    return replace(planned, mode=next(iter(own.values())), into="")


def other_name(name: str, taken: str) -> str:
    """A name for a process of the bundle beside the one that has the name `taken`."""
    return f"{name}-2" if taken == name else name
