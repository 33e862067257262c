"""Install, update and rollback on the disk: two directories change places, and what was there is kept.

Both renames are durable before anything else goes on; between them no version is in place, and the journal knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from appmanager.packed.errors import BundleInvalid
from appmanager.packed.limits import Limits
from appmanager.packed.unpack import unpack
from appmanager.provisioning.choosing import keep_choice
from appmanager.provisioning.configuration import changed, read_config, spelled
from appmanager.provisioning.machine import Kind, Step
from appmanager.provisioning.plan import Plan
from appmanager.store.disk import Disk
from appmanager.store.incoming import forget
from appmanager.store.layout import ACCEPTED, BUNDLE, CONFIG, STATE, Layout
from appmanager.store.tree import copy, make_directory, move, read_whole, remove_durably, write_whole
from appmanager.store.versions import About, VersionDamaged, Versions

log = logging.getLogger("gridlink.provisioning")


class BundleChange:
    """One of a plan. See Change."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        plan: Plan,
        *,
        limits: Limits,
        versions_kept: int,
        at_s: float,
        progress: Callable[[int], None] = lambda size_bytes: None,
    ) -> None:
        self._disk, self._layout, self._plan = disk, layout, plan
        self._limits, self._versions_kept, self._at_s, self._progress = limits, versions_kept, at_s, progress
        self._versions = Versions(disk, layout)
        self._module, self._place = plan.module, layout.place(plan.place)
        self._kept = layout.version(self._module, plan.keep) if plan.keep else None
        self._state, self._in_place = layout.state(self._module), False
        back = plan.kind is Kind.ROLLBACK
        self._new = layout.version(self._module, plan.back) / BUNDLE if back else layout.staged(self._module)

    @property
    def staged(self) -> Path:
        """The new version's directory, before the switch."""
        return self._new

    def stage(self) -> str:
        """Unpacks the bundle, verified; its configuration is the site's. Raises BundleInvalid, ConfigInvalid."""
        order = self._plan.order
        remove_durably(self._disk, self._new)
        incoming = self._layout.incoming(self._module)
        found = unpack(
            self._disk, incoming, self._new, digest=order.digest, limits=self._limits, progress=self._progress
        )
        if found.header.name != self._module:
            remove_durably(self._disk, self._new)
            raise BundleInvalid(f"expected a bundle of {self._module}, got one of {found.header.name}")
        self._configure(order.config, order.settings)
        return found.header.version

    def _configure(self, config: dict[str, Any] | None, settings: dict[str, Any] | None) -> None:
        here = self._place / CONFIG
        if config is None and settings is None:
            if self._kept is not None and self._disk.kind(here) == "file":
                copy(self._disk, here, self._new / CONFIG)
            return
        if config is None:
            config = read_config(self._disk, here if self._kept is not None else self._new / CONFIG)
        write_whole(self._disk, self._new / CONFIG, spelled(changed(config, settings or {})))

    def prepare(self) -> None:
        """Writes down what is known of the old version; that it has a state is a guess until `keep`."""
        if self._kept is not None:
            make_directory(self._disk, self._kept)
            self._describe(has_state=True)

    def keep(self, state: bytes | None) -> None:
        """Keeps the state of the old version. Without a state, its last checkpoint."""
        if self._kept is None:
            return
        if state is None and self._disk.kind(self._state):
            state, self._in_place = read_whole(self._disk, self._state), True
        if state is not None:
            write_whole(self._disk, self._kept / STATE, state)
        else:
            self._describe(has_state=False)

    def _describe(self, *, has_state: bool) -> None:
        about = About(self._plan.was, self._plan.digests.get("from", ""), has_state, self._at_s)
        self._versions.describe(self._module, self._plan.keep, about)

    def switch(self) -> None:
        """The old version goes among those that are kept, the new one takes its place."""
        if self._kept is not None:
            move(self._disk, self._place, self._kept / BUNDLE)
        move(self._disk, self._new, self._place)

    def state(self) -> bytes | None:
        """The state for the new version: the one just taken, or the one kept with the version that comes back."""
        plan = self._plan
        if plan.kind is Kind.ROLLBACK and self._kept is not None and not self._disk.kind(self._place / CONFIG):
            self._accepted_aside(self._kept)
        from_back = plan.kind is Kind.ROLLBACK and not plan.order.keep_state
        source = self._layout.version(self._module, plan.back) if from_back else self._kept
        if source is None or not self._disk.kind(source / STATE):
            remove_durably(self._disk, self._state)
            return None
        if from_back or not self._in_place:
            copy(self._disk, source / STATE, self._state)
        return read_whole(self._disk, self._state)

    def _accepted_aside(self, kept: Path) -> None:
        """What the newer version took isn't this one's, which never had a file: nothing of it is gone."""
        accepted = self._layout.accepted(self._module)
        if self._disk.kind(accepted):
            move(self._disk, accepted, kept / ACCEPTED)

    def tidy(self) -> None:
        """Removes what was received; older versions than the last few go. The mode that was asked for is kept."""
        choice = self._plan.order.choice
        if choice is not None:
            keep_choice(self._disk, self._layout, self._module, choice)
        forget(self._disk, self._layout.incoming(self._module))
        remove_durably(self._disk, self._layout.staged(self._module))
        if self._plan.back:
            self._versions.forget(self._module, self._plan.back)
        self._versions.prune(self._module, self._versions_kept)

    def undo(self, begun: Collection[Step]) -> None:
        """The old version in its place with its state, as if nothing had been."""
        if Step.SWITCH in begun:
            self._switch_back()
        if Step.START in begun:
            self._state_back()
        if self._kept is not None:
            self._versions.forget(self._module, self._plan.keep)
        if self._plan.kind is not Kind.ROLLBACK:
            remove_durably(self._disk, self._layout.staged(self._module))
            forget(self._disk, self._layout.incoming(self._module))

    def _switch_back(self) -> None:
        old_is_out = self._kept is None or bool(self._disk.kind(self._kept / BUNDLE))
        if old_is_out and self._disk.kind(self._place):
            move(self._disk, self._place, self._new)
        if self._kept is not None and old_is_out:
            move(self._disk, self._kept / BUNDLE, self._place)

    def _state_back(self) -> None:
        if self._kept is None:
            remove_durably(self._disk, self._state)
            remove_durably(self._disk, self._layout.accepted(self._module))
        elif self._plan.keep in self._disk.names(self._layout.versions(self._module)):
            if self._disk.kind(self._kept / ACCEPTED):
                move(self._disk, self._kept / ACCEPTED, self._layout.accepted(self._module))
            try:
                has_state = self._versions.about(self._module, self._plan.keep).has_state
            except FileNotFoundError:
                return  # this was done before: what follows it was begun
            except VersionDamaged as error:
                log.warning("%s: whether it had a state is told by what lies there: %s", self._module, error)
                has_state = True  # a state that isn't its own is put aside when it starts, one that is gone is gone
            if has_state:
                move(self._disk, self._kept / STATE, self._state)
            else:
                remove_durably(self._disk, self._state)
