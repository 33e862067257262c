"""A bundle's files have moved (a staged version was switched in): what is loaded stays, later imports look there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodemanager.isolation.layout import LIB
from nodemanager.isolation.owner import add_root
from nodemanager.isolation.space import BundleSpace, Space


def rehome_bundle(space: BundleSpace, directory: str) -> None:
    """Points a bundle and its `lib/` layer at `directory`. Fresh copies of native libraries stay where they are."""
    old = space.roots[0]
    lib = space.lib
    rehome(space, old, directory)
    add_root(directory, space)
    if lib is not None and lib.scratch is None:
        rehome(lib, lib.roots[0], f"{directory}/{LIB}")


def rehome(space: Space, old: str, new: str) -> None:
    """Rewrites the paths of a space's loaded modules from below `old` to below `new`."""
    if old == new:
        return

    def moved(path: str) -> str:
        return new + path[len(old) :] if path == old or path.startswith(old + "/") else path

    space.roots[:] = map(moved, space.roots)
    for module in list(space.modules.values()):
        _rehome_module(module, moved)


def _rehome_module(module: Any, moved: Callable[[str], str]) -> None:
    spec, loader = getattr(module, "__spec__", None), getattr(module, "__loader__", None)
    holders = ((module, "__file__"), (module, "__cached__"), (spec, "origin"), (spec, "cached"), (loader, "path"))
    for holder, attribute in holders:
        path = getattr(holder, attribute, None)
        if isinstance(path, str):
            setattr(holder, attribute, moved(path))
    locations = getattr(module, "__path__", None)
    if isinstance(locations, list):
        locations[:] = [moved(path) for path in locations]
