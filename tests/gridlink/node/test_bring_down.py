"""Stopping many modules within one deadline."""

from __future__ import annotations

import logging
import time

import pytest

from gridlink.errors import RequestTimeout
from gridlink.node.bring_down import bring_down, share_s

LOG = logging.LoggerAdapter(logging.getLogger("test"))


class Child:
    """Notes when it is stopped and what it is given."""

    def __init__(self, name: str, stopped: list[str], error: Exception | None = None) -> None:
        self._name, self._stopped, self._error = name, stopped, error
        self.given_s = 0.0

    async def stop(self, within_s: float) -> None:
        """See gridlink.node.bring_down.Stoppable."""
        self.given_s = within_s
        self._stopped.append(self._name)
        if self._error is not None:
            raise self._error


async def test_what_was_started_last_is_stopped_first_and_an_error_stops_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All errors are said, not the first one alone."""
    stopped: list[str] = []
    errors = {"b": RequestTimeout("nobody answered"), "c": TimeoutError()}
    children = {name: Child(name, stopped, errors.get(name)) for name in "abcd"}
    await bring_down(children, lambda: 8.0, LOG)
    assert stopped == ["d", "c", "b", "a"]
    assert "b was not stopped in order: nobody answered" in caplog.text
    assert "c was not stopped in order: TimeoutError" in caplog.text


async def test_one_that_hangs_leaves_something_to_each_that_comes_after_it() -> None:
    """Half of what is left, and the last one all of it: the sum is the deadline."""
    by_s = time.monotonic() + 8.0
    children = {name: Child(name, []) for name in "abc"}
    left = iter([8.0, 4.0, 2.0])  # each takes all that it is given
    await bring_down(children, lambda: next(left), LOG)
    assert [children[name].given_s for name in "cba"] == [4.0, 2.0, 2.0]
    assert time.monotonic() < by_s


def test_the_last_one_gets_all_that_is_left() -> None:
    """Nobody waits for its turn after it."""
    assert (share_s(6.0, 1), share_s(6.0, 7), share_s(6.0, 0)) == (3.0, 3.0, 6.0)
