"""The use case's promise: both days inside the limits with few tap steps, whatever the messages' latency."""

from __future__ import annotations

import pytest

from data_generator.profiles import DAY_S, QUARTER_HOUR_S
from data_generator.violations import DayAccount
from tests.modules.closed_loop import Loop, replayed_grid, two_days

LATENCIES_S = [(0.0, 0.0), (1.0, 5.0), (0.0, 30.0), (30.0, 30.0)]


def assert_kept(account: DayAccount) -> None:
    """What the use case promises for a day."""
    assert account.outside_en50160_quarter_hours == 0.0
    assert account.outside_band_quarter_hours <= 2.0
    assert account.tap_steps <= 10


@pytest.mark.parametrize("latency_s", LATENCIES_S)
@pytest.mark.parametrize("seed", [1, 2])
def test_both_days_are_kept_from_the_neutral_position(latency_s: tuple[float, float], seed: int) -> None:
    """Summer, then winter, as a site is started by default: exact site time."""
    summer, winter, loop = two_days(0, latency_s=latency_s, seed=seed)
    assert (summer.day, winter.day) == ("summer", "winter")
    for account in (summer, winter):
        assert_kept(account)
        assert account.outside_band_quarter_hours <= 1.0  # half of what is allowed is left for a busy machine
        assert account.tap_steps <= 6
    assert loop.mechanism.lock_out_reason is None
    assert loop.mechanism.operations == summer.tap_steps + winter.tap_steps


@pytest.mark.parametrize("publish_every_s", [30.0, 60.0, 120.0])
def test_both_days_are_kept_with_meters_that_publish_more_or_less_often(publish_every_s: float) -> None:
    """The period is configurable; the promise holds around the default."""
    summer, winter, _ = two_days(0, publish_every_s=publish_every_s)
    assert_kept(summer)
    assert_kept(winter)


def test_the_days_that_follow_are_kept_too() -> None:
    """At each midnight the other season begins at the tap where the last one ended."""
    accounts = Loop(replayed_grid(0), latency_s=(0.0, 30.0)).run(6 * DAY_S)[:6]
    assert len(accounts) == 6
    for account in accounts:
        assert_kept(account)


@pytest.mark.parametrize("tap", range(-4, 5))
def test_a_bad_beginning_is_left_within_minutes(tap: int) -> None:
    """A tap changer found anywhere: outside EN 50160 for under three minutes of the first day, then never
    again.
    """
    summer, winter, _ = two_days(tap, latency_s=(0.0, 30.0))
    assert summer.outside_en50160_quarter_hours * QUARTER_HOUR_S <= 180.0
    assert summer.outside_band_quarter_hours <= 2.0
    assert summer.tap_steps <= 10
    assert_kept(winter)


@pytest.mark.parametrize("tap", range(-2, 5))
def test_from_every_position_that_en_50160_allows_at_midnight_it_is_never_left(tap: int) -> None:
    """Only -4 and -3 begin outside of it on the summer day."""
    summer, _, _ = two_days(tap)
    assert summer.outside_en50160_quarter_hours == 0.0


def test_without_the_handler_the_promise_is_broken() -> None:
    """The days are hard enough for the test to mean something."""
    grid = replayed_grid(0)
    grid.advance(2 * DAY_S)
    for account in grid.position.finished:
        assert account.outside_en50160_quarter_hours > 0.0
        assert account.outside_band_quarter_hours > 16.0
