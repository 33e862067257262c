"""What history says: since when, where to, and what it would have been at the present tap."""

from __future__ import annotations

import pytest

from voltage_problem_handler.decision import Reading, Settings, Tap
from voltage_problem_handler.history import Sample, TapChange, at_present_tap, outside_since_s, trend_pu_per_s
from voltage_problem_handler.problems import OpenProblems, Problem
from voltage_problem_handler.situation import assess, fresh, needed_history


def samples(*values_pu: float) -> list[Sample]:
    """Samples a minute apart."""
    return [Sample(value, 60.0 * i) for i, value in enumerate(values_pu)]


def test_outside_counts_from_the_beginning_of_the_unbroken_run() -> None:
    """An earlier excursion that ended is another one."""
    assert outside_since_s(samples(1.06, 1.0, 1.06, 1.07), 0.95, 1.05) == 120.0
    assert outside_since_s(samples(1.06, 1.0), 0.95, 1.05) is None
    assert outside_since_s([], 0.95, 1.05) is None


def test_a_trend_is_the_slope_of_the_samples() -> None:
    """Too few samples have none: two can lie."""
    assert trend_pu_per_s(samples(1.0, 1.006, 1.012)) == pytest.approx(1e-4)
    assert trend_pu_per_s(samples(1.0, 1.1)) == 0.0
    assert trend_pu_per_s([Sample(1.0, 5.0)] * 3) == 0.0


def test_a_tap_change_is_no_trend() -> None:
    """The voltage fell because the tap moved; the grid's trend is flat."""
    history = [Sample(1.05, 0.0), Sample(1.05, 60.0), Sample(1.05 / 1.025, 120.0)]
    scaled = at_present_tap(history, [TapChange(0, 1, 90.0)], 0.025)
    assert [sample.value_pu for sample in scaled] == pytest.approx([1.05 / 1.025] * 3)
    assert trend_pu_per_s(scaled) == pytest.approx(0.0)


def test_the_history_of_both_extremes_is_needed() -> None:
    """Asking for all fourteen would cost the board for nothing."""
    readings = [Reading("bus_1", 1.0, 0), Reading("bus_2", 1.06, 0), Reading("bus_3", 0.99, 0)]
    assert needed_history(readings) == ("bus_3", "bus_2")
    assert needed_history(readings[:1]) == ("bus_1",)
    assert needed_history([]) == ()


def test_a_meter_that_stopped_measuring_does_not_count() -> None:
    """Its last value would hold up every decision."""
    old, new = Reading("bus_1", 1.2, 0.0), Reading("bus_2", 1.0, 990.0)
    assert fresh(Settings(), 1000.0, [old, new]) == [new]


def test_a_reading_of_the_future_does_not_count() -> None:
    """Else a clock that was set back by hours would have the tap follow a frozen voltage for as long."""
    before, now = Reading("bus_1", 1.0, 21_600.0), Reading("bus_2", 1.0, 1001.0)  # clocks differ by a second
    assert fresh(Settings(), 1000.0, [before, now]) == [now]


def test_a_situation_takes_the_longest_excursion_of_the_extremes() -> None:
    """The delay runs from when the first of them left the band."""
    histories = {"bus_1": samples(1.06, 1.06, 1.06), "bus_2": samples(1.0, 1.051, 1.06)}
    readings = [Reading("bus_1", 1.06, 120.0), Reading("bus_2", 1.06, 120.0)]
    situation = assess(Settings(), 130.0, readings, histories=histories, tap=Tap(0, -4, 4), changes=[])
    assert situation.outside_since_s == 0.0
    assert situation.readings[1].trend_pu_per_s > 0.0 == situation.readings[0].trend_pu_per_s


def test_problems_open_once_and_close_without_fuss() -> None:
    """Repeated, lost and unexpected events heal."""
    problems = OpenProblems()
    assert problems.reported(Problem("bus_1", "operating", 1.06, 5.0))
    assert not problems.reported(Problem("bus_1", "operating", 1.07, 9.0))
    assert problems.reported(Problem("bus_1", "en50160", 1.11, 9.0))
    problems.ended("bus_7", "operating")
    problems.ended("bus_1", "en50160")
    assert [problem.since_s for problem in problems] == [5.0]
    problems.replace([Problem("bus_1", "operating", 1.06, 9.0), Problem("bus_2", "operating", 1.06, 9.0)])
    assert [problem.since_s for problem in problems] == [5.0, 9.0]
    problems.replace([])
    assert len(problems) == 0
