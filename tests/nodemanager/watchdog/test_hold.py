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
