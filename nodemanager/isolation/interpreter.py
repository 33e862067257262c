"""Arms and disarms this interpreter: swaps the type of `sys.modules`, replaces some functions of importlib and stdlib.

Either all of it is in place or nothing. Disarming gives back the very functions and modules that were there.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures.thread import ThreadPoolExecutor
from typing import Any

from nodemanager.isolation import hooks, threads
from nodemanager.isolation.extension import set_type
from nodemanager.isolation.finder import scoped_find_spec, scoped_module_lock
from nodemanager.isolation.metadata import scoped_find_distributions
from nodemanager.isolation.modules import Modules
from nodemanager.isolation.space import HOST, BundleSpace, exiled, is_shared

_Wrapper = Callable[[Callable[..., Any]], Any]


def _replacements() -> list[tuple[Any, str, _Wrapper]]:
    bootstrap: Any = importlib.import_module("importlib._bootstrap")
    external: Any = importlib.import_module("importlib._bootstrap_external")
    return [
        (bootstrap, "_get_module_lock", scoped_module_lock),
        (bootstrap, "_find_spec", scoped_find_spec),
        (importlib.util, "_find_spec", scoped_find_spec),
        (external.PathFinder, "find_distributions", scoped_find_distributions),
        (threading.Thread, "start", threads.scoped_start),
        (threading.Thread, "_bootstrap_inner", threads.scoped_bootstrap),
        (ThreadPoolExecutor, "submit", threads.scoped_submit),
        (atexit, "register", hooks.scoped_register),
        (atexit, "unregister", hooks.scoped_unregister),
        (logging.Logger, "addHandler", hooks.scoped_add_handler),
    ]


class Interpreter:
    """What was changed in this process, and how to take it back. One is enough, as there is one `sys.modules`."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, Any]] = []

    @property
    def armed(self) -> bool:
        """Whether `sys.modules` dispatches."""
        return isinstance(sys.modules, Modules)

    def arm(self, bundles: Iterable[BundleSpace]) -> None:
        """Swaps everything in; the plainly hosted `bundles` get names of their own. Raises nothing halfway."""
        replacements = [(thing, name, wrap, vars(thing)[name]) for thing, name, wrap in _replacements()]
        set_type(sys.modules, Modules)
        for thing, name, wrap, present in replacements:
            self._saved.append((thing, name, present))
            setattr(thing, name, wrap(getattr(thing, name)))
        settle(list(bundles))
        atexit.register(self.disarm)

    def disarm(self) -> None:
        """Gives the host its modules and functions back. What bundles still have loaded is lost to them."""
        atexit.unregister(self.disarm)
        if not self.armed:
            return
        set_type(sys.modules, dict)
        sys.modules.update(HOST.modules)
        HOST.modules.clear()
        while self._saved:
            setattr(*self._saved.pop())


def settle(bundles: list[BundleSpace]) -> None:
    """Moves each module that isn't shared out of the real dict into its space. A reader finds it in one of the two."""
    for name in list(dict.keys(sys.modules)):
        top = name.partition(".")[0]
        if not is_shared(top):
            space = next((space for space in bundles if top in space.tops), HOST)
            space.modules[name] = dict.__getitem__(sys.modules, name)
            dict.pop(sys.modules, name, None)


def exile(tops: Iterable[str]) -> None:
    """A bundle has packages of these names: those of the stdlib stop being shared, and move to the host's space."""
    for top in tops:
        exiled[top] = exiled.get(top, 0) + 1
        for name in [name for name in list(dict.keys(sys.modules)) if name.partition(".")[0] == top]:
            HOST.modules[name] = dict.__getitem__(sys.modules, name)
            dict.pop(sys.modules, name)


def recall(tops: Iterable[str]) -> None:
    """The bundle is gone: names that nobody else has a package of are the stdlib's again, for everybody."""
    for top in tops:
        exiled[top] -= 1
        if not exiled[top]:
            del exiled[top]
            for name in [name for name in list(HOST.modules) if name.partition(".")[0] == top]:
                dict.__setitem__(sys.modules, name, HOST.modules[name])
                del HOST.modules[name]
