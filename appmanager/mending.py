"""Before anything is started: what a former AppManager was doing to modules is finished or undone.

The copy of a dry run that was cut off is removed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from appmanager.provisioning.blocking import in_thread
from appmanager.provisioning.outcome import Recovered
from appmanager.provisioning.recovery import recover
from appmanager.store.disk import RealDisk
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from appmanager.store.tree import remove_durably

if TYPE_CHECKING:
    from appmanager.link import GuardianLink

log = logging.getLogger("gridlink.provisioning")

GRACE_S = 2.0
LOOK_S = 0.02


async def mended(layout: Layout, link: GuardianLink, whys: Mapping[str, str]) -> list[Recovered]:
    """Ends the processes of those modules that outlived the former AppManager, then mends their files.

    In this order, because a process writes its last checkpoint when it ends. `whys`: what modules did to their node.
    Raises OSError: what journals there are.
    """
    disk = RealDisk()
    try:
        await in_thread(lambda: remove_durably(disk, layout.dry_run))
    except OSError as error:  # modules are mended all the same, and the next dry run says so too
        log.warning("what a dry run has left can't be removed: %s", error)
    modules = set(await in_thread(lambda: Journal(disk, layout).modules()))
    stopped: set[str] = set()
    while names := {name for name in await link.children() if name.partition("-")[0] in modules}:
        for name in names - stopped:
            link.stop(name, GRACE_S)
        stopped |= names
        await asyncio.sleep(LOOK_S)
    return await in_thread(lambda: recover(disk, layout, time.time(), whys))
