"""An armed interpreter's bundles: enters and leaves them. Begins with a self-check on two bundles of one name."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

from gridlink.errors import ModuleInvalid
from nodemanager.isolation import plain
from nodemanager.isolation.check import failed_probe
from nodemanager.isolation.cleanup import clean
from nodemanager.isolation.errors import NotHostable
from nodemanager.isolation.interpreter import Interpreter, exile, recall
from nodemanager.isolation.layers import Layers, copied
from nodemanager.isolation.layout import Layout, natives_below
from nodemanager.isolation.natives import mapped, refusal
from nodemanager.isolation.owner import add_root, remove_roots
from nodemanager.isolation.scratch import remove_copy
from nodemanager.isolation.space import BundleSpace
from nodemanager.isolation.threads import threads_of

# fmt: off
THE_INTERPRETERS_OWN: Final = frozenset((
    "__future__", "abc", "ast", "asyncio", "codecs", "collections", "concurrent", "contextlib", "contextvars",
    "copyreg", "ctypes", "dataclasses", "encodings", "enum", "functools", "importlib", "inspect", "io", "keyword",
    "linecache", "logging", "opcode", "os", "pathlib", "pickle", "pkgutil", "posixpath", "re", "runpy", "site",
    "stat", "string", "threading", "token", "tokenize", "traceback", "types", "typing", "warnings", "weakref",
    "zipimport",
))
# fmt: on


class Armed:
    """Isolated bundles. Not thread-safe: its owner's lock guards entering and leaving."""

    def __init__(self, plainly_hosted: Iterable[BundleSpace]) -> None:
        self._interpreter = Interpreter()
        self._layers = Layers()
        self._plain = list(plainly_hosted)
        self._scratch: dict[BundleSpace, str] = {}

    def begin(self) -> str | None:
        """Arms, and isolates what was hosted plainly. Gives the reason and undoes it all where the self-check fails."""
        self._interpreter.arm(self._plain)
        for space in self._plain:
            plain.lift(space)
            space.isolated = True
        reason = self._probe()
        if reason is not None:
            self._interpreter.disarm()
            for space in self._plain:
                plain.enter_again(space)
        return reason

    def _probe(self) -> str | None:
        spaces: list[BundleSpace] = []

        def load(directory: Path, name: str) -> ModuleType:
            spaces.append(BundleSpace(name, [str(directory)], {"gridlink_probe"}, ()))
            return spaces[-1].run(importlib.import_module, "gridlink_probe")

        try:
            return failed_probe(load)
        except Exception as error:  # noqa: BLE001 (whatever it is, this interpreter is not fit)
            return f"the self-check failed: {type(error).__name__}: {error}"
        finally:
            for space in spaces:
                clean(space)

    def enter(self, space: BundleSpace, layout: Layout) -> None:
        """Gives a bundle names of its own. Raises NotHostable, ModuleInvalid; then nothing was changed."""
        own = sorted(space.tops & (THE_INTERPRETERS_OWN | set(sys.builtin_module_names)))
        if own:
            raise ModuleInvalid(
                f"{space.name}: the interpreter itself needs a module named {own[0]!r}: rename the package"
            )
        if layout.natives:
            self._take_natives(space, layout)
        try:
            if layout.lib is not None:
                self._layers.attach(space, layout.lib)
        except BaseException:
            self._drop_scratch(space)
            raise
        exile(top for top in space.tops if top in sys.stdlib_module_names)
        space.tops |= layout.namespaces - sys.stdlib_module_names
        space.isolated = True
        for root in {layout.directory, *space.roots}:
            add_root(root, space)

    def _take_natives(self, space: BundleSpace, layout: Layout) -> None:
        now = mapped(also=self._layers.inodes())
        reason = refusal(layout.natives, now)
        if reason is not None:
            raise NotHostable(f"{space.name}: {reason}: run it in mode fork", reason=reason)
        natives = layout.natives
        if any(now.holds(native) for native in natives):
            self._scratch[space] = space.roots[0] = copied(space.name, layout.directory)
            natives = tuple(natives_below(space.roots[0]))
        self._layers.claim(space, natives)

    def _drop_scratch(self, space: BundleSpace) -> None:
        self._layers.disclaim(space)
        if space in self._scratch:
            remove_copy(self._scratch.pop(space))

    def leave(self, space: BundleSpace, keep_lib: bool) -> None:
        """Takes a bundle out, with what it left in the interpreter."""
        left = [thread.name for thread in threads_of(space)]
        if left:
            logging.getLogger(__name__).warning("%s was unloaded, but its threads %s still run", space.name, left)
        clean(space)
        self._layers.release(space, keep_lib)
        remove_roots(space)
        recall(top for top in space.tops if top in sys.stdlib_module_names)
        space.tops.clear()  # a thread that still runs finds nothing, rather than loading it again
        self._drop_scratch(space)

    def end(self) -> None:
        """Drops parked layers and disarms."""
        self._layers.clear()
        self._interpreter.disarm()
