"""Threads inherit the bundle that starts them or hands them work, for when no frame of it is on their stack."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures.thread import ThreadPoolExecutor, _worker
from threading import Thread
from threading import enumerate as enumerate_threads
from typing import Any

from nodemanager.isolation.owner import inherited, owner
from nodemanager.isolation.space import HOST, BundleSpace, LibSpace, Space

_INHERITED = "_gridlink_space"


def bundle_of(space: Space) -> BundleSpace | None:
    """The bundle that a space's code works for; None for the host's."""
    return space.user(None) if isinstance(space, LibSpace) else space if isinstance(space, BundleSpace) else None


def threads_of(space: BundleSpace) -> list[Thread]:
    """The running threads that a bundle started."""
    return [thread for thread in enumerate_threads() if vars(thread).get(_INHERITED) is space]


def scoped_start(original: Callable[[Thread], None]) -> Callable[[Thread], None]:
    """What replaces `Thread.start` while armed. Workers of a pool serve whoever submits."""

    def start(self: Thread) -> None:
        space = owner(sys._getframe(1))
        if space is not HOST and getattr(self, "_target", None) is not _worker:
            setattr(self, _INHERITED, bundle_of(space))
            if self.name.startswith("Thread-"):
                self.name = f"{space.name}: {self.name}"
        original(self)

    return start


def scoped_bootstrap(original: Callable[[Thread], None]) -> Callable[[Thread], None]:
    """What replaces `Thread._bootstrap_inner` while armed."""

    def _bootstrap_inner(self: Thread) -> None:
        inherited.space = vars(self).get(_INHERITED)
        original(self)

    return _bootstrap_inner


def scoped_submit(original: Callable[..., Any]) -> Callable[..., Any]:
    """What replaces `ThreadPoolExecutor.submit` while armed."""

    def submit(self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        space = bundle_of(owner(sys._getframe(1)))
        if space is None:
            return original(self, function, *args, **kwargs)
        return original(self, _run_for, space, function, args, kwargs)

    return submit


def _run_for(space: Space, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outer, inherited.space = getattr(inherited, "space", None), space
    try:
        return function(*args, **kwargs)
    finally:
        inherited.space = outer
