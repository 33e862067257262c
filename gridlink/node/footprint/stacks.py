"""Where every task and every thread of a module is: innermost frame first."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from gridlink.module.owner import owner
from gridlink.node.loop_errors import context_of

DEEPEST = 40


@dataclass(frozen=True, slots=True)
class TaskStack:
    """One task, or one thread, and its frames as `file:line function`. `waits_for`: what its innermost frame awaits."""

    name: str
    kind: str  # task or thread
    frames: tuple[str, ...]
    waits_for: str = ""


def stacks_of(instance: str) -> tuple[TaskStack, ...]:
    """Of the tasks that run in the instance's name, however they were made, and of its worker threads."""
    tasks = [task for task in asyncio.all_tasks() if owner_of(task) == instance]
    found = [_task(task) for task in tasks]
    running = sys._current_frames()
    found += [
        TaskStack(thread.name, "thread", tuple(_callers(running[thread.ident])))
        for thread in threading.enumerate()
        if thread.name.startswith(f"{instance}_") and thread.ident in running
    ]
    return tuple(sorted(found, key=lambda one: (one.kind, one.name)))


def owner_of(task: asyncio.Task[Any]) -> str:
    """In whose name a task runs."""
    context = context_of(task)
    return context.get(owner, "") if context is not None else ""


def _task(task: asyncio.Task[Any]) -> TaskStack:
    awaited: Any = task.get_coro()
    frames: list[str] = []
    while len(frames) < DEEPEST and (frame := _first(awaited, "cr_frame", "gi_frame", "ag_frame")) is not None:
        frames.append(_line(frame))
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    waits_for = type(awaited).__qualname__ if awaited is not None else ""
    return TaskStack(task.get_name(), "task", tuple(reversed(frames)), waits_for)


def _first(awaited: Any, *names: str) -> Any:
    """The first of these attributes that there is: coroutines and generators of both kinds name them apart."""
    return next((found for name in names if (found := getattr(awaited, name, None)) is not None), None)


def _callers(frame: FrameType | None) -> Iterator[str]:
    for _ in range(DEEPEST):
        if frame is None:
            return
        yield _line(frame)
        frame = frame.f_back


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
