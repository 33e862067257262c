"""Hosting a bundle plainly: natural names in the real `sys.modules`, found in its directory alone. Changes no more.

The bundle's code still carries its mark: its records can be named, and it can be isolated later without a reload.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from nodemanager.isolation.cleanup import clean, exit_callbacks, forget_exit_callbacks
from nodemanager.isolation.finder import PlainFinder
from nodemanager.isolation.owner import add_root, remove_roots
from nodemanager.isolation.space import BundleSpace, is_shared


def enter(space: BundleSpace) -> None:
    """Makes the bundle's names importable, and others than it may see not."""
    space.exit_callbacks = exit_callbacks()
    _open(space)


def _open(space: BundleSpace) -> None:
    sys.meta_path.insert(0, PlainFinder(space))
    space.builtins["__import__"] = _strict_import(space)
    add_root(space.roots[0], space)


def enter_again(space: BundleSpace) -> None:
    """Puts a bundle's modules back into `sys.modules`, after isolating it failed."""
    sys.modules.update(space.modules)
    space.modules.clear()
    space.isolated = False
    remove_roots(space)
    _open(space)


def leave(space: BundleSpace) -> None:
    """Removes the bundle's modules and what they left in the interpreter."""
    space.modules.update(taken_out(space))
    forget_exit_callbacks(space)
    clean(space)
    lift(space)
    remove_roots(space)


def lift(space: BundleSpace) -> None:
    """Ends plain hosting alone: the bundle's modules stay as they are."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "space", None) is not space]
    space.builtins["__import__"] = builtins.__import__


def taken_out(space: BundleSpace) -> dict[str, ModuleType]:
    """Removes the bundle's modules from `sys.modules` and returns them."""
    names = [name for name in sys.modules if name.partition(".")[0] in space.tops]
    return {name: sys.modules.pop(name) for name in names}


def _strict_import(space: BundleSpace) -> Callable[..., ModuleType]:
    def strict_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level == 0 and not is_shared(top) and space.home(top, None) is None:
            raise ModuleNotFoundError(
                f"No module named {name!r} (the host's aren't visible to {space.name})", name=name
            )
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    return strict_import
