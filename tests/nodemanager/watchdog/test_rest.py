"""While the loop waits, the timer rests; while it works, it runs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest

from gridlink.testing import eventually
from nodemanager.watchdog.hang import Hang
from nodemanager.watchdog.limits import Limits
from nodemanager.watchdog.watchdog import Watchdog

pytestmark = pytest.mark.timeout(60, method="thread")  # by signal, SIGALRM would be taken
LOOK_S = 0.02


@pytest.fixture
async def hangs() -> AsyncIterator[list[Hang]]:
    """A watchdog of this loop; what it has met."""
    met: list[Hang] = []
    watchdog = Watchdog(LOOK_S, 0.1, lambda *_: (Limits(0.1, 10.0), "interrupt"), met.append, lambda *_: None)
    assert watchdog.start() == ""
    yield met
    watchdog.stop()


def is_set() -> bool:
    """Whether the timer runs; asked by something that the loop runs, so it does while anything does."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


async def signals_in(seconds: float) -> int:
    """How many signals come while the loop waits."""
    count, handler = 0, signal.getsignal(signal.SIGALRM)

    def counted(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        handler(number, frame)  # type: ignore[operator, misc, arg-type]

    signal.signal(signal.SIGALRM, counted)
    try:
        await asyncio.sleep(seconds)
    finally:
        signal.signal(signal.SIGALRM, handler)
    return count


async def test_a_loop_that_waits_is_not_woken(hangs: list[Hang]) -> None:
    """Each wake-up costs power on every board; the first few find out that nothing goes on."""
    await asyncio.sleep(LOOK_S * 10)
    assert await signals_in(LOOK_S * 20) <= 2
    assert hangs == []


async def test_a_step_after_a_long_rest_is_watched_from_its_begin(hangs: list[Hang]) -> None:
    """The rest before it isn't counted, and it isn't missed."""
    await asyncio.sleep(LOOK_S * 20)
    assert is_set()
    _sleeps(0.05)
    await asyncio.sleep(0.01)
    assert hangs == []
    _sleeps(0.2)
    await eventually(lambda: hangs)
    assert hangs[0].held_s == pytest.approx(0.2, abs=0.06)


async def test_a_busy_loop_gets_its_own_selector_back(hangs: list[Hang]) -> None:
    """Thousands of turns a second must not pay for the rest."""
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    await eventually(lambda: "select" in vars(selector))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert "select" not in vars(selector)
    assert is_set()


async def test_it_is_off_when_it_was_stopped() -> None:
    """Nothing is left in the loop."""
    watchdog = Watchdog(LOOK_S, 0.1, lambda *_: (Limits(), "warn"), lambda _: None, lambda *_: None)
    watchdog.start()
    await asyncio.sleep(LOOK_S * 10)
    watchdog.stop()
    watchdog.stop()
    assert "select" not in vars(asyncio.get_running_loop()._selector)  # type: ignore[attr-defined]
    assert not is_set()


def test_it_refuses_where_another_has_the_signal() -> None:
    """pytest-timeout, say: it isn't taken from whoever has it."""

    async def started() -> str:
        return Watchdog(LOOK_S, 0.1, lambda *_: (Limits(), "warn"), lambda _: None, lambda *_: None).start()

    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        assert asyncio.run(started()) == "SIGALRM has a handler already"
    finally:
        signal.signal(signal.SIGALRM, before)


def _sleeps(seconds: float) -> None:
    from gridlink.module.owner import owner  # noqa: PLC0415

    owner.set("somebody@here")
    time.sleep(seconds)
