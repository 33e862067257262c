"""How much of a stretch of time a thread has really lived: ran, or slept of its own will. Pure.

Wall time alone would blame a module for a machine that was suspended, a process that was stopped, or a processor that
others had. The guardian loads this file: it imports nothing.
"""

from __future__ import annotations

SWITCH_S = 0.005  # a thread that waits for the interpreter's lock looks up so often (sys.getswitchinterval)
WAIT_TOO = 4.0  # whoever has the lock may wait for a processor itself: its running time counts so many times


def lived_s(gap_s: float, cpu_s: float, switches: int, interval_s: float) -> float:
    """The seconds of `gap_s` in which a thread can be said to have lived.

    `cpu_s`: what it ran; `switches`: how often it gave the processor up by itself. A signal comes every `interval_s`
    and ends a sleep, so a sleep lasts that long at most. A thread that never slept ran, or waited for a processor. To
    be stopped, and to go on, are two switches that no sleep is behind: they show where the signals stayed away, too.
    """
    is_late = gap_s > 3 * interval_s
    slept_s = max(0, switches - 2 if is_late else switches) * interval_s
    return min(gap_s, cpu_s + slept_s)


def locked_out_s(switches: int, others_cpu_s: float) -> float:
    """How long a thread may have waited for the interpreter's lock at most, while other threads ran `others_cpu_s`.

    Such a wait gives the processor up every SWITCH_S, far more often than a sleep does.
    """
    return min(switches * SWITCH_S, others_cpu_s * WAIT_TOO)
