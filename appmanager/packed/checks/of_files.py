"""Checks that look at the bundle's files alone."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from appmanager.packed.candidate import Candidate
from appmanager.packed.contents import MAX_LINE_BYTES, read_listed
from appmanager.packed.elf import HEADER_BYTES, is_native, platform_of, python_of
from appmanager.packed.names import CONTENTS
from appmanager.packed.target import Host, Site

CONFIG, LIB, CACHE = "config.json", "lib", "__pycache__"
_CHUNK_BYTES = 64 * 1024
_OURS = frozenset({"gridlink", "appmanager", "nodemanager"})


class Digests:
    """Every file is what the list says: on the disk, after a restart too. `config.json` is the site's."""

    name = "digest"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """The files that were changed."""
        with (candidate.directory / CONTENTS).open("rb") as contents:
            contents.readline(MAX_LINE_BYTES)
            while line := contents.readline(MAX_LINE_BYTES):
                listed = read_listed(line)
                if listed.path != CONFIG and _digest(candidate.directory / listed.path) != listed.sha256:
                    yield f"{listed.path} isn't what was packed: receive the bundle again"


class Contained:
    """Nothing but plain files, each with one name: a hard link shares its content with whoever holds the other."""

    name = "files"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """What is no plain file."""
        for path in _below(candidate.directory):
            status = (candidate.directory / path).lstat()
            if not stat.S_ISREG(status.st_mode):
                yield f"{path} is no file: a bundle holds files alone"
            elif status.st_nlink > 1:
                yield f"{path} has another name (a hard link): copy it"


class Layout:
    """The manifest's package is there, and no name of the bundle's hides one of Python's or of Gridlink's."""

    name = "layout"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """What is missing, and what is in the way."""
        root = candidate.directory
        package = candidate.manifest.entry.partition(":")[0].partition(".")[0]
        inside = (root / package, root / f"{package}.py", root / LIB / package)
        if package not in _OURS and not any(path.exists() for path in inside):
            yield f"module.json names the package {package!r}, which isn't in the bundle: add it, or correct `entry`"
        for folder in (root, root / LIB):
            for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
                top = name.partition(".")[0]
                if not name.endswith("-info") and (top in _OURS or _hides(folder / name, top)):
                    yield f"{folder.relative_to(root) / name} hides {top!r} of the host: rename it, or leave it out"


class Natives:
    """Native libraries are for the machine and its Python."""

    name = "native libraries"

    def reasons(self, candidate: Candidate, host: Host, site: Site) -> Iterator[str]:
        """Those that are not."""
        minor = ".".join(host.python.split(".")[:2])
        for path in _below(candidate.directory):
            if not is_native(path):
                continue
            with (candidate.directory / path).open("rb") as file:
                platform = platform_of(file.read(HEADER_BYTES))
            python = python_of(path)
            if platform != host.platform:
                yield f"{path} is for {platform}, this is {host.platform}: pack with --platform {host.platform}"
            elif python not in ("", minor):
                yield f"{path} is for Python {python}, this is {minor}: pack with --python {minor}"


def _hides(path: Path, top: str) -> bool:
    importable = path.suffix == ".py" or (path.is_dir() and "." not in path.name)
    return importable and top in sys.stdlib_module_names


def _below(root: Path) -> Iterator[str]:
    """The paths of all files, but for what Python caches beside them once the bundle runs."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != CACHE)
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (str(Path(folder, name).relative_to(root)) for name in sorted(files + links))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
