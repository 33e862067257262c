"""`gridlink bench update`: what it reports, and that it measures."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from gridlink.bench.update import MODES, Asked, report, update
from gridlink.cli.update_table import update_table


def test_what_is_not_in_the_state_is_lost_and_what_is_there_twice_is_duplicated() -> None:
    """A reply alone doesn't prove that the state moved."""
    asked = Asked(sent=4, answered=4)
    found = report("node", 1000, 5, asked, [1, 2, 2, 4])
    assert (found["lost"], found["duplicated"]) == (1, 1)


def test_a_request_without_an_answer_is_lost_and_the_longest_time_between_two_answers_is_the_gap() -> None:
    """Whoever asks sees both."""
    asked = Asked(sent=3)
    asked.answer(10.0, 10.1)
    asked.answer(10.1, 10.5)
    found = report("node", 1000, 5, asked, [1, 2, 3])
    assert (found["lost"], found["longest_gap_ms"], found["longest_wait_ms"]) == (1, 400.0, 400.0)


@pytest.mark.parametrize(("mode", "most_ms"), [("node", 50), ("fork", 150), ("process", 500)])
def test_it_says_whether_the_longest_gap_is_within_what_is_wanted(mode: str, most_ms: int) -> None:
    """Who reads the table needn't know the requirement."""
    for gap_ms, word in ((most_ms, "yes"), (most_ms + 1, "NO")):
        asked = Asked(sent=2)
        asked.answer(10.0, 10.0)
        asked.answer(10.0, 10.0 + gap_ms / 1000)
        found = report(mode, 1000, 5, asked, [1, 2])
        out = StringIO()
        Console(file=out, width=100).print(update_table(found))
        row = next(line for line in out.getvalue().splitlines() if "longest_gap_ms" in line)
        assert (str(most_ms) in row, word in row, found["held"]["lost"]) == (True, True, True), row


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", MODES)
def test_updates_of_a_module_that_is_asked_lose_nothing_in_any_mode(mode: str) -> None:
    """The figures of the requirement are for a quiet machine; that nothing is lost holds on any."""
    found = asyncio.run(update(mode, 300, 2, 8.0, print))
    assert found["sent"] == found["answered"] > 2000
    assert (found["lost"], found["duplicated"], found["failed"]) == (0, 0, [])
    assert found["longest_gap_ms"] < 3000
