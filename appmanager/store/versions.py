"""The versions of a module that are kept, and the one that is installed. What a power cut left half is not counted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from appmanager.packed.names import CONTENTS
from appmanager.store.disk import Disk
from appmanager.store.layout import ABOUT, BUNDLE, Layout
from appmanager.store.tree import read_whole, remove_durably, write_whole
from gridlink.errors import ManifestInvalid
from gridlink.manifest import Manifest, parse

MANIFEST = "module.json"
_CHUNK_BYTES = 64 * 1024


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
        found = []
        for number in self._disk.names(self._layout.versions(module)):
            directory = self._layout.version(module, number)
            if self._disk.kind(directory / ABOUT) and self._disk.kind(directory / BUNDLE / MANIFEST):
                found.append(Kept(number, self.about(module, number)))
        return found

    def about(self, module: str, number: str) -> About:
        """What is known of one. Raises OSError: it isn't there."""
        body = read_whole(self._disk, self._layout.version(module, number) / ABOUT)
        return msgspec.convert(orjson.loads(body), About)

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
        """Keeps the newest ones, and removes what is half."""
        whole = [kept.number for kept in self.kept(module)][-most:] if most else []
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
