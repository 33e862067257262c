"""A loaded bundle: its entry, and the way to take it out again. Unloading may be called twice."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gridlink.errors import Closed
from nodemanager.isolation.space import CURRENT, BundleSpace

P = ParamSpec("P")
R = TypeVar("R")


class LoadedBundle:
    """One loaded bundle. Owned by whoever called `Isolation.load`, who unloads it."""

    def __init__(self, space: BundleSpace | None, target: Any, name: str, unload: Callable[[bool, bool], None]) -> None:
        self.name = name
        self._space = space
        self._target = target
        self._unload = unload

    @property
    def target(self) -> Any:
        """What `entry` names. Raises Closed once unloaded; drop your own references then, or its memory stays."""
        if self._target is None:
            raise Closed(f"{self.name} was unloaded")
        return self._target

    @property
    def isolated(self) -> bool:
        """Whether its names are its own. One that was hosted plainly becomes isolated when the interpreter is armed."""
        return self._space is not None and self._space.isolated

    @property
    def space(self) -> BundleSpace | None:
        """Its space of names; None where the entry is the host's own code (a NodeManager)."""
        return self._space

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls `function` in the bundle's name: what it imports, unpickles or resolves is the bundle's."""
        if self._space is None:
            return function(*args, **kwargs)
        return self.context().run(self._space.run, function, *args, **kwargs)

    def context(self) -> contextvars.Context:
        """A copy of the current context that works for this bundle. Run its tasks in one."""
        context = contextvars.copy_context()
        context.run(CURRENT.set, self._space)
        return context

    def moved(self, directory: Path) -> None:
        """Its files are in `directory` now (a staged version was switched in): later imports look there."""
        if self._space is not None:
            from nodemanager.isolation.moving import rehome_bundle  # noqa: PLC0415 (rare)

            rehome_bundle(self._space, str(directory.resolve()))

    def unload(self, *, keep_lib: bool = False, collect: bool = True) -> None:
        """Removes its modules and all that it left in the interpreter. Its threads and tasks must have ended before.

        `keep_lib`: it is about to be loaded again (a restart); an unchanged `lib/` isn't run again then. A `lib/` with
        native libraries is always kept. `collect`: collects garbage, which takes 20 ms and more; without it whoever
        unloads does so later, as the bundle's memory comes back only then.
        """
        if self._target is not None:
            self._target = None
            self._unload(keep_lib, collect)
            self._space = None
