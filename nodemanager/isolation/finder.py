"""Finds modules for whom asks, and gives bundle code its marked builtins. Standard importlib does the rest.

A bundle's names are looked for below its own roots alone; the host's `sys.path` serves the host and what a bundle may
see of it. What a bundle may not see is not found: `find_spec` gives None and `import` ModuleNotFoundError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import (
    ExtensionFileLoader,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from nodemanager.isolation.extension import ScopedExtensionLoader
from nodemanager.isolation.owner import owner
from nodemanager.isolation.space import HOST, Space, is_shared

FindSpec = Callable[..., ModuleSpec | None]


class NamespacePath(list[str]):
    """The portions of a bundle's namespace package: fixed, for a bundle's roots never change."""

    def __repr__(self) -> str:  # importlib.resources asks for "NamespacePath" in it
        return f"NamespacePath({super().__repr__()})"


class _Marked:
    """Loads a module with its space's builtins."""

    space: Space

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self.space.builtins
        super().exec_module(module)  # type: ignore[misc]
        adopt_finders(self.space)
        if module.__name__ == "pkg_resources":
            for root in self.space.roots:
                module.working_set.add_entry(root)


class ScopedSourceLoader(_Marked, SourceFileLoader):  # type: ignore[misc]
    """Loads a `.py` for a space."""

    def __init__(self, space: Space, name: str, path: str) -> None:
        super().__init__(name, path)
        self.space = space


class ScopedSourcelessLoader(_Marked, SourcelessFileLoader):
    """Loads a `.pyc` for a space."""

    def __init__(self, space: Space, name: str, path: str) -> None:
        super().__init__(name, path)
        self.space = space


def adopt_finders(space: Space) -> None:
    """Finders that a bundle's library put on `sys.meta_path` (six does) serve that bundle alone."""
    for finder in [finder for finder in sys.meta_path if space.owns(getattr(finder, "find_spec", finder))]:
        sys.meta_path.remove(finder)
        space.finders.append(finder)


def find_in_space(space: Space, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """A space's module, loaded with its builtins."""
    if space is HOST:
        return None
    spec = PathFinder.find_spec(name, space.roots if path is None else path, target)
    if spec is not None:
        return scoped(space, spec)
    for finder in space.finders:
        spec = _ask(finder, name, path, target)
        if spec is not None:
            break
    return spec


def _ask(finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    if hasattr(finder, "find_spec"):
        spec: ModuleSpec | None = finder.find_spec(name, path, target)
        return spec
    loader = finder.find_module(name, path)  # as CPython 3.11 does; old copies of six have nothing else
    return None if loader is None else spec_from_loader(name, loader)


def scoped(space: Space, spec: ModuleSpec) -> ModuleSpec:
    """The spec with the loader that its space needs. The host's sources are loaded as ever."""
    loader: Any = spec.loader
    if type(loader) is ExtensionFileLoader:
        spec.loader = ScopedExtensionLoader(space, loader.name, loader.path)
    elif space is HOST:
        pass
    elif type(loader) is SourceFileLoader:
        spec.loader = ScopedSourceLoader(space, loader.name, loader.path)
    elif type(loader) is SourcelessFileLoader:
        spec.loader = ScopedSourcelessLoader(space, loader.name, loader.path)
    elif loader is None and spec.submodule_search_locations is not None:
        spec.submodule_search_locations = NamespacePath(spec.submodule_search_locations)
    return spec


class PlainFinder:
    """On `sys.meta_path` while bundles are hosted plainly: finds the package of one bundle in its directory alone."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The bundle's module, or None for every other name."""
        return find_in_space(self.space, name, path, target) if name.partition(".")[0] in self.space.tops else None

    def invalidate_caches(self) -> None:
        """Has none."""


def scoped_find_spec(original: FindSpec) -> FindSpec:
    """What replaces `importlib._bootstrap._find_spec` while armed."""

    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if is_shared(top):
            return original(name, path, target)
        frame = sys._getframe(1)
        home = owner(frame, top).home(top, frame)
        if home is not None and home is not HOST:
            return find_in_space(home, name, path, target)
        spec = None if home is None else original(name, path, target)
        return None if spec is None else scoped(HOST, spec)

    return find_spec


def scoped_module_lock(original: Callable[[str], Any]) -> Callable[[str], Any]:
    """What replaces `importlib._bootstrap._get_module_lock` while armed: one lock a name and space."""

    def get_module_lock(name: str) -> Any:
        top = name.partition(".")[0]
        if is_shared(top):
            return original(name)
        frame = sys._getframe(1)
        home = owner(frame, top).home(top, frame)
        return original(name if home is None else home.lock_prefix + name)

    return get_module_lock
