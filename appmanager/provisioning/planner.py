"""Makes a plan of an order, from what is on the disk; refuses what can't be begun. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection

from appmanager.provisioning.machine import Kind
from appmanager.provisioning.plan import Order, Plan
from appmanager.store.disk import Disk
from appmanager.store.layout import CONFIG, Layout
from appmanager.store.versions import Installed, Kept, Versions
from gridlink.errors import ConfigInvalid, Refused

_CHANGES_FILES = (Kind.INSTALL, Kind.UPDATE)


class Planner:
    """Of one managed directory. `protected`: modules that are never removed: the AppManager, the node that holds it."""

    def __init__(self, disk: Disk, layout: Layout, protected: Collection[str] = ()) -> None:
        self._disk, self._layout, self._protected = disk, layout, frozenset(protected)
        self._versions = Versions(disk, layout)

    def plan(self, order: Order) -> Plan:
        """What the order comes to. Blocks. Raises Refused with the reason, OSError."""
        module, kind = order.module, order.kind
        if module in self._protected:
            raise Refused(f"{module} runs this node: it is updated with Gridlink's own package, and never removed")
        if kind in _CHANGES_FILES and not order.digest:
            raise Refused(f"{kind} of {module}: expected the bundle's digest (`gridlink pack` prints it)")
        if kind is not Kind.INSTALL and order.choice is not None:
            raise Refused(f"{kind} of {module}: a mode goes with install alone: `gridlink move` changes it")
        if kind is Kind.CONFIGURE and order.config is None and not order.settings:
            raise ConfigInvalid(f"configure of {module}: expected settings, or a whole document: there are none")
        installed = self._versions.installed()
        here = next((one for one in installed if one.name == module), None)
        if kind is Kind.INSTALL:
            return self._install(order, here, installed)
        unreadable = here is not None and here.manifest is None
        if here is None or (unreadable and kind is Kind.CONFIGURE):
            known = ", ".join(one.name for one in installed) or "nothing"
            raise Refused(f"{module} isn't installed here, {known} is: `gridlink install` does that")
        return self._change(order, here, here.manifest.version if here.manifest is not None else "")

    def _install(self, order: Order, here: Installed | None, installed: list[Installed]) -> Plan:
        module = order.module
        if here is not None:
            version = f" {here.manifest.version}" if here.manifest is not None else ""
            raise Refused(f"{module}{version} is installed: `gridlink update` replaces it")
        holder = next((one for one in installed if one.place == module), None)
        if holder is not None or self._disk.kind(self._layout.place(module)):
            other = f", which holds {holder.name}" if holder is not None else ""
            raise Refused(f"{module}: there is a {self._layout.place(module)} already{other}: move it away")
        return Plan(order, module, digests={"to": order.digest})

    def _change(self, order: Order, here: Installed, version: str) -> Plan:
        kind = order.kind
        keep = "" if kind is Kind.CONFIGURE else self._versions.next_number(order.module)
        digests = {"from": here.digest} if here.digest else {}
        had_config = self._disk.kind(self._layout.place(here.place) / CONFIG) == "file"
        back, becomes = "", version if kind is Kind.CONFIGURE else ""
        if kind is Kind.UPDATE:
            digests["to"] = order.digest
        if kind is Kind.ROLLBACK:
            kept = self._kept(order, version)
            back, becomes = kept.number, kept.about.version
            digests |= {"to": kept.about.digest} if kept.about.digest else {}
        return Plan(order, here.place, keep, back, version, becomes, had_config, digests)

    def _kept(self, order: Order, version: str) -> Kept:
        kept, damaged = self._versions.kept(order.module), self._versions.damaged(order.module)
        wanted = [one for one in kept if order.to in ("", one.about.version, one.number)]
        if wanted and (order.to or not damaged or damaged[-1].number < wanted[-1].number):
            return wanted[-1]
        there = ", ".join(one.about.version for one in kept) or "none"
        if damaged:
            there += "".join(f"; {one.number} is damaged: {one.why}" for one in damaged)
        what = f"{order.to} of {order.module}" if order.to else f"the former version of {order.module} {version}"
        advice = "go back to another with --to, or install it from its file" if kept else "install it from its file"
        raise Refused(f"{what} isn't kept here (kept: {there}): {advice}")
