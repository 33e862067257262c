"""The state machine of an instance: the table, step by step, and nothing beside it."""

from __future__ import annotations

import itertools

import pytest

from gridlink.errors import IllegalTransition
from gridlink.lifecycle import State, advance

ALLOWED = {
    ("STARTING", "RUNNING"),
    ("STARTING", "STOPPING"),
    ("STARTING", "BACKOFF"),
    ("STARTING", "FAILED"),
    ("RUNNING", "STOPPING"),
    ("RUNNING", "BACKOFF"),
    ("RUNNING", "FAILED"),
    ("STOPPING", "STOPPED"),
    ("STOPPING", "FAILED"),
    ("STOPPED", "STARTING"),
    ("BACKOFF", "STARTING"),
    ("BACKOFF", "STOPPED"),
    ("BACKOFF", "FAILED"),
    ("FAILED", "STARTING"),
    ("FAILED", "STOPPED"),
}


@pytest.mark.parametrize(("now", "to"), [*itertools.product(State, State)])
def test_a_step_is_taken_exactly_where_the_table_has_it(now: State, to: State) -> None:
    """All 36 pairs: a step that slips in unseen would let an instance be in two states at once."""
    if (now.value, to.value) in ALLOWED:
        assert advance(now, to) is to
    else:
        with pytest.raises(IllegalTransition, match=f"is {now} can't become {to}; it can become"):
            advance(now, to)


def test_a_state_is_its_name_in_json() -> None:
    """States travel in the registry as plain words."""
    assert [str(state) for state in State] == ["STARTING", "RUNNING", "STOPPING", "STOPPED", "BACKOFF", "FAILED"]
