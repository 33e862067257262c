"""What a module has left in its node when it has ended: tasks that nobody owns are cancelled, all of it is named."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gridlink
from gridlink.node.footprint.stacks import owner_of

log = logging.getLogger("gridlink.node")

_OURS = str(Path(gridlink.__file__).parent)


def end_leftovers(instance: str, directory: Path) -> None:
    """Of an instance whose bundle is in `directory`. A thread can't be ended from outside: it is only named."""
    tasks = [task for task in asyncio.all_tasks() if owner_of(task) == instance and not _is_ours(task)]
    for task in tasks:
        task.cancel()
    if tasks:
        names = ", ".join(sorted(task.get_name() for task in tasks))
        log.warning("%s left tasks behind (%s): they are cancelled: make them with self.tasks.spawn", instance, names)
    threads = ", ".join(sorted(_threads(f"{directory}/")))
    if threads:
        log.warning("%s left threads behind (%s), which run on: end them in stop()", instance, threads)


def _is_ours(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    file: str = code.co_filename if code is not None else ""
    return task is asyncio.current_task() or file.startswith(_OURS) or "/nats/" in file


def _threads(directory: str) -> Iterator[str]:
    running = sys._current_frames()
    for thread in threading.enumerate():
        frame = running.get(thread.ident or 0)
        while frame is not None and not frame.f_code.co_filename.startswith(directory):
            frame = frame.f_back
        if frame is not None and thread is not threading.current_thread():
            yield thread.name
