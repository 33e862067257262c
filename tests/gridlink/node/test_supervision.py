"""Keeping a child running: tried again after a wait, given up after too many failures, at once where it can't help."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gridlink.errors import ModuleInvalid, StartFailed
from gridlink.lifecycle import State
from gridlink.node.supervision import keep_running
from gridlink.restart import RestartHistory
from gridlink.tasks import Tasks


class Child:
    """Fails as often as it is told, and remembers what was reported of it."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.attempts = 0
        self.reports: list[tuple[State, str]] = []

    async def attempt(self) -> None:
        self.attempts += 1
        if self._errors:
            raise self._errors.pop(0)

    async def report(self, state: State, reason: str) -> None:
        self.reports.append((state, reason))


def history(intensity: int = 3) -> RestartHistory:
    """One that waits only a moment."""
    return RestartHistory(intensity, 60.0, (0.001, 0.002))


async def test_an_attempt_that_returns_was_ended_on_purpose() -> None:
    """Nothing is reported and nothing tried again."""
    child = Child()
    await keep_running(child.attempt, history(), child.report)
    assert (child.attempts, child.reports) == (1, [])


async def test_a_failed_attempt_is_reported_as_backoff_and_tried_again() -> None:
    """With the reason and the wait."""
    child = Child(StartFailed("dry"), StartFailed("dry"))
    await keep_running(child.attempt, history(), child.report)
    assert child.attempts == 3
    assert child.reports == [(State.BACKOFF, "dry (again in 0.001 s)"), (State.BACKOFF, "dry (again in 0.002 s)")]


async def test_too_many_failures_are_given_up_with_reason_and_number() -> None:
    """FAILED until an operator acts."""
    child = Child(*[StartFailed("dry")] * 9)
    await keep_running(child.attempt, history(intensity=2), child.report)
    assert child.attempts == 3
    assert child.reports[-1] == (State.FAILED, "dry (failed more than 2 times in 60 s, given up)")


async def test_what_cannot_get_better_is_given_up_at_once() -> None:
    """A manifest doesn't heal by waiting."""
    child = Child(ModuleInvalid("no such class"))
    await keep_running(child.attempt, history(), child.report)
    assert (child.attempts, child.reports) == (1, [(State.FAILED, "no such class")])


@pytest.mark.parametrize("where", ["attempt", "wait"])
async def test_cancelling_it_cancels_the_attempt_or_the_wait(where: str) -> None:
    """Neither reports anything more."""
    child = Child(StartFailed("dry"))
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def fail() -> None:
        entered.set()
        await child.attempt()

    attempts: dict[str, Callable[[], Awaitable[None]]] = {"attempt": hang, "wait": fail}
    tasks = Tasks("test")
    keeping = tasks.spawn(keep_running(attempts[where], RestartHistory(5, 60, (30, 30)), child.report), name="keep")
    await entered.wait()
    await asyncio.sleep(0)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert len(child.reports) == (where == "wait")
