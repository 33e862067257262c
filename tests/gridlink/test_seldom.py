"""One line of log a second, and how many were left out."""

from __future__ import annotations

from gridlink.seldom import Seldom


def test_the_first_is_said_and_then_one_each_second_with_the_number_of_the_others() -> None:
    """A flood of bad messages must neither fill a board's flash nor go unnoticed."""
    seldom = Seldom()
    assert seldom.more(10.0) == ""
    assert [seldom.more(10.0 + number / 100) for number in range(99)] == [None] * 99
    assert seldom.more(11.0) == " (99 more since the last such line)"
    assert seldom.more(12.5) == ""
