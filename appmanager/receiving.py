"""Where a command's bundle comes from: a path of this machine, or a store (`store:…`), at the site's own pace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from appmanager.packed.limits import limits_on
from appmanager.provisioning.blocking import in_own_thread
from appmanager.provisioning.local_file import receive_file
from appmanager.provisioning.plan import Order, Plan
from appmanager.store.disk import Disk
from appmanager.transfer.fetching import fetch
from appmanager.transfer.reference import Reference, reference_in
from gridlink.bus.durable.jetstream import JetStream

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager

SAY_EVERY_BYTES = 1024 * 1024
Received = Callable[[Order, int, int, str], None]
"""Hears of what has come of a bundle: the order, the bytes that are here, of how many, and why no more come."""


class Receiver:
    """Of one AppManager."""

    def __init__(self, manager: AppManager, disk: Disk, received: Received) -> None:
        self._manager, self._disk, self._received = manager, disk, received

    async def receive(self, plan: Plan, into: Path) -> None:
        """Has the bundle of a plan in the file `into`. See appmanager.provisioning.host.Host."""
        order = plan.order
        reference = reference_in(order.source)
        if reference is not None:
            await self._fetch(order, reference, into)
            return
        source = Path(order.source)
        coming = _Coming(order, await in_own_thread(lambda: _size_of(source)), self._received)
        free_bytes = limits_on(Path(self._manager.config.managed)).free_bytes
        await receive_file(self._disk, source, into, order.digest, free_bytes=free_bytes, progress=coming.has_come)

    async def _fetch(self, order: Order, reference: Reference, into: Path) -> None:
        manager = self._manager
        coming = _Coming(order, reference.size_bytes, self._received)
        await fetch(
            JetStream(manager.hosting.raw(), reference.domain),
            manager.hosting.site,
            reference,
            self._disk,
            into,
            bytes_a_s=manager.transfer_bytes_per_s,
            free_bytes=limits_on(Path(manager.config.managed)).free_bytes,
            progress=coming.has_come,
            waiting=coming.waits,
        )


class _Coming:
    """One bundle, as it is told of: each MiB, its end, and what it waits for."""

    def __init__(self, order: Order, whole_bytes: int, received: Received) -> None:
        self._order, self._whole_bytes, self._received = order, whole_bytes, received
        self._here_bytes = self._said_bytes = 0

    def has_come(self, received_bytes: int) -> None:
        """So much is here."""
        self._here_bytes = received_bytes
        if received_bytes - self._said_bytes >= SAY_EVERY_BYTES or received_bytes == self._whole_bytes:
            self._said_bytes = received_bytes
            self._received(self._order, received_bytes, self._whole_bytes, "")

    def waits(self, reason: str) -> None:
        """Nothing comes, and why."""
        self._received(self._order, self._here_bytes, self._whole_bytes, reason)


def _size_of(file: Path) -> int:
    """Its bytes; 0 for what is no file, or can't be seen: reading it says why."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
