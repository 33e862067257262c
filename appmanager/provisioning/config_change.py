"""Configure on the disk: one file is replaced by a rename, and its former content is kept until the module took it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from appmanager.provisioning.configuration import changed, read_config, spelled
from appmanager.provisioning.machine import Step
from appmanager.provisioning.plan import Plan
from appmanager.store.disk import Disk
from appmanager.store.layout import CONFIG, Layout
from appmanager.store.tree import copy, make_directory, move, read_whole, remove_durably, write_whole

BEFORE = "before.json"


class ConfigChange:
    """One of a plan. See Change."""

    def __init__(self, disk: Disk, layout: Layout, plan: Plan) -> None:
        self._disk, self._layout, self._plan = disk, layout, plan
        self._directory = layout.staged(plan.module)
        self._file = layout.place(plan.place) / CONFIG

    @property
    def staged(self) -> Path:
        """The new file, before the switch."""
        return self._directory / CONFIG

    def stage(self) -> str:
        """Writes the new file, and what takes its place if it has to go. Raises ConfigInvalid."""
        order = self._plan.order
        config = order.config if order.config is not None else read_config(self._disk, self._file)
        remove_durably(self._disk, self._directory)
        make_directory(self._disk, self._directory)
        if self._plan.had_config:
            copy(self._disk, self._file, self._directory / BEFORE)
        else:
            write_whole(self._disk, self._directory / BEFORE, self._in_place_of_none())
        write_whole(self._disk, self.staged, spelled(changed(config, order.settings or {})))
        return self._plan.becomes

    def prepare(self) -> None:
        """Nothing."""

    def _in_place_of_none(self) -> bytes:
        """What the module has without a file: what it took last, or the defaults.

        Were the file removed again, the module would have what it took last: that is what has to go.
        """
        accepted = self._layout.accepted(self._plan.module)
        return read_whole(self._disk, accepted) if self._disk.kind(accepted) == "file" else b"{}\n"

    def keep(self, state: bytes | None) -> None:
        """Nothing: it goes on running."""

    def switch(self) -> None:
        """The new file in the old one's place."""
        move(self._disk, self.staged, self._file)

    def state(self) -> bytes | None:
        """None: it goes on running."""
        return None

    def tidy(self) -> None:
        """Removes the copy of the old file. (The node remembers what the module took.)"""
        remove_durably(self._disk, self._directory)

    def undo(self, begun: Collection[Step]) -> None:
        """The old file in its place; where there was none, one that says the same."""
        if Step.SWITCH in begun and self._disk.kind(self._directory):
            move(self._disk, self._directory / BEFORE, self._file)
        remove_durably(self._disk, self._directory)
