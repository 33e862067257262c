"""Receives a bundle from a file of this machine: for a site without JetStream, and for a memory stick."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appmanager.provisioning.blocking import in_thread
from appmanager.provisioning.pace import Pace
from appmanager.store.disk import Disk
from appmanager.store.incoming import Incoming
from gridlink.errors import Refused

CHUNK_BYTES = 128 * 1024


async def receive_file(
    disk: Disk,
    source: Path,
    into: Path,
    digest: str,
    *,
    bytes_a_s: float = 0.0,
    progress: Callable[[int], None] = lambda received_bytes: None,
) -> None:
    """Copies a bundle's file to `into`, going on where it was cut off. Whether it is the right one, unpacking tells.

    `bytes_a_s`: at most so fast; 0: as fast as it goes. Raises Refused: it can't be read; OSError: it can't be written.
    Cancelling it keeps what has come.
    """
    try:
        fd = await in_thread(lambda: os.open(source, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise Refused(
            f"{source} can't be read on this machine: {error.strerror}: give the path of a .glb file"
        ) from error
    pace = Pace(bytes_a_s, time.monotonic())
    incoming = Incoming(disk, into, digest)
    try:
        await in_thread(incoming.open)
        try:
            while chunk := await in_thread(lambda: os.pread(fd, CHUNK_BYTES, incoming.received_bytes)):
                await asyncio.sleep(pace.wait_s(len(chunk), time.monotonic()))
                await in_thread(partial(incoming.add, chunk))
                progress(incoming.received_bytes)
        finally:
            await in_thread(incoming.close)
    finally:
        os.close(fd)
