"""Owned tasks: every task belongs to a Tasks, which waits for it, reports its error and ends it on close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextvars import Context
from typing import Any

from gridlink.errors import GridlinkError

log = logging.getLogger("gridlink.tasks")


class Tasks:
    """A set of background tasks with one owner.

    `aclose` cancels what still runs and waits for it, at most `grace_s`; what doesn't end by then is named in the log.
    A task that raises is logged at once: nothing is swallowed. Closing twice is fine; spawning after close raises.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(tuple(self._running))

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, Any],
        *,
        name: str,
        context: Context | None = None,
        awaited: bool = False,
    ) -> asyncio.Task[Any]:
        """Runs `coroutine` as a task of this owner; in `context`, if given. `awaited`: the caller takes its error."""
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"{self.owner} is closed and starts no task: {name}")
        task = asyncio.get_running_loop().create_task(coroutine, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard if awaited else self._done)
        return task

    def spawn_briefly(self, coroutine: Coroutine[Any, Any, None], name: str, context: Context) -> asyncio.Task[None]:
        """Runs one that catches all that is raised in it, and has its task `leave` as it ends.

        A callback for that would cost as much as the task; `create_task` makes a name first that nobody wants.
        """
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name, context=context)
        self._running.add(task)
        return task

    def leave(self, task: asyncio.Task[Any]) -> None:
        """Takes a task that ends, and was spawned briefly, off this owner."""
        self._running.discard(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            trace = None if isinstance(error, GridlinkError) else error  # ours say it all in a sentence
            log.error("%s: the task %s failed: %s", self.owner, task.get_name(), error, exc_info=trace)

    async def wait(self, grace_s: float) -> None:
        """Waits up to `grace_s` for the tasks that run now to end by themselves."""
        pending = self._others()
        if pending:
            await asyncio.wait(pending, timeout=grace_s)

    async def aclose(self, grace_s: float = 5.0) -> None:
        """Cancels all tasks but the calling one and waits up to `grace_s` for them."""
        self._closed = True
        pending = self._others()
        for task in pending:
            task.cancel()
        if pending:
            _, stuck = await asyncio.wait(pending, timeout=grace_s)
            for task in stuck:
                log.error("%s: the task %s ignores its cancellation for %s s", self.owner, task.get_name(), grace_s)

    def _others(self) -> set[asyncio.Task[Any]]:
        return {task for task in self._running if task is not asyncio.current_task()}


def is_cancelled() -> bool:
    """Whether the running task is being cancelled; else a CancelledError came from something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class ContainedTasks(Tasks):
    """The tasks of a module: `sys.exit` in one of them fails that task alone, and doesn't end the node."""

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, Any],
        *,
        name: str,
        context: Context | None = None,
        awaited: bool = False,
    ) -> asyncio.Task[Any]:
        """See Tasks.spawn."""
        if self._closed:
            coroutine.close()
        return super().spawn(_contained(coroutine), name=name, context=context, awaited=awaited)


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"it {ends_no_node(error)}") from error


def ends_no_node(error: SystemExit | KeyboardInterrupt) -> str:
    """What a module did, and should do instead: the end of a sentence that begins with its name."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r}), which ends no node: return, or raise"
    return "raised KeyboardInterrupt, which ends no node: raise an error of its own"
