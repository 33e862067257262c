"""The reduction of events to the state of the grid, and the band of 24 hours."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dashboard_interface.api import Power, TapChanged, TapState, Voltage, VoltageProblem
from dashboard_interface.band import INTERVAL_S, VoltageBand
from dashboard_interface.grid import MAX_METERS, GridView

NOW_S = 1_000_000.0


def crossing(meter: str, limit: str = "operating", at_s: float = NOW_S) -> VoltageProblem:
    """A problem of a meter."""
    return VoltageProblem(meter, 1.11, 1.1, limit, at_s)  # type: ignore[arg-type]


def test_nothing_measured_is_said_as_nothing() -> None:
    """A fresh dashboard must not show zeros as voltages."""
    grid = GridView(900).read(NOW_S)
    assert (grid.meters, grid.lowest, grid.highest, grid.tap, grid.problems) == ({}, None, None, None, [])
    assert GridView(900).age_s(NOW_S) is None


def test_old_voltages_are_marked_and_are_no_extremes() -> None:
    """A meter that fell silent must not look like the site's lowest voltage for ever."""
    view = GridView(900)
    view.voltage(Voltage("bus_1", 0.8, NOW_S - 901))
    view.voltage(Voltage("bus_2", 1.0, NOW_S - 900))
    grid = view.read(NOW_S)
    assert grid.meters["bus_1"].stale
    assert not grid.meters["bus_2"].stale
    assert grid.lowest == grid.highest
    assert grid.lowest is not None
    assert grid.lowest.meter == "bus_2"
    assert view.summary(NOW_S).voltage_pu == {"bus_2": 1.0}


def test_a_meter_with_power_alone_has_no_voltage() -> None:
    """Events of one meter come in any order."""
    view = GridView(900)
    view.power(Power("bus_1", 5.0, 1.0, NOW_S))
    meter = view.read(NOW_S).meters["bus_1"]
    assert (meter.voltage_pu, meter.active_kw, meter.stale) == (None, 5.0, True)


def test_values_that_are_no_numbers_are_counted_and_left_out() -> None:
    """NaN would end up as null in JSON and poison the extremes."""
    view = GridView(900)
    view.voltage(Voltage("bus_1", math.nan, NOW_S))
    view.voltage(Voltage("bus_1", 1.0, math.inf))
    view.power(Power("bus_1", -math.inf, 0.0, NOW_S))
    assert view.read(NOW_S).meters == {}
    assert view.ignored == 3


def test_the_number_of_meters_is_bounded() -> None:
    """A sender that invents names must not fill the board's memory."""
    view = GridView(900)
    for number in range(MAX_METERS + 5):
        view.voltage(Voltage(f"bus_{number}", 1.0, NOW_S))
    assert len(view.read(NOW_S).meters) == MAX_METERS
    assert view.ignored == 5


def test_a_problem_is_open_until_its_own_limit_is_back_to_normal() -> None:
    """The two limits of one meter are two problems."""
    view = GridView(900)
    opened = view.crossed("overVoltage", crossing("bus_1"))
    view.crossed("overVoltage", crossing("bus_1", "en50160"))
    assert opened is not None
    assert opened.change == "opened"
    closed = view.normal(crossing("bus_1", "en50160"))
    assert closed is not None
    assert closed.change == "closed"
    assert [each.limit for each in view.read(NOW_S).problems] == ["operating"]


def test_a_repeated_problem_is_one_and_keeps_its_start() -> None:
    """A restarted guard reports again what is already known."""
    view = GridView(900)
    view.crossed("overVoltage", crossing("bus_1"))
    assert view.crossed("overVoltage", crossing("bus_1", at_s=NOW_S + 60)) is None
    assert view.read(NOW_S).problems[0].since_s == NOW_S


def test_a_problem_that_turns_over_is_a_change_with_a_new_start() -> None:
    """A tap too far goes from over to under without being normal."""
    view = GridView(900)
    view.crossed("overVoltage", crossing("bus_1"))
    change = view.crossed("underVoltage", crossing("bus_1", at_s=NOW_S + 60))
    assert change is not None
    assert (change.change, change.problem.since_s) == ("changed", NOW_S + 60)


def test_back_to_normal_of_nothing_says_nothing() -> None:
    """After a restart of the dashboard the end of an unknown problem comes."""
    assert GridView(900).normal(crossing("bus_1")) is None


def test_the_tap_is_what_was_announced_or_asked_last() -> None:
    """The asked one is for the start; an equal answer is no news."""
    view = GridView(900)
    asked = TapState(3, 3, -9, 9, False, 5, False)
    assert view.asked(asked, NOW_S) == TapChanged(3, 3, 5, NOW_S)
    assert view.asked(asked, NOW_S + 1) is None
    view.stepped(TapChanged(4, 3, 6, NOW_S + 2))
    assert view.asked(asked, NOW_S + 3) == TapChanged(3, 4, 5, NOW_S + 3)


def test_a_clock_set_back_shows_the_new_values_as_present() -> None:
    """A replayed day begins again; the dashboard must not freeze at its end."""
    view = GridView(900)
    view.voltage(Voltage("bus_1", 1.0, NOW_S + 86400))
    view.voltage(Voltage("bus_1", 0.9, NOW_S))
    assert view.read(NOW_S).meters["bus_1"].voltage_pu == 0.9
    assert [(point.lowest_pu, point.highest_pu) for point in view.band.read().points] == [(0.9, 0.9)]


def test_the_band_joins_an_interval_and_keeps_gaps() -> None:
    """A quarter hour without values is a gap, not a line."""
    band = VoltageBand()
    for value, at_s in ((1.0, 0), (1.02, 5), (0.98, 899), (1.01, 4 * INTERVAL_S)):
        band.add(value, at_s)
    points = [(p.start_s, p.lowest_pu, p.highest_pu) for p in band.read().points]
    assert points == [(0.0, 0.98, 1.02), (4 * INTERVAL_S, 1.01, 1.01)]


def test_a_late_value_of_the_interval_before_does_not_empty_the_band() -> None:
    """Meters send at the edge of an interval in any order."""
    band = VoltageBand()
    band.add(1.0, INTERVAL_S)
    band.add(0.9, INTERVAL_S - 1)
    assert [(p.lowest_pu, p.highest_pu) for p in band.read().points] == [(0.9, 1.0)]


@given(st.lists(st.tuples(st.floats(0.5, 1.5), st.floats(0, 1e6)), max_size=300))
def test_the_band_is_bounded_ordered_and_within_a_day(values: list[tuple[float, float]]) -> None:
    """Whatever the clock does: bounded memory, and an SVG that can be drawn."""
    band = VoltageBand()
    for value_pu, timestamp_s in values:
        band.add(value_pu, timestamp_s)
    points = band.read().points
    starts = [point.start_s for point in points]
    assert starts == sorted(set(starts))
    assert len(points) <= 97
    assert all(point.lowest_pu <= point.highest_pu for point in points)
    assert not points or starts[-1] - starts[0] <= 86400
