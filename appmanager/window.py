"""The health window of a new version: its own `healthy()`, and the watchdog's word.

A node of several modules has a watchdog: what that found is counted of the module, and its silence is nobody's in
particular: another of its modules may be imported, or start. A process of a module's own has no watchdog, and needs
none here: where a module keeps its loop, its node answers nothing.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from appmanager.in_process import ProcessChild
from gridlink.errors import StartFailed
from gridlink.lifecycle import State

if TYPE_CHECKING:
    from appmanager.appmanager import AppManager
    from appmanager.children import Child

ENDED = (State.BACKOFF, State.FAILED, State.STOPPED)
LOOK_S = 0.05
AGAIN_S = 0.25
SILENT_S = 1.0
"""A process of a module's own that answers nothing for so long has a module that keeps its loop."""


class ChildEnded(StartFailed):
    """It has ended, and answers nobody any more."""


class Window:
    """Of one child. What isn't well is raised as StartFailed."""

    def __init__(self, manager: AppManager, child: Child) -> None:
        self._manager, self._child = manager, child
        self._stuck = 0  # before the window
        self.is_silent = False  # its node answers nothing

    async def opens(self) -> None:
        """What the watchdog has said so far isn't meant: the child ran before."""
        self._stuck = await self._look()

    async def health(self) -> dict[str, str]:
        """What the module says of itself, and nothing where the watchdog has had to say something else."""
        health: dict[str, str] = await self.while_alive("health", self._child.instance)
        return health

    async def while_alive(self, question: str, payload: Any) -> Any:
        """What the child's node answers. Raises StartFailed where the module keeps the loop, now or since `opens`."""
        asked = self._asking(question, payload)
        try:
            while True:
                if await self._look() > self._stuck:
                    raise StartFailed(
                        f"{self._child.instance} held the event loop until the watchdog had to interrupt it"
                    )
                if (await asyncio.wait({asked}, timeout=AGAIN_S))[0]:
                    return asked.result()
        finally:
            asked.cancel()

    async def answered(self, question: str, payload: Any, within_s: float = math.inf) -> Any:
        """What the child's node answers. Raises ChildEnded, or StartFailed when nothing came in `within_s`.

        Only time in which this loop runs counts: while it is held itself, no answer has a chance.
        """
        child, asked, waited_s = self._child, self._asking(question, payload), 0.0
        try:
            while not (await asyncio.wait({asked}, timeout=LOOK_S))[0]:
                waited_s += LOOK_S
                if child.state in ENDED:
                    raise ChildEnded(f"{child.instance} is {child.state}: {child.reason}")
                if waited_s > within_s:
                    self.is_silent = True
                    raise StartFailed(f"{child.instance} has kept the event loop of its process for {within_s:g} s")
        finally:
            asked.cancel()
        return asked.result()

    def _asking(self, question: str, payload: Any) -> asyncio.Task[Any]:
        asking = self._manager.hosting.ask(self._child.instance, question, payload)
        return self._manager.tasks.spawn(asking, name=f"{question} {self._child.instance}", awaited=True)

    async def _look(self) -> int:
        """How often it has held the loop for so long that the watchdog interrupts."""
        within_s = SILENT_S if isinstance(self._child, ProcessChild) else math.inf
        found = (await self.answered("counters", None, within_s)).get(self._child.instance)
        if found is None:
            raise StartFailed(f"{self._child.instance} isn't there any more")
        return int(found["stuck"])
