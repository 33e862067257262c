"""Reads a packed bundle entry by entry, in bounded memory, and trusts nothing in it.

Two places of the file are read side by side: the directory at its end, which says what is to come, and the data. An
entry that says one thing here and another there is refused, and so is data that doesn't end where it should.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from appmanager.packed.errors import BundleInvalid
from appmanager.packed.limits import MIB, Limits
from appmanager.packed.names import CONTENTS, MAX_PATH_BYTES, InOrder
from appmanager.packed.zipform import CENTRAL, END, ZipEnd, ZipEntry, read_central, read_end
from appmanager.store.disk import Disk

CHUNK_BYTES = 64 * 1024
MAX_CONTENTS_BYTES = 16 * MIB


class PackedBundle:
    """A `.glb` file. `with PackedBundle(disk, path, limits) as packed`: surveyed, so that data can be read."""

    def __init__(self, disk: Disk, path: Path, limits: Limits) -> None:
        self._disk, self._path, self._limits = disk, path, limits
        self._data: BinaryIO
        self._end: ZipEnd

    def __enter__(self) -> PackedBundle:
        """Opens it and looks at all names and sizes. Raises BundleInvalid, OSError."""
        self._data = self._disk.open(self._path)
        try:
            self._survey()
        except BaseException:
            self._data.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def entries(self) -> Iterator[ZipEntry]:
        """All entries in order. Raises BundleInvalid."""
        names, offset, left = InOrder(), 0, self._end.size_bytes
        with self._disk.open(self._path) as directory:
            directory.seek(self._end.offset)
            for number in range(self._end.entries):
                header = _exactly(directory, CENTRAL.size)
                length = CENTRAL.unpack(header)[10]
                if length > MAX_PATH_BYTES:
                    raise BundleInvalid(f"entry {number + 1}: a name of {length} bytes, {MAX_PATH_BYTES} are allowed")
                entry = read_central(header, _exactly(directory, length))
                left -= CENTRAL.size + length
                if number == 0 and entry.name != CONTENTS:
                    raise BundleInvalid(f"its first entry is {entry.name!r}, expected {CONTENTS}: use `gridlink pack`")
                if number > 0:
                    names.take(entry.name)
                if entry.offset != offset or entry.end > self._end.offset:
                    raise BundleInvalid(f"{entry.name!r} overlaps another entry, or leaves a gap")
                offset = entry.end
                yield entry
        if offset != self._end.offset or left:
            raise BundleInvalid("there is something between its entries and their directory")

    def read(self, entry: ZipEntry) -> Iterator[bytes]:
        """The content of the entry that comes next, in chunks. Raises BundleInvalid as soon as one is wrong."""
        self._data.seek(entry.offset)
        local = entry.local()
        if _exactly(self._data, len(local)) != local:
            raise BundleInvalid(f"{entry.name!r} is not what the directory at the end says")
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        packed, size, crc = entry.packed_bytes, 0, 0
        waiting = b""
        while not inflate.eof:
            if not waiting:
                waiting = _exactly(self._data, min(CHUNK_BYTES, packed))
                packed -= len(waiting)
                if not waiting:
                    raise BundleInvalid(f"{entry.name!r} breaks off")
            try:
                chunk = inflate.decompress(waiting, CHUNK_BYTES)
            except zlib.error as error:
                raise BundleInvalid(f"{entry.name!r} is damaged: {error}") from error
            waiting = inflate.unconsumed_tail
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
            if size > entry.size_bytes:
                raise BundleInvalid(f"{entry.name!r} holds more than the {entry.size_bytes} bytes that it says")
            if chunk:
                yield chunk
        if packed or waiting or inflate.unused_data or size != entry.size_bytes or crc != entry.crc:
            raise BundleInvalid(f"{entry.name!r} is damaged: its content doesn't fit its header")

    def _survey(self) -> None:
        file_bytes = self._data.seek(0, 2)
        self._data.seek(max(file_bytes - END.size, 0))
        self._end = read_end(self._data.read(END.size), file_bytes)
        limits, unpacked = self._limits, 0
        if self._end.entries > limits.files + 1 or self._end.entries == 0:
            raise BundleInvalid(f"it holds {self._end.entries} entries, expected 1 to {limits.files + 1}")
        for entry in self.entries():
            limit = MAX_CONTENTS_BYTES if entry.name == CONTENTS else limits.file_bytes
            if entry.size_bytes > limit:
                raise BundleInvalid(f"{entry.name!r} unpacks to {entry.size_bytes} bytes, {limit} are allowed")
            unpacked += entry.size_bytes
            if unpacked > limits.unpacked_bytes:
                raise BundleInvalid(f"it unpacks to more than {limits.unpacked_bytes} bytes, which are allowed")
        if limits.free_bytes is not None and unpacked > limits.free_bytes:
            raise BundleInvalid(f"it needs {unpacked} bytes on the disk, {limits.free_bytes} are free: make room")


def _exactly(file: BinaryIO, size_bytes: int) -> bytes:
    body = file.read(size_bytes)
    if len(body) != size_bytes:
        raise BundleInvalid("it breaks off: it is truncated")
    return body
