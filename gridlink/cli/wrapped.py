"""A command's sender on a site with proxies: what it sends is sealed, limited and allowed as what a module sends is.

Proxies that a bundle brings wrap that bundle's own messages, and so none of a command's.
"""

from __future__ import annotations

import os
from pathlib import Path

from gridlink.bus.protocol import Bus
from gridlink.module.sender import Sender
from gridlink.proxies import Around
from gridlink.proxies.site import read_site_file
from gridlink.registry import Registry

NO_BUNDLE = Path(os.devnull)


def wrapped(site_file: Path, name: str, bus: Bus, registry: Registry) -> Sender:
    """A sender of that name through the site's proxies. Raises ConfigInvalid for a file or keys that can't be read."""
    around = Around(
        site=bus.site,
        instance=f"{name}@{bus.node}",
        roles=(),
        refused=_nothing,
        failed=_nothing,
        behind=registry.reach.behind,
        knows=registry.knows,
    )
    return Sender(bus, around.instance, read_site_file(site_file).proxies(around, NO_BUNDLE))


def _nothing() -> None:
    """Nobody counts what a command refuses: it takes no messages."""
