"""Whether a file was changed. It is looked at, not watched: a rename, or a new directory, is nothing special."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

SETTLED_S = 0.2
LOOK_S = 0.05

Stamp = tuple[int, int, int, int]
"""What differs when a file was written or replaced: times of the change (ns), size, and which file it is."""


def stamp(path: Path) -> Stamp | None:
    """The file's stamp; None where there is no file that can be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


async def settled(path: Path) -> Stamp | None:
    """The file's stamp, once it has been the same for SETTLED_S: whoever writes it has done so."""
    loop = asyncio.get_running_loop()
    now, since_s = stamp(path), loop.time()
    while loop.time() - since_s < SETTLED_S:
        await asyncio.sleep(LOOK_S)
        later = stamp(path)
        if later != now:
            now, since_s = later, loop.time()
    return now
