"""The table of the state machine: whole, and as it is drawn in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from appmanager.provisioning.machine import STEPS, TABLE, End, Event, Kind, State, Step, advance, first
from appmanager.provisioning.picture import document
from gridlink.errors import IllegalTransition

DOCS = Path(__file__).parents[3] / "docs" / "provisioning.md"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_path_through_a_command_ends(kind: Kind) -> None:
    """Whatever happens to any step, in any order: it comes to an end, and each end can be come to."""
    ends: set[End] = set()
    waiting: list[tuple[State, int]] = [(first(kind), 0)]
    while waiting:
        state, steps = waiting.pop()
        assert steps < 30, "a circle that no power cut explains"
        if isinstance(state, End):
            ends.add(state)
            continue
        waiting += [(advance(kind, state, event), steps + 1) for event in (Event.OK, Event.FAILED)]
        assert advance(kind, state, Event.CUT) in (state, Step.UNDO, Step.TIDY, End.REFUSED)
    assert ends == set(End) - ({End.REFUSED} if kind is Kind.UNINSTALL else set())


@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_goes_back_once_it_is_committed_and_nothing_stays_before(kind: Kind) -> None:
    """The one rule that everything else follows from."""
    committed = STEPS[kind].index(Step.COMMIT)
    for at, step in enumerate(STEPS[kind]):
        for event in (Event.FAILED, Event.CUT):
            after = advance(kind, step, event)
            if at >= committed:
                assert after in (Step.TIDY, End.DONE, End.BROKEN)
            else:
                assert after in (Step.UNDO, End.REFUSED) or (after is step is Step.RECEIVE)


def test_what_is_not_in_the_table_raises() -> None:
    """A defect of ours is seen at once."""
    with pytest.raises(IllegalTransition, match="nothing follows"):
        advance(Kind.INSTALL, End.DONE, Event.OK)
    with pytest.raises(IllegalTransition):
        advance(Kind.UNINSTALL, Step.RECEIVE, Event.OK)
    assert {kind for kind, _, _ in TABLE} == set(Kind)


def test_the_pictures_in_the_documentation_are_those_of_the_table() -> None:
    """`python -m appmanager.provisioning.picture` prints them."""
    assert document() in DOCS.read_text()
