"""The decision: no move without need, no more steps than needed, quick when EN 50160 is broken, always with a
reason.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from voltage_problem_handler.decision import (
    Decision,
    Outcome,
    Reading,
    Settings,
    Situation,
    Tap,
    choose_target,
    decide,
    predict,
)

SETTINGS = Settings()
NOW_S = 10_000.0


def decided(*values_pu: float, tap: Tap | None = None, since_s: float | None = NOW_S - 600) -> Decision:
    """The decision on these voltages, measured 10 s ago."""
    readings = tuple(Reading(f"bus_{i}", value, NOW_S - 10) for i, value in enumerate(values_pu, start=1))
    return decide(SETTINGS, Situation(NOW_S, readings, since_s, tap or Tap(0, -4, 4)))


def test_inside_the_dead_band_nothing_moves() -> None:
    """Wear is what a dead band is for."""
    decision = decided(0.951, 1.0, 1.049)
    assert decision.outcome is Outcome.WITHIN
    assert decision.target is None


def test_one_step_is_made_where_one_is_enough() -> None:
    """1.06 pu needs one step; going to the middle would need two, and soon be taken back."""
    decision = decided(1.05, 1.06)
    assert (decision.outcome, decision.target) == (Outcome.MOVE, 1)
    assert "1.0600 pu at bus_2" in decision.reason
    assert decided(0.94, 0.95).target == -1


def test_as_many_steps_as_needed_are_asked_for_at_once() -> None:
    """Step by step with a delay each would take too long."""
    assert decided(1.09, 1.12).target == 3


def test_a_short_excursion_is_waited_for() -> None:
    """A motor that starts must not move the tap."""
    decision = decided(1.06, since_s=NOW_S - 20)
    assert decision.outcome is Outcome.WAIT
    assert 0.0 < decision.check_in_s <= SETTINGS.check_every_s
    assert decided(1.06, since_s=None).outcome is Outcome.WAIT


def test_outside_en_50160_the_delay_is_the_short_one() -> None:
    """Appliances are at risk there."""
    assert decided(1.06, 1.101, since_s=NOW_S - 10).outcome is Outcome.MOVE
    assert decided(0.899, since_s=NOW_S - 10).outcome is Outcome.MOVE


def test_while_the_tap_changer_moves_nothing_is_decided() -> None:
    """The voltages are about to change."""
    assert decided(1.06, tap=Tap(0, -4, 4, moving=True)).outcome is Outcome.WAIT


def test_a_voltage_measured_before_the_last_step_does_not_count() -> None:
    """It would move the tap a second time for the same problem."""
    assert decided(1.06, tap=Tap(1, -4, 4, changed_s=NOW_S - 5)).outcome is Outcome.WAIT
    assert decided(1.06, tap=Tap(1, -4, 4, changed_s=NOW_S - 15)).outcome is Outcome.MOVE


def test_a_tap_change_from_a_time_to_come_holds_nothing_up() -> None:
    """The site clock can be set back when a replay begins anew."""
    assert decided(1.06, tap=Tap(1, -4, 4, changed_s=NOW_S + 5000)).outcome is Outcome.MOVE


def test_a_lock_out_is_reported_with_its_reason_and_not_hammered() -> None:
    """The next look is minutes away."""
    decision = decided(1.12, tap=Tap(0, -4, 4, lock_out_reason="work"))
    assert decision.outcome is Outcome.LOCKED_OUT
    assert "work" in decision.reason
    assert decision.check_in_s == SETTINGS.locked_out_check_s


def test_at_the_end_of_the_range_there_is_nothing_better() -> None:
    """No command is sent that changes nothing."""
    decision = decided(1.06, tap=Tap(4, -4, 4))
    assert decision.outcome is Outcome.NO_BETTER_TAP
    assert decision.target is None


def test_the_best_of_bad_positions_is_taken() -> None:
    """Voltages that lie too far apart for any tap: the smallest excess."""
    target = choose_target(SETTINGS, [Reading("bus_1", 0.99, 0), Reading("bus_2", 1.12, 0)], Tap(0, -4, 4))
    low, high = predict(0.99, 0, target, 2.5), predict(1.12, 0, target, 2.5)
    assert max(0.95 - low, high - 1.05) < 0.07 / 2


def test_a_move_lands_with_a_margin_to_the_other_limit() -> None:
    """Barely inside is soon outside again."""
    readings = [Reading("bus_1", 0.9775, 0), Reading("bus_2", 1.06, 0)]  # one step: 0.9537 and 1.0341
    assert choose_target(SETTINGS, readings, Tap(0, -4, 4)) == 1
    wide = [
        Reading("bus_1", 0.9745, 0),
        Reading("bus_2", 1.06, 0),
    ]  # 0.9507: no room, but still the best there is
    assert choose_target(SETTINGS, wide, Tap(0, -4, 4)) == 1


def test_a_trend_that_would_leave_the_band_again_is_worth_one_step_more() -> None:
    """One move of two steps instead of two moves, and less time outside between them."""
    rising = Reading("bus_1", 1.051, 0, trend_pu_per_s=0.03 / 1800)
    assert choose_target(SETTINGS, [replace(rising, trend_pu_per_s=0.0)], Tap(0, -4, 4)) == 1
    assert choose_target(SETTINGS, [rising], Tap(0, -4, 4)) == 2
    assert choose_target(replace(SETTINGS, spare_steps=0), [rising], Tap(0, -4, 4)) == 1


def test_without_voltages_nothing_is_decided() -> None:
    """Storage may know nothing yet."""
    assert decided().outcome is Outcome.WAIT


@given(st.lists(st.floats(0.8, 1.2), min_size=1, max_size=14), st.integers(-4, 4))
def test_a_target_is_in_range_and_never_worse_than_staying(values_pu: list[float], position: int) -> None:
    """For any voltages: the predicted excess never grows, and a better neighbour in between isn't passed
    without need.
    """
    readings = [Reading(str(i), value, 0) for i, value in enumerate(values_pu)]

    def excess(tap: int) -> float:
        there = [predict(value, position, tap, 2.5) for value in values_pu]
        return max(0.0, max(there) - 1.05, 0.95 - min(there))

    target = choose_target(SETTINGS, readings, Tap(position, -4, 4))
    assert -4 <= target <= 4
    assert excess(target) <= excess(position)


@pytest.mark.parametrize(
    "wrong",
    [
        {"band_lower_pu": 1.06},
        {"band_upper_pu": 1.2},
        {"margin_pu": 0.06},
        {"delay_s": -1.0},
        {"check_every_s": 0.0},
        {"max_age_s": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """An operator wrote them."""
    with pytest.raises(ValueError, match="expected"):
        Settings(**wrong)  # type: ignore[arg-type]
