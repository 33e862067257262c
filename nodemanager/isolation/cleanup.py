"""Takes out of the interpreter what an unloaded space left in it, so that loading and unloading stays flat in memory.

Only what is that space's goes: entries are told apart by the defining module or by the marked builtins, never by guess.
"""

from __future__ import annotations

import gc
import linecache
import logging
import sys
from collections.abc import Callable
from types import MethodType, ModuleType
from typing import Any

from nodemanager.isolation.space import HANDLER_OF, Space


def clean(space: Space) -> None:
    """Undoes what the space's code registered, empties its caches and drops its modules. Runs its atexit callbacks."""
    while space.left_behind:
        _run_callback(space, space.left_behind.pop())
    _clean_warnings(space)
    _clean_logging(space)
    _clean_type_caches(space)
    _clean_paths(space)
    space.modules.clear()
    space.finders.clear()


def _run_callback(space: Space, callback: Callable[[], object]) -> None:
    try:
        space.run(callback)
    except Exception:
        logging.getLogger(__name__).exception("an atexit callback of %s failed at its unload", space.name)


def _clean_paths(space: Space) -> None:
    below = tuple(root + "/" for root in space.roots)
    names = tuple(f" {top}." for top in space.tops)
    for path in [path for path in list(sys.path_importer_cache) if path in space.roots or path.startswith(below)]:
        sys.path_importer_cache.pop(path, None)
    for file in list(linecache.cache):
        if file.startswith(below) or (file.startswith("<") and any(name in file for name in names)):
            linecache.cache.pop(file, None)


def _clean_warnings(space: Space) -> None:
    warnings: Any = sys.modules["warnings"]
    kept = [entry for entry in warnings.filters if not space.owns(entry[2])]
    if len(kept) != len(warnings.filters):
        warnings.filters[:] = kept
        getattr(warnings, "_filters_mutated", getattr(warnings, "_filters_mutated_lock_held", lambda: None))()
    registries: list[dict[Any, Any]] = [
        vars(module).get("__warningregistry__", {}) for module in sys.modules.values() if isinstance(module, ModuleType)
    ]
    for registry in [*registries, warnings.onceregistry]:
        for key in [key for key in list(registry) if isinstance(key, tuple) and space.owns(key[1])]:
            registry.pop(key, None)


def _clean_logging(space: Space) -> None:
    manager: Any = logging.Logger.manager
    for name, logger in [("root", logging.root), *manager.loggerDict.items()]:
        if isinstance(logger, logging.Logger):
            for handler in [handler for handler in logger.handlers if _is_handler_of(space, handler)]:
                logger.removeHandler(handler)
            logger.filters[:] = [entry for entry in logger.filters if not space.owns(entry)]
            if space.owns(type(logger)):
                del manager.loggerDict[name]
    if manager.loggerClass is not None and space.owns(manager.loggerClass):
        manager.loggerClass = None


def _is_handler_of(space: Space, handler: object) -> bool:
    return vars(handler).get(HANDLER_OF) is space or space.owns(type(handler))


def _clean_type_caches(space: Space) -> None:
    for clear in getattr(sys.modules.get("typing"), "_cleanups", ()):
        clear()
    for module, caches in (("ctypes", ("_pointer_type_cache", "_c_functype_cache")), ("copyreg", ("dispatch_table",))):
        for cache in (getattr(sys.modules.get(module), name, {}) for name in caches):
            for key in [key for key in list(cache) if _mentions(space, key)]:
                del cache[key]
    metadata: Any = sys.modules.get("importlib.metadata")
    if metadata is not None:
        getattr(metadata.FastPath.__new__, "cache_clear", lambda: None)()


def _mentions(space: Space, key: Any) -> bool:
    if isinstance(key, tuple):
        return any(_mentions(space, part) for part in key)
    return isinstance(key, type) and space.owns(key)


def exit_callbacks() -> int:
    """How many callbacks atexit has been given so far; those that were unregistered count, too."""
    atexit: Any = sys.modules.get("atexit")
    return 0 if atexit is None else atexit._ncallbacks()


def forget_exit_callbacks(space: Space) -> None:
    """Takes a plainly hosted bundle's callbacks out of atexit. Nothing recorded them: all its functions are tried.

    Not where atexit has been given none since the bundle came: the look at all objects takes as long as a collection.
    """
    atexit: Any = sys.modules.get("atexit")
    if exit_callbacks() == space.exit_callbacks:
        return
    for thing in gc.get_objects():
        if space.marks(thing.__func__ if type(thing) is MethodType else thing):
            atexit.unregister(thing)
