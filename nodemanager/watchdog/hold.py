"""How long the step that runs has held the loop, as samples tell. Pure: times are passed in.

A step is what the loop runs at one go. A sample says which one runs, and what the thread has done so far.
"""

from __future__ import annotations

from msgspec import Struct

from gridlink.progress import lived_s, locked_out_s

OTHERS_RAN = 0.02  # of the time: less is none


class Sample(Struct, frozen=True):
    """The loop's thread at a moment: real time, its CPU time, its voluntary switches.

    `waited_s`: how long it has waited for a processor; `others_cpu_s`: the CPU time of the process's other threads.
    """

    at_s: float
    cpu_s: float
    switches: int
    waited_s: float = 0.0
    others_cpu_s: float = 0.0


class Hold:
    """Follows the running step from sample to sample."""

    __slots__ = ("_last", "held_s", "step")

    def __init__(self, first: Sample) -> None:
        self._last = first
        self.step: object = None  # None while the loop itself runs
        self.held_s = 0.0  # what the step has lived, at least

    def see(self, step: object, now: Sample, interval_s: float) -> float:
        """Notes that `step` (not None) runs now, `interval_s` being the time between signals; returns `held_s`.

        Its first sample counts as far as it came late: Python can act on a signal between any two of its instructions,
        so whatever runs when it acts was one call into C since the signal.
        """
        last, self._last = self._last, now
        gap_s, cpu_s, switches = now.at_s - last.at_s, now.cpu_s - last.cpu_s, now.switches - last.switches
        waited_s, others_s = now.waited_s - last.waited_s, now.others_cpu_s - last.others_cpu_s
        lived = lived_s(gap_s, cpu_s, switches, interval_s)
        if others_s > gap_s * OTHERS_RAN:  # who waits for the lock waits for a processor, too, each time
            lived = min(lived, max(gap_s - waited_s - locked_out_s(switches, others_s), cpu_s))
        if step is self.step:
            self.held_s += lived
        else:  # before it, the loop may have slept, and been woken late
            self.step = step
            self.held_s = min(max(gap_s - waited_s - interval_s, 0.0), lived)
        return self.held_s

    def idle(self, now: Sample) -> None:
        """Notes that no step runs."""
        self._last, self.step, self.held_s = now, None, 0.0
