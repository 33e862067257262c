"""What bundle code registers in the interpreter is written down with the bundle, so that unloading can undo it."""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable
from typing import Any

from nodemanager.isolation.owner import owner
from nodemanager.isolation.space import HANDLER_OF, HOST


class ExitCallback:
    """An atexit callback of a bundle. Called at unload: forgotten by atexit, then run."""

    __slots__ = ("args", "function", "kwargs")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs

    def __call__(self) -> None:
        """Forgets the callback, then runs it."""
        atexit.unregister(self.function)
        self.function(*self.args, **self.kwargs)


def scoped_register(original: Callable[..., Any]) -> Callable[..., Any]:
    """What replaces `atexit.register` while armed."""

    def register(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        original(func, *args, **kwargs)
        space = owner(sys._getframe(1))
        if space is not HOST:
            space.left_behind.append(ExitCallback(func, args, kwargs))
        return func

    return register


def scoped_unregister(original: Callable[..., Any]) -> Callable[..., Any]:
    """What replaces `atexit.unregister` while armed."""

    def unregister(func: Callable[..., Any], /) -> None:
        original(func)
        left = owner(sys._getframe(1)).left_behind
        left[:] = [callback for callback in left if getattr(callback, "function", None) != func]

    return unregister


def scoped_add_handler(original: Callable[..., Any]) -> Callable[..., Any]:
    """What replaces `logging.Logger.addHandler` while armed: libraries add a NullHandler each time they are loaded."""

    def addHandler(self: logging.Logger, hdlr: logging.Handler) -> None:  # noqa: N802 (logging's name)
        original(self, hdlr)
        space = owner(sys._getframe(1))
        if space is not HOST:
            vars(hdlr)[HANDLER_OF] = space

    return addHandler
