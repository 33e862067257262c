"""The restart policy: how long to wait after each failure, and when to give up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridlink.restart import RestartHistory


def test_the_wait_doubles_up_to_its_longest() -> None:
    """A module that fails at once must not eat the processor."""
    history = RestartHistory(intensity=10, period_s=60, backoff_s=(0.2, 1.0))
    assert [history.failed(0.0) for _ in range(5)] == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_one_failure_more_than_the_intensity_gives_up() -> None:
    """OTP's rule: `intensity` failures are forgiven, the next is not."""
    history = RestartHistory(intensity=2, period_s=60)
    assert [history.failed(float(at)) is None for at in range(3)] == [False, False, True]


def test_intensity_zero_gives_up_at_the_first_failure() -> None:
    """`intensity: 0` in a manifest means: never restart."""
    assert RestartHistory(intensity=0).failed(0.0) is None


def test_the_period_slides() -> None:
    """A failure a day must never add up to giving up."""
    history = RestartHistory(intensity=1, period_s=10, backoff_s=(0.5, 30))
    assert history.failed(0.0) == 0.5
    assert history.failed(10.0) == 0.5  # the first is just out of the period
    assert history.failed(19.9) is None


@given(st.integers(0, 3000), st.floats(0.001, 10), st.floats(0.001, 100), st.lists(st.floats(0, 1e3), max_size=50))
def test_a_wait_is_never_below_the_shorter_nor_over_the_longest(
    intensity: int, shortest_s: float, longest_s: float, ats: list[float]
) -> None:
    """Whatever the times of failure, the wait stays in its bounds."""
    history = RestartHistory(intensity, 60.0, (shortest_s, longest_s))
    for at in sorted(ats):
        wait_s = history.failed(at)
        assert wait_s is None or min(shortest_s, longest_s) <= wait_s <= longest_s


def test_thousands_of_forgiven_failures_still_give_a_wait() -> None:
    """A patient policy (`intensity: 5000` in a day) must not overflow the doubling."""
    history = RestartHistory(intensity=5000, period_s=86400, backoff_s=(0.2, 30))
    waits = [history.failed(float(at)) for at in range(1200)]
    assert waits[-1] == pytest.approx(30.0)
