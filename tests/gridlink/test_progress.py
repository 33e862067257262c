"""What of a stretch of time a thread has lived."""

from __future__ import annotations

import pytest

from gridlink.progress import lived_s, locked_out_s


@pytest.mark.parametrize(
    ("gap_s", "cpu_s", "switches", "expected_s"),
    [
        (0.1, 0.1, 0, 0.1),  # it ran all the time
        (0.1, 0.0, 1, 0.1),  # it slept until the signal
        (0.1, 0.02, 0, 0.02),  # others had the processor
        (2.0, 1.99, 3, 2.0),  # one long call into C
        (2.0, 0.0, 20, 1.8),  # one long call into C that sleeps: each signal woke it
        (60.0, 0.01, 2, 0.01),  # it was stopped, and goes on
        (60.0, 0.0, 1, 0.0),  # the machine was suspended
    ],
)
def test_only_what_a_thread_ran_or_slept_counts(gap_s: float, cpu_s: float, switches: int, expected_s: float) -> None:
    """With a signal every 0.1 s."""
    assert lived_s(gap_s, cpu_s, switches, interval_s=0.1) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("switches", "others_cpu_s", "expected_s"),
    [
        (20, 0.1, 0.1),  # another thread computes, and this one asks for the lock every 5 ms
        (20, 0.005, 0.02),  # hardly anybody else ran: it slept, again and again
        (1, 0.1, 0.005),  # it slept, and somebody computed meanwhile
        (20, 0.0, 0.0),  # it is alone
    ],
)
def test_what_other_threads_may_have_kept_the_lock(switches: int, others_cpu_s: float, expected_s: float) -> None:
    """A wait for the interpreter's lock isn't a sleep of the module's."""
    assert locked_out_s(switches, others_cpu_s) == pytest.approx(expected_s)
