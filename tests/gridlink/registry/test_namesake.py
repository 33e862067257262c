"""What is known of another node of one's own name. Time is passed in."""

from __future__ import annotations

from gridlink.registry.entry import Announcement, Heartbeat, Leave
from gridlink.registry.namesake import Namesake


def test_its_first_heartbeat_is_news_and_the_next_is_not() -> None:
    """An error a second would fill a board's flash."""
    namesake = Namesake()
    assert namesake.met(Heartbeat("n", "other", 1), 0.0)
    assert not namesake.met(Heartbeat("n", "other", 1), 1.0)
    assert "another node of this site is called n too:" in namesake.said("n")


def test_where_it_is_is_news_once() -> None:
    """Heartbeats don't say it, announcements do; a heartbeat after that takes nothing back."""
    namesake = Namesake()
    namesake.met(Heartbeat("n", "other", 1), 0.0)
    assert namesake.met(Announcement("n", "board7", "other", 1, ()), 0.1)
    assert not namesake.met(Heartbeat("n", "other", 1), 1.0)
    assert "called n too (on machine board7):" in namesake.said("n")


def test_a_clean_leave_ends_it_at_once() -> None:
    """The name is ours again."""
    namesake = Namesake()
    namesake.met(Heartbeat("n", "other", 1), 0.0)
    assert namesake.met(Leave("n", "other"), 0.1)
    assert namesake.said("n") == ""


def test_silence_ends_it_once() -> None:
    """As for any node."""
    namesake = Namesake()
    namesake.met(Heartbeat("n", "other", 1), 0.0)
    assert not namesake.aged(3.9)
    assert namesake.aged(4.1)
    assert not namesake.aged(9.0)
    assert namesake.said("n") == ""
