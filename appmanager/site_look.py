"""The site as the checks of a bundle see it: who serves what, by which contract, and what that may break."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from appmanager.packed.target import Site
from gridlink.document import Document, Exchange, event_document, request_document
from gridlink.errors import GridlinkError
from gridlink.manifest import Manifest
from gridlink.node.admission import read_free
from gridlink.node.plan import Planned
from gridlink.registry import Entry, Registry


async def look(
    registry: Registry,
    planned: Sequence[Planned],
    module: str,
    addresses: Collection[str],
    older: bool,
    own_mib: float,
) -> Site:
    """The site around a module. `addresses`: whose contracts are asked for (`role storage`, `topic measurement`).

    `own_mib`: the memory that what runs of it was promised.
    """
    entries = registry.find()
    free = read_free()
    running = next((one.manifest for one in planned if one.name == module), None)
    others = {role for entry in entries if entry.name != module for role in entry.roles}
    own = {role for entry in entries if entry.name == module for role in entry.roles}
    modules: tuple[Manifest, ...] = tuple(one.manifest for one in planned if one.manifest is not None)
    return Site(
        modules=modules,
        served=frozenset(others | own),
        contracts={where: found for where in addresses if (found := await _document(registry, entries, where))},
        running=running,
        served_by_running=frozenset(f"role {role}" for role in own - others),
        older_allowed=older,
        free_mib=free.mib if free is not None else None,
        free_of=free.of if free is not None else "this machine",
        own_mib=own_mib,
    )


async def _document(registry: Registry, entries: Sequence[Entry], where: str) -> Document | None:
    """The contract of a role or topic as it is served now; None where nobody does, or tells."""
    kind, _, name = where.partition(" ")
    for entry in entries:
        try:
            if kind == "role" and name in entry.roles:
                requests = {
                    type_: Exchange(
                        await registry.schema(digests["payload"], entry), await registry.schema(digests["reply"], entry)
                    )
                    for type_, digests in entry.requests.items()
                }
                return request_document(kind, name, "", requests)
            if kind == "topic" and name in entry.publishes:
                events = {
                    type_: await registry.schema(digest, entry) for type_, digest in entry.publishes[name].items()
                }
                return event_document(f"topic:{name}", where, "", events)
        except GridlinkError:
            continue  # its node is going, and another one may serve the same
    return None
