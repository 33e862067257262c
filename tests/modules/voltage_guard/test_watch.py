"""The watch keeps meters and limits apart and knows what is open."""

from __future__ import annotations

import pytest

from voltage_guard.hysteresis import Crossing, Limits, Side
from voltage_guard.watch import MAX_METERS, TooManyMeters, Watch

EN50160, OPERATING = Limits("en50160", 0.90, 1.10, 0.002), Limits("operating", 0.95, 1.05, 0.002)


def test_a_jump_past_both_limits_reports_both_the_severe_one_first() -> None:
    """Whoever handles them sees the emergency first."""
    reports = Watch((EN50160, OPERATING)).measured("bus_1", 1.12, 5.0)
    assert [(r.crossing, r.limits) for r in reports] == [
        (Crossing.OVER_VOLTAGE, "en50160"),
        (Crossing.OVER_VOLTAGE, "operating"),
    ]


def test_meters_do_not_disturb_each_other() -> None:
    """One meter outside must not hide another."""
    watch = Watch((EN50160, OPERATING))
    assert len(watch.measured("bus_1", 1.06, 1.0)) == 1
    assert len(watch.measured("bus_2", 1.06, 1.0)) == 1
    assert watch.measured("bus_1", 1.06, 2.0) == []
    assert watch.meters == 2


def test_an_open_problem_has_its_latest_value_and_its_first_time() -> None:
    """The status tells how bad it is now, and how long it lasts."""
    watch = Watch((EN50160, OPERATING))
    watch.measured("bus_3", 0.94, 100.0)
    watch.measured("bus_3", 0.93, 160.0)
    (problem,) = watch.problems
    assert (problem.meter, problem.limits, problem.side) == ("bus_3", "operating", Side.UNDER)
    assert (problem.value_pu, problem.since_s, problem.limit_pu) == (0.93, 100.0, 0.95)
    watch.measured("bus_3", 1.0, 220.0)
    assert watch.problems == ()


def test_new_limits_keep_what_is_open_and_end_it_by_their_own_measure() -> None:
    """A configuration change must neither repeat an event nor lose the way back."""
    watch = Watch((EN50160, OPERATING))
    watch.measured("bus_1", 1.06, 1.0)
    wider = watch.relimited((EN50160, Limits("operating", 0.93, 1.07, 0.002)))
    (report,) = wider.measured("bus_1", 1.06, 2.0)
    assert report.crossing is Crossing.BACK_TO_NORMAL
    assert wider.meters == 1


def test_invented_meters_can_not_fill_the_memory() -> None:
    """Nothing is unbounded on a board; known meters go on."""
    watch = Watch((OPERATING,))
    for number in range(MAX_METERS):
        watch.measured(f"m{number}", 1.0, 0.0)
    with pytest.raises(TooManyMeters, match="one more"):
        watch.measured("one_more", 1.2, 0.0)
    assert len(watch.measured("m0", 1.2, 1.0)) == 1
