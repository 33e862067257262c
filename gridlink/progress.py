"""How much of a stretch of time a thread has really lived: ran, or slept of its own will. Pure.

Wall time alone would blame a module for a machine that was suspended, a process that was stopped, or a processor that
others had. The guardian loads this file: it imports nothing.
"""

from __future__ import annotations


def lived_s(gap_s: float, cpu_s: float, switches: int, interval_s: float) -> float:
    """The seconds of `gap_s` in which a thread can be said to have lived.

    `cpu_s`: what it ran; `switches`: how often it gave the processor up by itself. A signal comes every `interval_s`
    and ends a sleep, so a sleep lasts that long at most. A thread that never slept ran, or waited for a processor. To
    be stopped, and to go on, are two switches that no sleep is behind: they show where the signals stayed away, too.
    """
    is_late = gap_s > 3 * interval_s
    slept_s = max(0, switches - 2 if is_late else switches) * interval_s
    return min(gap_s, cpu_s + slept_s)
