"""Watches the event loop of this thread: a timer's signal finds the step that runs, and for how long it has.

No thread and no heartbeat: SIGALRM is delivered without the interpreter's lock, and its handler runs in the loop's
thread between two instructions of whatever runs there. It looks now and then; where it meets a step it looks again
soon, and puts a mark into the loop's queue. The mark's turn means that the step is over.

`signal.signal`, not `add_signal_handler`: that would make the system restart the blocking calls that are to end.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import sys
from collections.abc import Callable
from types import FrameType

from gridlink.errors import ModuleInterrupted
from nodemanager.watchdog.frames import Holder, holder, stack, untouchable
from nodemanager.watchdog.hang import Hang
from nodemanager.watchdog.hold import Hold
from nodemanager.watchdog.ladder import Ladder, Rung, next_sample_s
from nodemanager.watchdog.limits import Limits, Mode
from nodemanager.watchdog.meter import Meter
from nodemanager.watchdog.rest import Rest
from nodemanager.watchdog.step import Steps

Rule = tuple[Limits, Mode]
LOOKS = "looks"
LIVES_EVERY_S = 0.5


class Watchdog:
    """Watches the running loop from `start` to `stop`; both are called in its thread, the process's main one.

    It looks every `look_every_s`; no limit is shorter than `shortest_s`. `rule(module, importing)` gives the limits of
    a module (its name, or an instance) and what to do. `on_hang` is called in the loop once a step that was too long is
    over. `tell(what, text)` reaches the guardian also from a loop that is held: `holds` once a module is named, `hung`
    when it can't be interrupted, `looks` (with the name) as long as a signal is answered here at all, and where many
    steps together make the loop late.
    """

    def __init__(
        self,
        look_every_s: float,
        shortest_s: float,
        rule: Callable[[str, bool], Rule],
        on_hang: Callable[[Hang], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._look_every_s, self._shortest, self._rule = look_every_s, Limits(shortest_s, shortest_s), rule
        self._on_hang, self._tell = on_hang, tell
        self._loop = asyncio.get_running_loop()
        self._steps = Steps(self._loop)
        self._idle = Rest(self._loop, self._wake, self._sleep)
        self._meter = Meter()
        self._hold = Hold(self._meter.sample())
        self._interval_s = look_every_s
        self._ladder = Ladder()
        self._hang: Hang | None = None
        self._hangs: list[Hang] = []
        self._marked = self._active = False
        self._told_s = 0.0
        self._untouchable = untouchable()
        self._context = contextvars.copy_context()  # not that of whatever a signal interrupts

    def start(self) -> str:
        """Begins to watch; returns why that is impossible, or nothing."""
        if signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.SIG_IGN):
            return "SIGALRM has a handler already"
        try:
            signal.signal(signal.SIGALRM, self._on_alarm)
        except ValueError:
            return "the loop doesn't run in the process's main thread"
        self._active = True
        self._loop.call_soon(self._learn)
        self._arm(self._look_every_s)
        return ""

    def stop(self) -> None:
        """Ends watching; may be called twice."""
        if not self._active:
            return
        self._active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGALRM) == self._on_alarm:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._idle.end()
        self._steps.forget()
        self._meter.close()

    def reclaim(self) -> bool:
        """Takes the signal back from a module that took it; returns whether one had."""
        if not self._active or signal.getsignal(signal.SIGALRM) == self._on_alarm:
            return False
        signal.signal(signal.SIGALRM, self._on_alarm)
        self._arm(self._look_every_s)
        return True

    def _learn(self) -> None:
        self._steps.learn(sys._getframe().f_back)

    def _arm(self, interval_s: float) -> None:
        """Signals again and again: what blocks in C is woken by each, which shows that the process lives."""
        self._interval_s = interval_s
        signal.setitimer(signal.ITIMER_REAL, interval_s, interval_s)

    def _on_alarm(self, _: int, frame: FrameType | None) -> None:
        if not self._active:
            return
        step = self._steps.running(frame)
        self._idle.looked(step is None)
        if step is None:
            self._rest()
            return
        if not self._marked:
            self._marked = True
            self._loop.call_soon_threadsafe(self._turned, context=self._context)
        sample = self._meter.sample()
        if step is not self._hold.step:
            self._next_step()
            self._lives(sample.at_s)
        held_s = self._hold.see(step, sample, self._interval_s)
        if held_s < self._shortest.warn_s:
            self._arm(next_sample_s(held_s, self._shortest, "warn"))
            return
        who = holder(frame, self._untouchable)
        self._tell(LOOKS, who.name.partition("@")[0])
        limits, mode = self._rule(who.name, who.importing)
        self._arm(next_sample_s(held_s, limits, mode))
        if self._hang is not None:
            self._hang.held_s = held_s
        rung = self._ladder.climb(held_s, limits, mode)
        if rung is not Rung.WAIT and who.name:
            self._act(rung, who, held_s, limits, frame)

    def _lives(self, now_s: float) -> None:
        """One step after the other, but too many of them for the heartbeat to get its turn: nobody hangs."""
        if now_s - self._told_s >= LIVES_EVERY_S:
            self._told_s = now_s
            self._tell(LOOKS, "")

    def _act(self, rung: Rung, who: Holder, held_s: float, limits: Limits, frame: FrameType | None) -> None:
        if self._hang is None:
            self._hang = Hang(who.name, limits.warn_s, limits.interrupt_s, stack(frame), held_s)
            self._hangs.append(self._hang)
        hang = self._hang
        if rung is Rung.NAME:
            self._tell("holds", hang.brief())
        elif rung is Rung.GIVE_UP:
            self._tell("hung", hang.brief())
        elif who.interruptible:
            hang.interrupted += 1
            raise ModuleInterrupted(
                f"{who.name} held the event loop for {held_s:.2f} s (limit {limits.interrupt_s:g} s): await in it, or "
                "say thread=True"
            )

    def _turned(self) -> None:
        """The mark: every step that was seen before it is over."""
        self._marked = False
        if not self._active:
            return
        self._rest()
        hangs, self._hangs = self._hangs, []
        for hang in hangs:
            self._on_hang(hang)

    def _rest(self) -> None:
        self._hold.idle(self._meter.sample())
        self._next_step()
        if self._active and self._interval_s != self._look_every_s:
            self._arm(self._look_every_s)

    def _wake(self) -> None:
        """The loop begins to run something, after a while of nothing."""
        self._hold.idle(self._meter.sample())
        if self._active:
            self._arm(self._look_every_s)

    def _sleep(self) -> None:
        """The loop begins to wait."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _next_step(self) -> None:
        if self._hang is not None or self._ladder.climbed:
            self._ladder, self._hang = Ladder(), None
