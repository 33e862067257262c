"""Says whose a log record, a warning, an exception or a task is, plainly hosted or isolated. Installs nothing."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any

from nodemanager.isolation.owner import kind_of, owner
from nodemanager.isolation.space import HOST, MARK, BundleSpace, LibSpace, Space


def name_of(space: Space) -> str | None:
    """The bundle's name; None for the host."""
    return None if space is HOST else space.name


def current_bundle() -> str | None:
    """The name of the bundle whose code is running or on whose behalf the stdlib is; None for the host."""
    return name_of(owner(sys._getframe(1)))


def bundle_of_frame(frame: FrameType | None) -> str | None:
    """The bundle that a frame's code belongs to, without looking at its callers."""
    if frame is None:
        return None
    space = frame.f_builtins.get(MARK) or kind_of(frame.f_code.co_filename)
    return space.name if isinstance(space, BundleSpace | LibSpace) else None


def bundle_of_exception(error: BaseException) -> str | None:
    """The bundle whose code was deepest in the traceback; None where only the host's was."""
    name, step = None, error.__traceback__
    while isinstance(step, TracebackType):
        name = bundle_of_frame(step.tb_frame) or name
        step = step.tb_next
    return name


def bundle_of_task(task: asyncio.Task[Any]) -> str | None:
    """The bundle whose coroutine a task runs; None for the host's and for a task that has ended."""
    return bundle_of_frame(getattr(task.get_coro(), "cr_frame", None))


def named_log_record(original: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """A log record factory that adds `record.bundle`: the bundle's name, or "" for the host."""

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = original(*args, **kwargs)
        record.bundle = name_of(owner(sys._getframe(1))) or ""
        return record

    return make


def named_warning(original: Callable[..., str]) -> Callable[..., str]:
    """A `warnings.formatwarning` that puts the bundle's name in front."""

    def format_warning(message: Any, category: Any, filename: str, lineno: int, line: str | None = None) -> str:
        space = kind_of(filename)
        name = space.name if isinstance(space, BundleSpace) else name_of(owner(sys._getframe(1)))
        text = original(message, category, filename, lineno, line)
        return text if name is None else f"[{name}] {text}"

    return format_warning


def named_task(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
    """A task factory (`loop.set_task_factory`): a bundle's task without a name is called after the bundle."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **kwargs)
    if kwargs.get("name") is None:
        name = bundle_of_task(task)
        if name is not None:
            task.set_name(f"{name}: {task.get_name()}")
    return task
