"""Which servers are sought, and when one that is heard again is dialled."""

from __future__ import annotations

import pytest

from gridlink.bus.links import REDIAL_MOST_S, REDIAL_S, SEEK_FOR_S, Links, host_of

HERE, FAR = "10.0.0.2", "10.0.0.3"


def linked(*hosts: str, now_s: float = 0.0) -> Links:
    """As it is with routes to these hosts."""
    links = Links()
    links.look(frozenset(hosts), now_s)
    return links


def test_a_host_without_a_route_is_sought_and_dialled_when_it_is_heard() -> None:
    """One with a route is left alone: dialling it anew would cut that."""
    links = linked(HERE)
    assert links.lacks([HERE, FAR], 1.0)
    assert not links.lacks([HERE], 1.0)
    assert links.is_due(FAR, 1.0)
    assert not links.is_due(HERE, 1.0)


def test_it_is_dialled_once_in_the_time_that_a_handshake_may_take() -> None:
    """A slow board's must not be broken off again and again; beacons come twice a second."""
    links = linked()
    assert links.is_due(FAR, 10.0)
    assert not links.is_due(FAR, 10.0 + REDIAL_S / 2)
    assert links.is_due(HERE, 10.0 + REDIAL_S / 2)
    assert links.is_due(FAR, 10.0 + REDIAL_S)


def test_one_that_is_heard_and_never_linked_is_dialled_ever_less_often() -> None:
    """A firewall lets beacons through and no routes: a day of dials must not wear a board's flash out."""
    links = linked()
    dials = [now_s for now_s in range(24 * 3600) if links.is_due(FAR, float(now_s))]
    assert len(dials) < 24 * 3600 / REDIAL_MOST_S + 10
    links.look(frozenset((FAR,)), 24 * 3600.0)
    links.look(frozenset(), 24 * 3600.5)
    assert links.is_due(FAR, 24 * 3600.5)
    assert links.is_due(FAR, 24 * 3600.5 + REDIAL_S)


def test_where_the_routes_are_not_known_nothing_is_done() -> None:
    """The node is connected to another machine's server for now: its routes aren't our own server's."""
    links = linked(HERE)
    links.look(None, 1.0)
    assert not links.is_due(FAR, 1.0)
    assert not links.lacks([FAR], 1.0)


def test_a_host_that_stays_away_is_no_longer_sought_in_haste() -> None:
    """A machine that was taken out of service must not have all others send beacons for ever."""
    links = linked(HERE)
    links.look(frozenset((HERE,)), SEEK_FOR_S - 1)
    assert links.lacks([FAR], SEEK_FOR_S - 1)
    assert not links.lacks([FAR], SEEK_FOR_S)
    links.look(frozenset(), SEEK_FOR_S)
    assert links.lacks([FAR], SEEK_FOR_S + 1)


@pytest.mark.parametrize(
    ("route", "host"), [("10.0.0.2:6222", "10.0.0.2"), ("board-2:6222", "board-2"), ("[fe80::1]:6222", "fe80::1")]
)
def test_the_host_of_an_address(route: str, host: str) -> None:
    """As it is in the server's list and in a beacon."""
    assert host_of(route) == host
