"""Whose steps hold the event loop, while somebody looks. Off, it costs nothing; on, some 0.6 us a step.

Every callback that the loop runs has a context, and the context says whose it is (`gridlink.module.owner`): so each
step of each task is timed as a whole, also of tasks that were there before. Reading the thread's CPU time costs more
than most steps take, so a step below SHORT_NS counts as CPU time whole; of a longer one, what sleeps is left out. (On
uvloop what arrives on a socket isn't timed itself; the tasks that it wakes are.)
"""

from __future__ import annotations

import asyncio
import asyncio.events
import time
from collections.abc import Callable
from typing import Any

from gridlink.module.owner import owner
from gridlink.node.footprint.steps import Steps

SHORT_NS = 1_000_000
Undo = Callable[[], None]


class Accounting:
    """Of one event loop. `look` turns it on for a while; it turns itself off when nobody has looked for that long."""

    def __init__(self) -> None:
        self.steps: dict[str, Steps] = {}  # by instance; "" is the node itself
        self.since_s = 0.0  # monotonic; when this look began
        self._until_s = 0.0
        self._undo: Undo | None = None
        self._cpu_mark_ns = self._total_mark_ns = 0

    @property
    def is_on(self) -> bool:
        """Whether it counts."""
        return self._undo is not None

    def look(self, for_s: float) -> None:
        """Counts from now, if it doesn't yet, and for `for_s` seconds (real) at least."""
        now_s = time.monotonic()
        self._until_s = max(self._until_s, now_s + for_s)
        if self._undo is not None:
            return
        loop = asyncio.get_running_loop()
        self.since_s, self.steps = now_s, {}
        self._cpu_mark_ns, self._total_mark_ns = time.thread_time_ns(), 0
        asyncios = isinstance(loop, asyncio.BaseEventLoop)
        self._undo = self._wrap_handles() if asyncios else self._wrap_call_soon(loop)
        loop.call_later(for_s, self._lapse, loop)

    def _lapse(self, loop: asyncio.AbstractEventLoop) -> None:
        left_s = self._until_s - time.monotonic()
        if left_s > 0 and self._undo is not None:
            loop.call_later(left_s, self._lapse, loop)
        else:
            self.stop()

    def stop(self) -> None:
        """Counts no more, and forgets. May be called twice."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
        self.steps, self._until_s = {}, 0.0

    def _of(self, name: str) -> Steps:
        steps = self.steps[name] = Steps()
        return steps

    def _long(self, steps: Steps, took_ns: int) -> None:
        """Asks what the thread has done since it was last asked: that, but for the short steps since, is this one's."""
        cpu_ns, total_ns = time.thread_time_ns(), sum(one.total_ns for one in self.steps.values())
        shorter_ns = total_ns - took_ns - self._total_mark_ns
        its_ns = min(took_ns, max(cpu_ns - self._cpu_mark_ns - shorter_ns, 0))
        steps.slept_ns += took_ns - its_ns
        self._cpu_mark_ns, self._total_mark_ns = cpu_ns, total_ns

    def _wrap_handles(self) -> Undo:
        """asyncio's own loop runs everything, timers and ready sockets too, by `Handle._run`."""
        plain, now_ns, known, of, long = (
            asyncio.events.Handle._run,
            time.perf_counter_ns,
            self.steps,
            self._of,
            self._long,
        )

        def timed(handle: Any) -> None:
            began_ns = now_ns()
            plain(handle)
            took_ns = now_ns() - began_ns
            name = handle._context.get(owner, "")
            steps = known.get(name) or of(name)
            steps.add(took_ns)
            if took_ns >= SHORT_NS:
                long(steps, took_ns)

        def undo() -> None:
            asyncio.events.Handle._run = plain  # type: ignore[method-assign]

        asyncio.events.Handle._run = timed  # type: ignore[method-assign,assignment]
        return undo

    def _wrap_call_soon(self, loop: Any) -> Undo:
        """uvloop's handles are C; but tasks and futures, asyncio's own there too, go through the loop's `call_soon`."""
        plain, now_ns = loop.call_soon, time.perf_counter_ns

        def timed(callback: Callable[..., Any], *arguments: Any) -> None:
            began_ns = now_ns()
            try:
                callback(*arguments)
            finally:
                took_ns, name = now_ns() - began_ns, owner.get()
                steps = self.steps.get(name) or self._of(name)
                steps.add(took_ns)
                if took_ns >= SHORT_NS:
                    self._long(steps, took_ns)

        def call_soon(callback: Callable[..., Any], *arguments: Any, context: Any = None) -> Any:
            return plain(timed, callback, *arguments, context=context)

        def undo() -> None:
            del loop.call_soon

        loop.call_soon = call_soon
        return undo
