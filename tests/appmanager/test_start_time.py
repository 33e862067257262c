"""How long a version may take to start, and when its process has imported it."""

from __future__ import annotations

import pytest

from appmanager.announced import announced, is_new
from appmanager.in_node import HOST_WITHIN_S
from appmanager.provisioning.machine import Kind
from appmanager.start_time import LONGEST_S, WAITS_S, start_within_s
from gridlink.errors import Refused
from gridlink.lifecycle import State
from gridlink.node.succession import LEASE_S
from gridlink.registry import Entry


@pytest.mark.parametrize(
    ("kind", "declared_s", "expected_s"),
    [
        (Kind.UPDATE, 0.0, WAITS_S),
        (Kind.UPDATE, 8.0, 8.0),
        (Kind.UPDATE, LONGEST_S, LONGEST_S),
        (Kind.ROLLBACK, 0.0, 0.0),
        (Kind.ROLLBACK, 8.0, 8.0),
    ],
)
def test_a_version_that_others_wait_for_has_what_it_declares(kind: Kind, declared_s: float, expected_s: float) -> None:
    """One that is kept can't declare anything any more: going back to it has no limit of ours (0)."""
    assert start_within_s("counter", kind, declared_s, somebody_waits=True) == expected_s


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.ROLLBACK])
def test_nobody_waits_for_longer_than_a_held_version_can(kind: Kind) -> None:
    """It is refused before anything is touched, and says what to do; where nobody waits it may."""
    with pytest.raises(Refused, match=rf"= 14\.5: expected at most 14.*`gridlink stop counter` first, then {kind}"):
        start_within_s("counter", kind, 14.5, somebody_waits=True)
    assert start_within_s("counter", kind, 14.5, somebody_waits=False) == 14.5
    assert min(LEASE_S, HOST_WITHIN_S) > LONGEST_S


def entry(instance: str, pid: int) -> Entry:
    """As a node announces it."""
    name, _, node = instance.partition("@")
    return Entry(name, instance, node, "board", pid, "1", "fork", State.STARTING)


def test_a_process_is_known_by_its_instance_too() -> None:
    """Another board's has the same number, and what was killed is shown for a while."""
    mine = "counter@board-counter"
    before = announced([entry("lamp@other", 412), entry(mine, 99), entry("lamp@board", 0)])
    assert not is_new(mine, [entry("lamp@other", 412), entry(mine, 99)], before)
    assert not is_new(mine, [entry(mine, 0)], before)
    assert not is_new(mine, [entry("lamp@third", 500)], before)
    assert is_new(mine, [entry("lamp@other", 412), entry(mine, 412)], before)
