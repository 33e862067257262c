"""What a command has left of its time after a restart, by clocks that may be wrong."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from appmanager.provisioning.machine import Kind
from appmanager.provisioning.plan import Order, going_on, read_order, spelled_order, timed
from appmanager.provisioning.time_left import Moment, left_s, moment

TEN_YEARS_S = 3650 * 86400.0
moments = st.builds(Moment, st.sampled_from(("", "a", "b")), st.floats(0, 1e9), st.floats(-1e10, 1e11))


@given(whole_s=st.floats(0, 1e6), since=moments, now=moments)
def test_it_is_never_less_than_none_and_never_more_than_there_was(whole_s: float, since: Moment, now: Moment) -> None:
    """Whatever the clocks say."""
    assert 0 <= left_s(whole_s, since, now) <= whole_s


def test_while_the_machine_runs_on_a_date_that_is_set_changes_nothing() -> None:
    """A time server is reached while the node restarts."""
    since = Moment("a", 1000.0, 100.0)
    for wall_s in (100.0, -TEN_YEARS_S, TEN_YEARS_S):
        assert left_s(600.0, since, Moment("a", 1200.0, wall_s)) == 400.0
        assert left_s(600.0, since, Moment("a", 1600.0, wall_s)) == 0.0


def test_over_a_reboot_it_is_by_the_date_and_all_of_it_where_that_went_back() -> None:
    """The time since the boot began anew; a board without a battery boots in 1970."""
    since = Moment("a", 1000.0, TEN_YEARS_S)
    assert left_s(600.0, since, Moment("b", 5.0, TEN_YEARS_S + 100.0)) == 500.0
    assert left_s(600.0, since, Moment("b", 5.0, TEN_YEARS_S + 3600.0)) == 0.0
    assert left_s(600.0, since, Moment("b", 5.0, 100.0)) == 600.0
    assert left_s(600.0, Moment("", 1000.0, 0.0), Moment("", 1100.0, 200.0)) == 400.0


def test_it_is_written_down_with_the_command_and_read_again() -> None:
    """By the release before this one, nothing was: then it has its whole time, as it had."""
    order = Order("1", Kind.UPDATE, "lamp", expires_s=600.0)
    now = moment()
    assert now.boot
    assert abs(now.wall_s - time.time()) < 5
    written = spelled_order(timed(order, now))
    later = Moment(now.boot, now.since_boot_s + 100, now.wall_s - TEN_YEARS_S)
    assert going_on(read_order(written), later) == Order("1", Kind.UPDATE, "lamp", expires_s=500.0)
    del written["taken"]
    assert going_on(read_order(written), later) == order
