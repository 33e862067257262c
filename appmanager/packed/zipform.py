"""The one form in which a bundle's zip may be: what is not exactly so is refused. Pure.

Entries follow each other without a gap, deflated, of one time (1980-01-01), without extra fields, encryption, comments
or zip64; the directory at the end repeats them in order. So the same files give the same bytes, and no two programs
can see different files in it.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import Any

from appmanager.packed.errors import BundleInvalid

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_MADE_BY_UNIX, _NEEDED, _UTF8, _DEFLATED, _TIME, _DATE = 3 << 8 | 20, 20, 0x800, 8, 0, 0x21
PLAIN, PROGRAM = 0o644, 0o755


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file in the zip. `offset`: of its local header."""

    name: str
    mode: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int

    @property
    def _common(self) -> tuple[Any, ...]:
        name = len(self.name.encode("utf-8", "surrogateescape"))
        return (_NEEDED, _UTF8, _DEFLATED, _TIME, _DATE, self.crc, self.packed_bytes, self.size_bytes, name, 0)

    @property
    def encoded(self) -> bytes:
        """The name as it is written."""
        return self.name.encode("utf-8", "surrogateescape")

    def local(self) -> bytes:
        """The header before its data."""
        return LOCAL.pack(_LOCAL, *self._common) + self.encoded

    def central(self) -> bytes:
        """Its line in the directory at the end."""
        attributes = (stat.S_IFREG | self.mode) << 16
        return CENTRAL.pack(_CENTRAL, _MADE_BY_UNIX, *self._common, 0, 0, 0, attributes, self.offset) + self.encoded

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + LOCAL.size + len(self.encoded) + self.packed_bytes


@dataclass(frozen=True, slots=True)
class ZipEnd:
    """The last bytes of the zip: how many entries, and where their directory is."""

    entries: int
    size_bytes: int
    offset: int

    def pack(self) -> bytes:
        """As it is written."""
        return END.pack(_END, 0, 0, self.entries, self.entries, self.size_bytes, self.offset, 0)


def read_end(body: bytes, file_bytes: int) -> ZipEnd:
    """The end of a zip of that size, from its last bytes. Raises BundleInvalid."""
    if len(body) != END.size or body[:4] != _END:
        raise BundleInvalid("it doesn't end as a bundle does: it is truncated, or no file of `gridlink pack`")
    signature, _, _, _, entries, size_bytes, offset, _ = END.unpack(body)
    found = ZipEnd(entries, size_bytes, offset)
    if signature != _END or found.pack() != body or offset + size_bytes + END.size != file_bytes:
        raise BundleInvalid("the directory at its end doesn't fit the file: it is damaged, or not of `gridlink pack`")
    return found


def read_central(header: bytes, name: bytes) -> ZipEntry:
    """The entry of a line of the directory. Raises BundleInvalid for one that isn't exactly in the form."""
    fields = CENTRAL.unpack(header)
    flags, method = fields[3], fields[4]
    crc, packed, size, _, extra, comment, _, _, attributes, offset = fields[7:]
    shown = repr(name.decode("utf-8", "replace"))
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BundleInvalid(f"{shown} is {_KINDS.get(kind, 'no file')}: a bundle holds files alone")
    if flags & 1:
        raise BundleInvalid(f"{shown} is encrypted")
    if extra or comment or method != _DEFLATED or name.endswith(b"/"):
        raise BundleInvalid(f"{shown} is not written as `gridlink pack` does: make the file with it")
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise BundleInvalid(f"{shown}: expected a name in UTF-8") from error
    found = ZipEntry(text, stat.S_IMODE(attributes >> 16), crc, packed, size, offset)
    if found.central() != header + name or found.mode not in (PLAIN, PROGRAM):
        raise BundleInvalid(f"{shown} is not written as `gridlink pack` does: make the file with it")
    return found


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory entry",
}
