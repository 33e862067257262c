"""Receives a bundle from a file of this machine: for a site without JetStream, and for a memory stick."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appmanager.provisioning.blocking import in_own_thread, in_thread
from appmanager.provisioning.pace import Pace
from appmanager.store.disk import Disk
from appmanager.store.incoming import Incoming
from gridlink.errors import Refused

CHUNK_BYTES = 128 * 1024
MOST_BYTES = 1024 * 1024 * 1024
_KINDS = {stat.S_IFDIR: "directory", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}


async def receive_file(
    disk: Disk,
    source: Path,
    into: Path,
    digest: str,
    *,
    bytes_a_s: float = 0.0,
    free_bytes: int | None = None,
    progress: Callable[[int], None] = lambda received_bytes: None,
) -> None:
    """Copies a bundle's file to `into`, going on where it was cut off. Whether it is the right one, unpacking tells.

    `bytes_a_s`: at most so fast; 0: as fast as it goes. `free_bytes`: of the disk; None: not known. Raises Refused: it
    can't be read, is no file, too long, or has no room; OSError: it can't be written. Cancelling keeps what has come.
    """
    fd, size_bytes = await in_own_thread(partial(_opened, source))
    pace = Pace(bytes_a_s, time.monotonic())
    incoming = Incoming(disk, into, digest)
    try:
        await in_thread(incoming.open)
        try:
            _check_room(size_bytes - incoming.received_bytes, free_bytes)
            while incoming.received_bytes < size_bytes:
                part_bytes = min(CHUNK_BYTES, size_bytes - incoming.received_bytes)
                chunk = await in_own_thread(partial(os.pread, fd, part_bytes, incoming.received_bytes))
                if not chunk:
                    break  # it became shorter
                await asyncio.sleep(pace.wait_s(len(chunk), time.monotonic()))
                await in_thread(partial(incoming.add, chunk))
                progress(incoming.received_bytes)
        finally:
            await in_thread(incoming.close)
    finally:
        os.close(fd)


def _opened(source: Path) -> tuple[int, int]:
    """A file and its size. What isn't one, a pipe or a device, is refused, and never waited for. Raises Refused."""
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(
            f"{source} can't be read on this machine: {error.strerror}: give the path of a .glb file"
        ) from error
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_size <= MOST_BYTES:
        return fd, found.st_size
    os.close(fd)
    if stat.S_ISREG(found.st_mode):
        raise Refused(f"{source} has {found.st_size} bytes, expected at most {MOST_BYTES}: is it a .glb file?")
    raise Refused(
        f"{source} is no file but a {_KINDS.get(stat.S_IFMT(found.st_mode), 'device')}: give a .glb file's path"
    )


def _check_room(missing_bytes: int, free_bytes: int | None) -> None:
    """Raises Refused where the rest of it has no room."""
    if free_bytes is not None and missing_bytes > free_bytes:
        raise Refused(f"{missing_bytes} bytes are to come, and {free_bytes} are free: make room")
