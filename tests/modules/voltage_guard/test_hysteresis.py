"""Each crossing is reported once; near a limit nothing flutters."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltage_guard.hysteresis import Crossing, Limits, Side, judge

BAND = Limits("operating", 0.95, 1.05, 0.002)


def told(*values_pu: float) -> list[Crossing | None]:
    """What each of these voltages, one after the other, makes the guard report."""
    side, reports = Side.WITHIN, []
    for value in values_pu:
        side, report = judge(BAND, side, value)
        reports.append(report.crossing if report else None)
    return reports


def test_a_voltage_above_the_limit_is_reported_once() -> None:
    """No repeated events, however long it lasts."""
    assert told(1.0, 1.051, 1.06, 1.051) == [None, Crossing.OVER_VOLTAGE, None, None]


def test_a_voltage_exactly_at_the_limit_is_within() -> None:
    """EN 50160 allows the limit itself."""
    assert told(1.05, 0.95) == [None, None]


def test_it_is_normal_again_only_past_the_hysteresis() -> None:
    """Fluttering around the limit must not flood the bus."""
    assert told(1.051, 1.0499, 1.051, 1.0481, 1.048) == [
        Crossing.OVER_VOLTAGE,
        None,
        None,
        None,
        Crossing.BACK_TO_NORMAL,
    ]
    assert told(0.949, 0.9501, 0.952) == [Crossing.UNDER_VOLTAGE, None, Crossing.BACK_TO_NORMAL]


def test_from_over_straight_to_under_is_reported_as_under() -> None:
    """A tap too far: it was never back to normal, and must not be said to have been."""
    assert told(1.06, 0.94, 1.06) == [Crossing.OVER_VOLTAGE, Crossing.UNDER_VOLTAGE, Crossing.OVER_VOLTAGE]


def test_the_report_names_the_limit_that_was_crossed() -> None:
    """The way back too names the limit it came back from."""
    side, report = judge(BAND, Side.WITHIN, 0.90)
    assert report is not None
    assert (report.limits, report.limit_pu) == ("operating", 0.95)
    _, back = judge(BAND, side, 1.0)
    assert back is not None
    assert (back.crossing, back.limit_pu) == (Crossing.BACK_TO_NORMAL, 0.95)


@given(st.lists(st.floats(0.8, 1.2)))
def test_no_event_ever_comes_twice_in_a_row_and_no_excursion_is_missed(values_pu: list[float]) -> None:
    """For any course of voltages."""
    reports = told(*values_pu)
    events = [report for report in reports if report]
    assert all(one is not next_ for one, next_ in pairwise(events))
    latest = None
    for value, report in zip(values_pu, reports, strict=True):
        latest = report or latest
        if value > 1.05:
            assert latest is Crossing.OVER_VOLTAGE
        if value < 0.95:
            assert latest is Crossing.UNDER_VOLTAGE
        if 0.952 <= value <= 1.048:
            assert latest in (None, Crossing.BACK_TO_NORMAL)


@pytest.mark.parametrize(
    ("lower", "upper", "hysteresis"),
    [(1.0, 1.0, 0), (1.1, 0.9, 0), (0, 1, 0), (0.9, 1.1, 0.11), (0.9, 1.1, -1)],
)
def test_limits_that_make_no_sense_are_refused(lower: float, upper: float, hysteresis: float) -> None:
    """A swapped pair would report everything, a wide hysteresis nothing."""
    with pytest.raises(ValueError, match="expected"):
        Limits("operating", lower, upper, hysteresis)
