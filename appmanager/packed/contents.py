"""The list of files in a bundle (`.contents.json`): JSON, one value a line. Pure.

The first line says what the bundle is, each other line is a file, in the order of their names. The SHA-256 of the list
is the bundle's digest: it stands for every byte in every file, and is known before the first file is unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from appmanager.packed.errors import BundleInvalid
from appmanager.packed.names import MAX_PATH_BYTES
from gridlink.manifest import Name, Version

T = TypeVar("T")

FORM = 1
MAX_LINE_BYTES = MAX_PATH_BYTES * 6 + 512
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


@dataclass(frozen=True, slots=True)
class Header:
    """The first line. `python` and `platform`: what its libraries were resolved for, if it brings any.

    `platform` is empty where nothing in it is made for one; `libraries`: distribution -> version, as in `lib/`.
    """

    form: Literal[1]
    name: Name
    version: Version
    python: str = ""
    platform: str = ""
    libraries: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file: path in the bundle, size, whether it is a program (mode 755, else 644), digest of its content."""

    path: str
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Sha256
    program: bool = False


def line(value: Header | Listed) -> bytes:
    """A line of the list."""
    return msgspec.json.encode(value) + b"\n"


def read_header(body: bytes) -> Header:
    """The first line. Raises BundleInvalid."""
    return _read(body, Header, "what the bundle is")


def read_listed(body: bytes) -> Listed:
    """Another line. Raises BundleInvalid."""
    return _read(body, Listed, "a file")


def _read(body: bytes, type_: type[T], what: str) -> T:
    if not body.endswith(b"\n"):
        raise BundleInvalid(f"the list of files breaks off in a line of {len(body)} bytes, where {what} was expected")
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleInvalid(f"the list of files: expected {what}: {str(error).replace('`', chr(39))}") from error


def schema() -> dict[str, Any]:
    """The JSON Schema of a line."""
    (header, listed), definitions = msgspec.json.schema_components((Header, Listed), ref_template="#/$defs/{name}")
    return {"anyOf": [header, listed], "$defs": definitions}
