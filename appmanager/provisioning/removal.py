"""Uninstall on the disk: out of its place by one rename, and deleted when that is written down."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from appmanager.provisioning.machine import Step
from appmanager.provisioning.plan import Plan
from appmanager.store.disk import Disk
from appmanager.store.incoming import forget
from appmanager.store.layout import BUNDLE, Layout
from appmanager.store.tree import make_directory, move, remove_durably
from appmanager.store.versions import Versions


class Removal:
    """One of a plan. See Change."""

    def __init__(self, disk: Disk, layout: Layout, plan: Plan) -> None:
        self._disk, self._layout, self._plan = disk, layout, plan
        self._place = layout.place(plan.place)
        self._aside = layout.version(plan.module, plan.keep)

    @property
    def staged(self) -> Path:
        """Where it is; nothing is staged."""
        return self._place

    def stage(self) -> str:
        """Nothing."""
        return ""

    def prepare(self) -> None:
        """Nothing."""

    def keep(self, state: bytes | None) -> None:
        """Nothing."""

    def switch(self) -> None:
        """Puts it aside."""
        make_directory(self._disk, self._aside)
        move(self._disk, self._place, self._aside / BUNDLE)

    def state(self) -> bytes | None:
        """None: nothing starts."""
        return None

    def tidy(self) -> None:
        """Deletes all that there is of it; its data, if that was asked for."""
        module, versions = self._plan.module, Versions(self._disk, self._layout)
        versions.prune(module, 0)
        forget(self._disk, self._layout.incoming(module))  # what had come of an order that expired
        own = [self._layout.versions(module), self._layout.state(module), self._layout.accepted(module)]
        if self._plan.order.purge:
            own.append(self._layout.data(module))
        for path in own:
            remove_durably(self._disk, path)

    def undo(self, begun: Collection[Step]) -> None:
        """Back in its place."""
        if Step.SWITCH in begun and self._disk.kind(self._aside / BUNDLE):
            move(self._disk, self._aside / BUNDLE, self._place)
        remove_durably(self._disk, self._aside)
