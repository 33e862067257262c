"""A bundle that is unpacked and may come to run: what its files say of it. None of its code is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appmanager.packed.contents import MAX_LINE_BYTES, Header, read_header
from appmanager.packed.errors import BundleInvalid
from appmanager.packed.names import CONTENTS
from gridlink.document import Document
from gridlink.manifest import Manifest
from gridlink.node.bundle import read_bundle


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle. `documents`: its contract, by `role storage`, `topic measurement`, once a process has imported it."""

    directory: Path
    header: Header
    manifest: Manifest
    documents: Mapping[str, Document] = field(default_factory=dict)


def read_candidate(directory: Path) -> Candidate:
    """The bundle in a directory. Raises BundleInvalid, ManifestInvalid: also where list and manifest disagree."""
    try:
        with (directory / CONTENTS).open("rb") as file:
            header = read_header(file.readline(MAX_LINE_BYTES))
    except OSError as error:
        raise BundleInvalid(f"{directory}: it has no {CONTENTS}: pack it with `gridlink pack`") from error
    manifest = read_bundle(directory).manifest
    if (header.name, header.version) != (manifest.name, manifest.version):
        raise BundleInvalid(
            f"{directory}: module.json says {manifest.name} {manifest.version}, the list of files "
            f"{header.name} {header.version}: pack it again"
        )
    return Candidate(directory, header, manifest)
