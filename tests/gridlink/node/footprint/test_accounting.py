"""Whose steps hold the loop: told apart by the context, on asyncio's loop and on uvloop, and only while one looks."""

from __future__ import annotations

import asyncio
import asyncio.events
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import pytest

from gridlink.module.owner import owner
from gridlink.node.footprint.accounting import Accounting
from gridlink.tasks import Tasks
from gridlink.testing import eventually

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function on a loop of its own."""
    factory: Any = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run_on(main: Callable[[], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())  # type: ignore[arg-type]

    return run_on


async def work(seconds: float, steps: int, spend: Callable[[float], None]) -> None:
    """Holds the loop for so long in each of so many steps."""
    for _ in range(steps):
        await asyncio.sleep(0)
        spend(seconds)


def compute(seconds: float) -> None:
    """Uses the processor for so long."""
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


def in_name_of(tasks: Tasks, name: str, coroutine: Any) -> asyncio.Task[Any]:
    """A task of a module."""
    context = copy_context()
    context.run(owner.set, name)
    return tasks.spawn(coroutine, name=name, context=context)


def test_each_module_has_the_steps_of_its_own_tasks_also_of_those_that_were_there_before(run: Run) -> None:
    """A task that began an hour ago is measured from its next step on."""

    async def main() -> None:
        tasks, accounting = Tasks("test"), Accounting()
        both = [
            in_name_of(tasks, "slow@n", work(0.02, 5, compute)),
            in_name_of(tasks, "quick@n", work(0.0, 5, compute)),
        ]
        accounting.look(60)
        await asyncio.wait(both)
        slow, quick = accounting.steps["slow@n"].summed(), accounting.steps["quick@n"].summed()
        accounting.stop()
        await tasks.aclose()
        assert 5 <= slow.steps == quick.steps <= 6  # uvloop had scheduled the first ones before
        assert slow.cpu_s == pytest.approx(0.1, rel=0.3)
        assert slow.longest_s >= 0.02
        assert quick.total_s < 0.02

    run(main)


def test_a_step_that_sleeps_holds_the_loop_and_uses_no_processor(run: Run) -> None:
    """The two are told apart, so that a blocking driver isn't taken for a computation."""

    async def main() -> None:
        tasks, accounting = Tasks("test"), Accounting()
        accounting.look(60)
        await asyncio.wait([in_name_of(tasks, "blocks@n", work(0.05, 4, time.sleep))])
        found = accounting.steps["blocks@n"].summed()
        accounting.stop()
        await tasks.aclose()
        assert found.total_s >= 0.2
        assert found.cpu_s < 0.05

    run(main)


def test_it_ends_by_itself_when_nobody_looks_any_more_and_leaves_the_loop_as_it_was(run: Run) -> None:
    """A `gridlink top` that was killed must not cost for ever."""

    async def main() -> None:
        loop, accounting = asyncio.get_running_loop(), Accounting()
        plain = asyncio.events.Handle._run
        accounting.look(0.1)
        accounting.look(0.3)
        began_s = time.monotonic()
        await eventually(lambda: not accounting.is_on, timeout_s=5)
        assert time.monotonic() - began_s >= 0.25
        assert asyncio.events.Handle._run is plain
        assert "call_soon" not in vars(loop) if hasattr(loop, "__dict__") else True
        assert accounting.steps == {}
        accounting.stop()

    run(main)


def test_a_callback_that_raises_is_counted_and_reported_as_ever(run: Run) -> None:
    """The loop's own handling of it is not disturbed."""

    async def main() -> None:
        loop, accounting = asyncio.get_running_loop(), Accounting()
        told: list[str] = []
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        accounting.look(60)

        def fail() -> None:
            raise ValueError("mine")

        context = copy_context()
        context.run(owner.set, "raises@n")
        loop.call_soon(fail, context=context)
        await eventually(lambda: told == ["mine"])
        assert accounting.steps["raises@n"].summed().steps == 1
        accounting.stop()

    run(main)
