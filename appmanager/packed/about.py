"""Which module and version a packed bundle is, and its digest, without unpacking it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from appmanager.packed.contents import MAX_LINE_BYTES, read_header
from appmanager.packed.errors import BundleInvalid
from appmanager.packed.limits import Limits
from appmanager.packed.reader import PackedBundle
from appmanager.store.disk import RealDisk


def about(file: Path) -> tuple[str, str, str]:
    """The module's name, its version and the bundle's digest. Raises BundleInvalid, OSError."""
    try:
        with PackedBundle(RealDisk(), file, Limits()) as packed:
            digest, first = hashlib.sha256(), bytearray()
            for chunk in packed.read(next(packed.entries())):
                digest.update(chunk)
                if b"\n" not in first and len(first) < MAX_LINE_BYTES:
                    first += chunk
            header = read_header(bytes(first).partition(b"\n")[0] + b"\n")
    except BundleInvalid as error:
        raise BundleInvalid(f"{file.name}: {error}") from error
    return header.name, header.version, digest.hexdigest()
