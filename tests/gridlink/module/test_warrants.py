"""Warrants: who may order what is shown by a key that nobody else has, for one order, once, and not for long."""

from __future__ import annotations

import time

import pytest

from gridlink.errors import AccessDenied
from gridlink.module.warrants import FRESH_S, SHARED, Warrants

SECRET = "5a" * 32
CONTENT = b'"storage"'
RELEASE = "vm-node2", "nodemanager@vm-node2", "release", CONTENT


def manager() -> Warrants:
    """The AppManager's node."""
    return Warrants("vm", SECRET)


def child(node: str) -> Warrants:
    """A node that it has started."""
    return Warrants(node, manager().for_child(node))


def test_what_the_appmanager_orders_is_taken_once() -> None:
    """Whoever has overheard it has nothing."""
    warrant, node = manager().of(*RELEASE), child("vm-node2")
    assert node.holds(*RELEASE, warrant)
    assert not node.holds(*RELEASE, warrant)
    assert node.holds(*RELEASE, manager().of(*RELEASE))


def test_an_appmanager_that_was_replaced_has_its_orders_taken() -> None:
    """The secret is the guardian's, and lives as long as that."""
    node = child("vm-node2")
    assert node.holds(*RELEASE, Warrants("vm", SECRET).of(*RELEASE))


def test_a_warrant_holds_for_nothing_else() -> None:
    """Not for another node, instance, order or content."""
    node, warrant = child("vm-node2"), manager().of(*RELEASE)
    for changed in (
        (SHARED, *RELEASE[1:]),
        (RELEASE[0], "other@vm-node2", *RELEASE[2:]),
        (*RELEASE[:2], "host", CONTENT),
        (*RELEASE[:3], b'"meter"'),
    ):
        assert not node.holds(*changed, warrant)
    assert not child("vm-node3").holds("vm-node3", *RELEASE[1:], warrant)


@pytest.mark.parametrize("warrant", ["", "-", "x", "1-" + "0" * 64, "é-é", "1" * 70, "0-" + "0" * 63 + "é"])
def test_what_is_no_warrant_is_refused_with_what_to_use_instead(warrant: str) -> None:
    """It may be any text: it is the id of a stranger's message."""
    with pytest.raises(AccessDenied, match="use `gridlink stop`, `gridlink move` or `gridlink uninstall`"):
        child("vm-node2").check(*RELEASE, warrant)


def test_a_node_has_the_keys_of_no_other() -> None:
    """An untrusted module that has read its own node's keys orders nothing of the others."""
    node = child("vm-guest")
    assert node.of(*RELEASE) == ""
    assert node.for_child("vm-node2") == ""
    forged = node.of("vm-guest", *RELEASE[1:])
    assert not child("vm-node2").holds(*RELEASE, forged)


def test_an_old_warrant_is_refused_and_what_was_seen_is_forgotten_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of used ones is bounded by how long they would hold."""
    node, old = child("vm-node2"), manager().of(*RELEASE)
    assert node.holds(*RELEASE, manager().of(*RELEASE))
    later_ns = time.monotonic_ns() + int((FRESH_S + 1) * 1e9)
    monkeypatch.setattr(time, "monotonic_ns", lambda: later_ns)
    assert not node.holds(*RELEASE, old)
    assert node.holds(*RELEASE, manager().of(*RELEASE))
    assert len(node._seen) == 1


def test_a_node_without_keys_takes_orders_from_anyone() -> None:
    """No guardian has started it: a test's, or that of `gridlink run`."""
    node = Warrants("vm-run-lamp")
    assert node.of(*RELEASE) == ""
    assert node.holds(*RELEASE, "any")
    assert node.for_child("vm-node2") == ""
