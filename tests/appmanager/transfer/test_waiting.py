"""How long an answer is waited for: short where the line is fast, longer where it is thin, and back again. Pure."""

from __future__ import annotations

import pytest

from appmanager.transfer.waiting import ANSWER_WITHIN_S, LEAST_S, MOST_S, PAUSES_S, SLOWER, Patience


def test_a_killed_server_costs_the_same_each_time() -> None:
    """A lost answer says nothing of the line: once chunks come fast again, the next one is given up as soon."""
    patience = Patience()
    for _ in range(3):
        patience.heard(0.01)
        assert patience.answer_within_s == LEAST_S
        patience.failed(late=True)
        assert patience.answer_within_s == 2 * LEAST_S


def test_a_thin_line_is_given_the_time_it_takes() -> None:
    """Else each chunk would come twice, and the line be thinner still."""
    patience = Patience()
    assert patience.answer_within_s == ANSWER_WITHIN_S
    patience.heard(8.0)
    patience.heard(0.5)
    assert patience.answer_within_s == pytest.approx(SLOWER * 8.0 * 0.9)
    patience.heard(30.0)
    assert patience.answer_within_s == MOST_S


def test_late_answers_in_a_row_are_waited_for_longer_up_to_a_bound() -> None:
    """A line that has become thin is found out."""
    patience, waits = Patience(), []
    for _ in range(5):
        patience.failed(late=True)
        waits.append(patience.answer_within_s)
    assert waits == [20.0, 40.0, MOST_S, MOST_S, MOST_S]


def test_pauses_grow_and_begin_anew_when_something_is_heard() -> None:
    """A link that is gone for hours isn't asked ten times a second."""
    patience = Patience()
    assert [patience.failed(late=False) for _ in range(8)] == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    patience.heard(0.1)
    assert patience.failed(late=False) == PAUSES_S[0]
