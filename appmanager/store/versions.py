"""The versions of a module that are kept, and the one that is installed. What a power cut left half is not counted."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from appmanager.packed.names import CONTENTS
from appmanager.store.disk import Disk
from appmanager.store.layout import ABOUT, BUNDLE, Layout
from appmanager.store.tree import read_whole, remove_durably, write_whole
from gridlink.errors import GridlinkError, ManifestInvalid
from gridlink.manifest import Manifest, parse

log = logging.getLogger("gridlink.provisioning")

MANIFEST = "module.json"
_CHUNK_BYTES = 64 * 1024


class VersionDamaged(GridlinkError):
    """What is known of a version that is kept isn't what was written."""

    code = 422


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a version that is kept. `has_state`: its state lies beside it. `at_s`: Unix time."""

    version: str
    digest: str
    has_state: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that can be gone back to."""

    number: str
    about: About


@dataclass(frozen=True, slots=True)
class Damaged:
    """A version that was kept, and can't be gone back to any more: what of it is damaged."""

    number: str
    why: str


@dataclass(frozen=True, slots=True)
class Installed:
    """A bundle in the managed directory. `manifest` is None where it can't be read; no `digest`: put there by hand."""

    place: str
    name: str
    manifest: Manifest | None
    digest: str


class Versions:
    """Of one managed directory. Blocks: call it in a thread. Raises OSError."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk, self._layout = disk, layout

    def kept(self, module: str) -> list[Kept]:
        """Those that are whole, the oldest first."""
        return [one for one in self._found(module) if isinstance(one, Kept)]

    def damaged(self, module: str) -> list[Damaged]:
        """Those that were whole once, by their names: what a power cut left half is none of them."""
        return [one for one in self._found(module) if isinstance(one, Damaged)]

    def _found(self, module: str) -> list[Kept | Damaged]:
        found: list[Kept | Damaged] = []
        for number in self._disk.names(self._layout.versions(module)):
            directory = self._layout.version(module, number)
            if self._disk.kind(directory / ABOUT) and self._disk.kind(directory / BUNDLE / MANIFEST):
                found.append(self._read_kept(module, number))
        return found

    def _read_kept(self, module: str, number: str) -> Kept | Damaged:
        file = self._layout.version(module, number) / BUNDLE / MANIFEST
        try:
            about = self.about(module, number)
            parse(orjson.loads(read_whole(self._disk, file)), str(file))
        except orjson.JSONDecodeError as error:
            return Damaged(number, f"{file}: {error}")
        except (OSError, VersionDamaged, ManifestInvalid) as error:
            return Damaged(number, str(error))
        return Kept(number, about)

    def about(self, module: str, number: str) -> About:
        """What is known of one. Raises OSError: it isn't there; VersionDamaged: it isn't what was written."""
        file = self._layout.version(module, number) / ABOUT
        try:
            return msgspec.convert(orjson.loads(read_whole(self._disk, file)), About)
        except (orjson.JSONDecodeError, msgspec.ValidationError) as error:
            raise VersionDamaged(f"{file}: expected what is known of a version: {error}") from error

    def next_number(self, module: str) -> str:
        """For one more."""
        numbers = [int(name) for name in self._disk.names(self._layout.versions(module)) if name.isdigit()]
        return f"{max(numbers, default=0) + 1:06d}"

    def describe(self, module: str, number: str, about: About) -> None:
        """Writes down what a version is."""
        write_whole(self._disk, self._layout.version(module, number) / ABOUT, msgspec.json.encode(about))

    def forget(self, module: str, number: str) -> None:
        """Removes a version: first what makes it count."""
        directory = self._layout.version(module, number)
        remove_durably(self._disk, directory / ABOUT)
        remove_durably(self._disk, directory)

    def prune(self, module: str, most: int) -> None:
        """Keeps the newest ones, and removes what is half; what is damaged too, which is logged."""
        found = self._found(module) if most else []
        for one in found:
            if isinstance(one, Damaged):
                log.warning("%s: version %s can't be gone back to, and is removed: %s", module, one.number, one.why)
        whole = [one.number for one in found if isinstance(one, Kept)][-most:]
        for number in self._disk.names(self._layout.versions(module)):
            if number not in whole:
                self.forget(module, number)

    def installed(self) -> list[Installed]:
        """The bundles in the managed directory."""
        managed = self._layout.managed
        names = [name for name in self._disk.names(managed) if not name.startswith((".", "__"))]
        return [self._read(name) for name in names if self._disk.kind(managed / name) == "directory"]

    def _read(self, place: str) -> Installed:
        directory = self._layout.place(place)
        try:
            manifest = parse(orjson.loads(read_whole(self._disk, directory / MANIFEST)), str(directory / MANIFEST))
        except (OSError, orjson.JSONDecodeError, ManifestInvalid):
            return Installed(place, place, None, "")
        return Installed(place, manifest.name, manifest, self._digest(directory / CONTENTS))

    def _digest(self, contents: Path) -> str:
        if self._disk.kind(contents) != "file":
            return ""
        digest = hashlib.sha256()
        with self._disk.open(contents) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()
