"""What an AppManager has of each module: version, digest, configuration and mode, for `gridlink apply` to compare."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from appmanager.orders import Installed, Inventory, InventoryOrder
from appmanager.provisioning.blocking import in_thread
from appmanager.provisioning.configuration import read_config
from appmanager.store.disk import RealDisk
from appmanager.store.layout import CONFIG
from appmanager.store.record import Record
from appmanager.store.versions import Versions
from gridlink.errors import ConfigInvalid
from gridlink.manifest import Manifest
from gridlink.node.plan import Planned

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager


async def inventory(
    manager: AppManager, record: Record, protected: Collection[str], order: InventoryOrder
) -> Inventory:
    """The modules that are asked for; `last` from the record alone. Raises OSError."""
    roles = {entry.name: entry.roles for entry in manager.registry.find(managed_by=manager.instance)}
    planned = [(one, one.manifest) for one in manager.planned if one.manifest is not None]
    wanted = [(one, manifest) for one, manifest in planned if order.others or one.name in order.modules]
    return await in_thread(lambda: _read(manager, record, protected, order, wanted, roles))


def _read(
    manager: AppManager,
    record: Record,
    protected: Collection[str],
    order: InventoryOrder,
    wanted: list[tuple[Planned, Manifest]],
    roles: dict[str, tuple[str, ...]],
) -> Inventory:
    layout, disk = manager.layout(), RealDisk()
    digests = {one.name: one.digest for one in Versions(disk, layout).installed()}
    found = []
    for one, manifest in wanted:
        try:
            config = read_config(disk, one.directory / CONFIG)
        except ConfigInvalid:
            config = None  # an operator has to mend it; a whole document in its place does that
        found.append(
            Installed(
                name=one.name,
                version=manifest.version,
                digest=digests.get(one.name, ""),
                mode=one.mode,
                into=one.into,
                chosen=manager.is_chosen(one.name),
                protected=one.name in protected,
                config=config,
                roles=roles.get(one.name, ()),
                uses=manifest.used_roles,
            )
        )
    told = {*order.modules, *(one.name for one in found)}
    return Inventory(tuple(found), record.latest(told))
