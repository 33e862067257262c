"""Loading of native modules. What C code writes into the real `sys.modules` ends in the space of whom it is loaded for.

Cython and mypyc write natural names with PyDict_SetItemString, past every method. While one initialises, reads are
strict; after it the names are swept into their space. One at a time: two windows couldn't tell whose a name is.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

from nodemanager.isolation.modules import Modules, StrictModules, initialising
from nodemanager.isolation.space import Space, is_shared

R = TypeVar("R")

_bootstrap: Any = importlib.import_module("importlib._bootstrap")
_one_at_a_time: Any = _bootstrap._ModuleLock("[gridlink] initialising an extension module")


def set_type(thing: dict[str, ModuleType], cls: type) -> None:
    """Makes a dict an instance of `cls`, a type of the same layout, for Python and C alike."""
    import ctypes  # noqa: PLC0415 (0.6 MiB that an untouched interpreter doesn't need)

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(cls))  # an object holds its type; ours are never freed
    ctypes.c_void_p.from_address(id(thing) + ctypes.sizeof(ctypes.c_ssize_t)).value = id(cls)


def sweep(space: Space) -> None:
    """Moves names that aren't shared out of the real dict."""
    for name in [name for name in list(dict.keys(sys.modules)) if not is_shared(name.partition(".")[0])]:
        module = dict.pop(sys.modules, name)
        home = space.home(name.partition(".")[0], None) or space
        home.tops.add(name.partition(".")[0])
        home.modules.setdefault(name, module)


def _initialise(space: Space, step: Callable[[Any], R], argument: Any) -> R:
    locked = _lock()
    outer, initialising.space = initialising.space, space
    initialising.depth += 1
    if initialising.depth == 1 and isinstance(sys.modules, Modules):
        set_type(sys.modules, StrictModules)
    try:
        return space.run(step, argument)
    finally:
        if isinstance(sys.modules, Modules):
            sweep(space)
        initialising.space = outer
        initialising.depth -= 1
        if not initialising.depth and isinstance(sys.modules, Modules):
            set_type(sys.modules, Modules)
        if locked:
            _one_at_a_time.release()


def _lock() -> bool:
    try:
        _one_at_a_time.acquire()
    except _bootstrap._DeadlockError:  # the other side waits for a module of ours: go on, as importlib does
        return False
    return True


class ScopedExtensionLoader(ExtensionFileLoader):
    """Loads a native module for a space."""

    def __init__(self, space: Space, name: str, path: str) -> None:
        super().__init__(name, path)
        self.space = space

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Runs `PyInit_*`."""
        return _initialise(self.space, super().create_module, spec)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the second phase, where there is one."""
        _initialise(self.space, super().exec_module, module)
