"""Loads bundles into this interpreter: plainly where nothing collides, else with names of their own.

A load either succeeds whole or leaves nothing behind. All Isolation objects of a process share its one interpreter.
"""

from __future__ import annotations

import contextvars
import gc
import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

from gridlink.errors import ModuleInterrupted, ModuleInvalid, raised_at
from nodemanager.isolation.bundle import LoadedBundle
from nodemanager.isolation.check import unsupported
from nodemanager.isolation.errors import NotHostable
from nodemanager.isolation.layout import Layout, read_layout
from nodemanager.isolation.space import CURRENT, BundleSpace

_HOSTS_OWN = frozenset({"gridlink", "appmanager", "nodemanager"})


class Isolation:
    """Loads and unloads bundles. Threads may load at the same time."""

    def self_check(self) -> str | None:
        """Why bundles can't be isolated in this interpreter, or None: then it is armed.

        The first bundle that needs it has it tried. Without one, see `python -m nodemanager.isolation`.
        """
        return _process.arm()

    def keep_copies_in(self, directory: Path) -> None:
        """Where copies of native libraries are made that are loaded already; what killed processes left there goes."""
        if directory.is_dir() or _process.armed:
            from nodemanager.isolation.scratch import keep_in  # noqa: PLC0415 (most nodes never make one)

            keep_in(directory)
        _process.copies = directory

    def remove_copies(self) -> None:
        """Removes the copies: this process is about to end. What it has mapped of them stays mapped until then."""
        if _process.armed:
            from nodemanager.isolation.scratch import remove_all  # noqa: PLC0415

            remove_all()

    @property
    def armed(self) -> bool:
        """Whether `sys.modules` dispatches now. Once armed, a process stays so until `close`."""
        return _process.armed

    def load(self, directory: Path, entry: str, *, name: str, visible: Sequence[str] = ()) -> LoadedBundle:
        """Loads the bundle in `directory` and gives what `entry` ("package:Class") names.

        `visible`: the host's libraries that it may see beside the stdlib and gridlink. Raises NotHostable where it
        can't share this interpreter (run it in mode `fork`), ModuleInvalid where its entry can't be imported.
        """
        return _process.load(directory, entry, name, visible)

    def close(self) -> None:
        """Unloads all bundles and gives the interpreter back as it was. May be called twice."""
        _process.close()


class _Process:
    """What is loaded into this process. One object, as there is one `sys.modules`."""

    def __init__(self) -> None:
        self._broken: str | None = None
        self._lock = threading.RLock()
        self._bundles: dict[BundleSpace, LoadedBundle | None] = {}
        self._armed: Any = None  # an armed.Armed: loaded only when it is needed
        self.copies: Path | None = None  # where they are made; None: in the temporary directory

    @property
    def armed(self) -> bool:
        return self._armed is not None

    def load(self, directory: Path, entry: str, name: str, visible: Sequence[str]) -> LoadedBundle:
        package = entry.partition(":")[0]
        top = package.partition(".")[0]
        layout = _layout(directory, name)
        tops = layout.packages | layout.namespaces
        if top not in tops and top in _HOSTS_OWN.union(visible):
            return LoadedBundle(None, _of_host(entry, name), name, lambda keep_lib, collect: None)
        if top not in tops or layout.packages & _HOSTS_OWN:
            raise ModuleInvalid(
                f"{name}: its entry is {entry!r}, but {directory} holds {sorted(layout.packages) or 'no package'}"
                f" (names of the host: {sorted(_HOSTS_OWN)} aren't a bundle's to use)"
            )
        space = BundleSpace(name, [layout.directory], layout.packages | {top}, visible)
        with self._lock:
            if not self.armed and not self._collides(space, layout):
                space.tops |= {top for top in layout.namespaces if not self._is_taken(top, layout.directory)}
                return self._load_plainly(space, entry)
            self._isolate(space, layout)
        return self._import(space, entry)

    def _collides(self, space: BundleSpace, layout: Layout) -> bool:
        if layout.lib is not None or layout.natives or layout.has_metadata:
            return True
        return any(self._is_taken(top, layout.directory) for top in space.tops)

    def _is_taken(self, top: str, directory: str) -> bool:
        if top in sys.modules or top in sys.stdlib_module_names or any(top in space.tops for space in self._bundles):
            return True
        spec = importlib.util.find_spec(top)
        return spec is not None and spec.origin is not None and not spec.origin.startswith(directory + "/")

    def _load_plainly(self, space: BundleSpace, entry: str) -> LoadedBundle:
        from nodemanager.isolation.plain import enter  # noqa: PLC0415

        enter(space)
        self._bundles[space] = None
        return self._import(space, entry)

    def arm(self) -> str | None:
        """Why this interpreter can't be armed, which is remembered; None: it is."""
        with self._lock:
            self._broken = self._broken or unsupported()
            if self._broken is not None or self._armed is not None:
                return self._broken
            from nodemanager.isolation.armed import Armed  # noqa: PLC0415 (ctypes and more, not for an idle node)

            armed = Armed(self._bundles)
            self._broken = armed.begin()
            if self._broken is not None:
                return self._broken
            self._armed = armed
            if self.copies is not None:
                from nodemanager.isolation.scratch import keep_in  # noqa: PLC0415

                keep_in(self.copies)
            return None

    def _isolate(self, space: BundleSpace, layout: Layout) -> None:
        reason = self.arm()
        if reason is not None:
            raise NotHostable(f"{space.name}: {reason}: run it in mode fork", reason=reason)
        self._armed.enter(space, layout)
        self._bundles[space] = None

    def _import(self, space: BundleSpace, entry: str) -> LoadedBundle:
        context = contextvars.copy_context()
        context.run(CURRENT.set, space)
        try:
            target = context.run(space.run, _resolve, entry)
        except BaseException as error:
            self._leave(space)
            if not isinstance(error, Exception | SystemExit | ModuleInterrupted):
                raise
            why = f"{type(error).__name__}: {error}{raised_at(error)}"
            from gridlink.node.foreign import hint  # noqa: PLC0415 - where an import failed

            more = hint(Path(space.roots[0]))
            raise ModuleInvalid(f"{space.name}: {entry} can't be loaded: {more}{why}") from error
        bundle = LoadedBundle(space, target, space.name, partial(self._leave, space))
        self._bundles[space] = bundle
        return bundle

    def _leave(self, space: BundleSpace, keep_lib: bool = False, collect: bool = True) -> None:
        with self._lock:
            if self._bundles.pop(space, space) is space:
                return
            if space.isolated:
                self._armed.leave(space, keep_lib)
            else:
                from nodemanager.isolation.plain import leave  # noqa: PLC0415

                leave(space)
        if collect:
            gc.collect()

    def close(self) -> None:
        with self._lock:
            for bundle in [bundle for bundle in self._bundles.values() if bundle is not None]:
                bundle.unload()
            if self._armed is not None:
                self._armed.end()
                self._armed = None


def _layout(directory: Path, name: str) -> Layout:
    try:
        return read_layout(directory)
    except OSError as error:
        raise ModuleInvalid(f"{name}: its directory can't be read: {error}") from error


def _of_host(entry: str, name: str) -> Any:
    try:
        return _resolve(entry)
    except (ImportError, AttributeError) as error:
        raise ModuleInvalid(f"{name}: {entry} can't be loaded from the host: {error}") from error


def _resolve(entry: str) -> Any:
    module, _, attributes = entry.partition(":")
    found = importlib.import_module(module)
    return reduce(getattr, attributes.split("."), found) if attributes else found


_process = _Process()
