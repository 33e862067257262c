"""The bundles that are loaded into this interpreter, each with its own package and libraries (see isolation/)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

from gridlink.module.module import Loaded
from gridlink.node.bundle import Bundle, checked
from nodemanager.isolation import Isolation, LoadedBundle

COLLECT_AFTER_S = 1.0


class Loader:
    """Loads bundles by name; one that is loaded again is unloaded first.

    `copies`: a directory of its own for copies of native libraries. What is unloaded gives its memory back within a
    second: a collection holds the loop for 20 ms and more, so one is for all of those that were unloaded since the
    last, as when a node with many modules ends.
    """

    def __init__(self, copies: Path | None = None) -> None:
        self._isolation = Isolation()
        if copies is not None:
            self._isolation.keep_copies_in(copies)
        self._loaded: dict[str, LoadedBundle] = {}
        self._collecting: asyncio.TimerHandle | None = None
        self.on_loaded: Callable[[str], None] = _nothing  # called when a bundle has been imported, before it is used

    def load(self, bundle: Bundle) -> Loaded:
        """The bundle's class, and the context in which its code runs. Raises ModuleInvalid."""
        manifest = bundle.manifest
        self.unload(manifest.name, keep_lib=True)
        loaded = self._isolation.load(bundle.directory, manifest.entry, name=manifest.name, visible=manifest.libraries)
        self._loaded[manifest.name] = loaded
        self.on_loaded(manifest.name)
        return Loaded(checked(loaded.target, manifest.entry), loaded.context, loaded.call)

    def unload(self, name: str, *, keep_lib: bool = False) -> None:
        """Takes a bundle out of the interpreter, if it is there; its module must have ended.

        `keep_lib`: it will be loaded again, so an unchanged `lib/` needn't run again.
        """
        loaded = self._loaded.pop(name, None)
        if loaded is not None:
            loaded.unload(keep_lib=keep_lib, collect=False)
            self._collecting = self._collecting or asyncio.get_running_loop().call_later(COLLECT_AFTER_S, self._collect)

    def end(self) -> None:
        """Leaves no file behind: this process is about to end. May be called twice."""
        self._isolation.remove_copies()

    def _collect(self) -> None:
        self._collecting = None
        gc.collect()


def _nothing(_: str) -> None:
    """Nobody wants to know."""
