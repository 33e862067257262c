"""Writes a packed bundle: the same files give the same bytes."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appmanager.packed.contents import Header, Listed, line
from appmanager.packed.errors import BundleInvalid
from appmanager.packed.names import CONTENTS, InOrder, order
from appmanager.packed.zipform import PLAIN, PROGRAM, ZipEnd, ZipEntry

CHUNK_BYTES = 64 * 1024
LEVEL = 9


@dataclass(frozen=True, slots=True)
class Source:
    """A file to pack: where it goes, and where it is."""

    path: str
    file: Path
    program: bool = False


def pack(out: BinaryIO, header: Header, sources: Iterable[Source]) -> str:
    """Writes the bundle to `out`, which can seek; returns its digest. Reads each file twice.

    Raises BundleInvalid: a name that a bundle can't have, two that clash, a file that changes meanwhile; OSError.
    """
    ordered = sorted(sources, key=lambda source: order(source.path))
    names = InOrder()
    for source in ordered:
        names.take(source.path)
    listed = [_listed(source) for source in ordered]
    contents = b"".join([line(header), *map(line, listed)])
    archive = Archive(out)
    archive.add(CONTENTS, [contents])
    for source, one in zip(ordered, listed, strict=True):
        digest = hashlib.sha256()
        archive.add(one.path, _hashed(_chunks(source.file), digest), PROGRAM if one.program else PLAIN)
        if digest.hexdigest() != one.sha256:
            raise BundleInvalid(f"{source.file} was changed while it was packed: pack again")
    archive.close()
    return hashlib.sha256(contents).hexdigest()


class Archive:
    """The zip itself, in the one form. It takes what it is given: `pack` sees to names and digests."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._entries: list[ZipEntry] = []

    def add(self, name: str, chunks: Iterable[bytes], mode: int = PLAIN) -> ZipEntry:
        """Writes one entry."""
        offset = self._entries[-1].end if self._entries else 0
        self._out.seek(offset + len(ZipEntry(name, mode, 0, 0, 0, offset).local()))
        deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        crc = size = packed = 0
        for chunk in chunks:
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            packed += self._out.write(deflate.compress(chunk))
        packed += self._out.write(deflate.flush())
        entry = ZipEntry(name, mode, crc, packed, size, offset)
        self._out.seek(offset)
        self._out.write(entry.local())
        self._entries.append(entry)
        return entry

    def close(self) -> None:
        """Writes the directory of what was added."""
        offset = self._entries[-1].end if self._entries else 0
        directory = b"".join(entry.central() for entry in self._entries)
        self._out.seek(offset)
        self._out.write(directory + ZipEnd(len(self._entries), len(directory), offset).pack())


def _listed(source: Source) -> Listed:
    digest = hashlib.sha256()
    size = sum(len(chunk) for chunk in _hashed(_chunks(source.file), digest))
    return Listed(source.path, size, digest.hexdigest(), source.program)


def _hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
