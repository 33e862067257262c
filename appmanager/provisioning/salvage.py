"""A module whose journal is damaged: what was being done to it isn't known any more. What is whole of it stays.

A journal is begun by a rename, whole, so one without a first record is no power cut's. Between the two renames of a
switch no version is in place: then the one that was kept last is put back, as its undoing would have.
"""

from __future__ import annotations

import orjson

from appmanager.store.aside import put_aside
from appmanager.store.disk import Disk
from appmanager.store.incoming import forget
from appmanager.store.layout import ABOUT, BUNDLE, Layout
from appmanager.store.tree import move, read_whole, remove_durably
from appmanager.store.versions import MANIFEST, Versions
from gridlink.errors import ManifestInvalid
from gridlink.manifest import parse


def salvage(disk: Disk, layout: Layout, module: str, why: str) -> str:
    """Puts the journal aside, and a version in place where there is none; says so. Raises OSError: do it again."""
    here = next((one for one in Versions(disk, layout).installed() if one.name == module), None)
    if here is not None and here.manifest is not None:
        found = f"version {here.manifest.version} is in place, and stays"
    elif here is not None:
        found = "what is in its place can't be read"
    else:
        found = _put_back(disk, layout, module)
    remove_durably(disk, layout.staged(module))
    forget(disk, layout.incoming(module))
    aside = put_aside(disk, layout.own, layout.journals / module)
    return f"{why}, so what was being done to it isn't known: {found}; the journal is put aside as {aside}"


def _put_back(disk: Disk, layout: Layout, module: str) -> str:
    """What went out of its place last, and no older one. An uninstalled one has no `version.json`, and stays out."""
    numbers = [one for one in disk.names(layout.versions(module)) if disk.kind(layout.version(module, one) / BUNDLE)]
    if not numbers or disk.kind(layout.place(module)):
        return "no version is in place"
    kept = layout.version(module, numbers[-1])
    version = _version_of(disk, layout, module, numbers[-1])
    if not disk.kind(kept / ABOUT):
        return f"no version is in place, and none is put back: {kept} was being uninstalled"
    if not version:
        return f"no version is in place, and none is put back: {kept / BUNDLE / MANIFEST} can't be read"
    move(disk, kept / BUNDLE, layout.place(module))
    return f"version {version}, which was kept last, is put back"


def _version_of(disk: Disk, layout: Layout, module: str, number: str) -> str:
    file = layout.version(module, number) / BUNDLE / MANIFEST
    try:
        manifest = parse(orjson.loads(read_whole(disk, file)), str(file))
    except (OSError, orjson.JSONDecodeError, ManifestInvalid):
        return ""
    return manifest.version if manifest.name == module else ""
