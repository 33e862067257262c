"""How long a step has held the loop, from samples."""

from __future__ import annotations

import pytest

from nodemanager.watchdog.hold import Hold, Sample

EVERY_S = 0.1
A, B = object(), object()


@pytest.fixture
def hold() -> Hold:
    """At rest at 0 s."""
    return Hold(Sample(0.0, 0.0, 0))


def test_a_step_that_is_seen_again_has_held_the_loop_since_it_was_first_seen(hold: Hold) -> None:
    """At least: it may have begun just before."""
    assert hold.see(A, Sample(0.1, 0.1, 0), EVERY_S) == 0.0
    assert hold.see(A, Sample(0.2, 0.2, 0), EVERY_S) == pytest.approx(0.1)
    assert hold.see(A, Sample(0.3, 0.3, 0), EVERY_S) == pytest.approx(0.2)


def test_another_step_begins_anew(hold: Hold) -> None:
    """Each answers for itself."""
    hold.see(A, Sample(0.1, 0.1, 0), EVERY_S)
    hold.see(A, Sample(0.2, 0.2, 0), EVERY_S)
    assert hold.see(B, Sample(0.3, 0.3, 0), EVERY_S) == 0.0
    assert hold.step is B


def test_one_call_into_c_is_noticed_when_it_returns(hold: Hold) -> None:
    """Python got no turn since the signal was due: that is the step's own doing."""
    assert hold.see(A, Sample(1.0, 0.95, 0), EVERY_S) == pytest.approx(0.9)


def test_a_first_sample_that_is_late_since_the_process_was_stopped_counts_nothing(hold: Hold) -> None:
    """The step just happens to be the one that runs when the process goes on."""
    assert hold.see(A, Sample(30.0, 0.01, 2), EVERY_S) <= 0.01


def test_rest_ends_a_step(hold: Hold) -> None:
    """The same task may come again: in another step."""
    hold.see(A, Sample(0.1, 0.1, 0), EVERY_S)
    hold.see(A, Sample(0.2, 0.2, 0), EVERY_S)
    hold.idle(Sample(0.3, 0.3, 0))
    assert (hold.step, hold.held_s) == (None, 0.0)
    assert hold.see(A, Sample(0.4, 0.4, 0), EVERY_S) == pytest.approx(0.0)


def test_what_it_waited_for_a_processor_is_not_its_own(hold: Hold) -> None:
    """Also where it slept before, and so a late signal might be taken for one long call into C."""
    assert hold.see(A, Sample(0.5, 0.05, 3, waited_s=0.35), EVERY_S) <= 0.06
    assert hold.see(A, Sample(0.8, 0.10, 3, waited_s=0.60), EVERY_S) <= 0.11


def test_a_thread_that_computes_beside_it_is_not_its_own(hold: Hold) -> None:
    """They take turns at the interpreter's lock; a real sleep beside such a thread counts."""
    hold.see(A, Sample(0.1, 0.05, 0), EVERY_S)
    assert hold.see(A, Sample(0.2, 0.10, 10, others_cpu_s=0.05), EVERY_S) == pytest.approx(0.05)
    assert hold.see(A, Sample(1.2, 0.10, 20, others_cpu_s=1.05), EVERY_S) >= 0.8
