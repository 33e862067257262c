"""A document written by a command looks as its file did."""

from __future__ import annotations

from typing import Any

import pytest

from gridlink.node.configuration.order import in_order_of


@pytest.mark.parametrize(
    ("document", "known", "written"),
    [
        ({"b": 1, "a": 2}, {"a": 0, "b": 0}, ["a", "b"]),
        ({"new": 1, "b": 1, "a": 2}, {"a": 0, "b": 0}, ["a", "b", "new"]),
        ({"b": 1}, {"a": 0, "b": 0}, ["b"]),
        ({"b": 1, "a": 2}, {}, ["b", "a"]),
        ({"b": 1, "a": 2}, "no object", ["b", "a"]),
    ],
)
def test_keys_keep_their_order_and_new_ones_come_last(document: Any, known: Any, written: list[str]) -> None:
    """A difference of two versions of the file is what was changed."""
    found = in_order_of(document, known)
    assert (found, list(found)) == (document, written)


def test_objects_in_objects_keep_theirs_too() -> None:
    """Settings are grouped."""
    found = in_order_of({"limits": {"upper": 2, "lower": 1}}, {"limits": {"lower": 0, "upper": 0}})
    assert list(found["limits"]) == ["lower", "upper"]
