"""Owned tasks: waited for, reported, and ended with their owner."""

from __future__ import annotations

import asyncio
import time

import pytest

from gridlink.errors import Refused
from gridlink.tasks import Tasks, is_cancelled


async def forever() -> None:
    """Never ends by itself."""
    await asyncio.Event().wait()


async def test_a_close_cancels_and_waits() -> None:
    """Nothing of an owner runs on after it; closing twice is fine."""
    tasks = Tasks("owner")
    running = tasks.spawn(forever(), name="t")
    await tasks.aclose()
    assert running.cancelled()
    assert len(tasks) == 0
    await tasks.aclose()


async def test_spawning_after_the_close_raises_and_closes_the_coroutine() -> None:
    """A coroutine that is never awaited would warn: warnings are errors."""
    tasks = Tasks("owner")
    await tasks.aclose()
    with pytest.raises(RuntimeError, match="owner is closed and starts no task: late"):
        tasks.spawn(forever(), name="late")


@pytest.mark.parametrize("error", [ValueError("dry"), Refused("no water")])
async def test_a_task_that_fails_is_logged_at_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is swallowed; an error of ours needs no traceback."""

    async def fail() -> None:
        raise error

    tasks = Tasks("owner")
    tasks.spawn(fail(), name="pump")
    await tasks.wait(1)
    assert f"owner: the task pump failed: {error}" in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, ValueError)


async def test_a_task_that_ignores_its_cancellation_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    """An end has a time limit whatever a task does."""
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    tasks = Tasks("owner")
    running = tasks.spawn(stubborn(), name="mule")
    await asyncio.sleep(0)
    began_s = time.monotonic()
    await tasks.aclose(grace_s=0.05)
    assert time.monotonic() - began_s < 1
    assert "owner: the task mule ignores its cancellation for 0.05 s" in caplog.text
    release.set()
    await running


async def test_waiting_ends_after_its_grace_and_cancels_nothing() -> None:
    """`wait` is for those that end by themselves."""
    tasks = Tasks("owner")
    running = tasks.spawn(forever(), name="t")
    await tasks.wait(0.02)
    assert not running.done()
    await tasks.aclose()


async def test_a_task_may_close_its_own_owner() -> None:
    """It doesn't wait for itself."""
    tasks = Tasks("owner")
    await tasks.spawn(tasks.aclose(), name="closer")


async def test_cancelling_a_close_still_cancels_the_tasks() -> None:
    """An end that is itself cut short leaves nothing running."""
    tasks, outer = Tasks("owner"), Tasks("outer")
    running = tasks.spawn(forever(), name="t")
    closing = outer.spawn(tasks.aclose(), name="close")
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing, running}, timeout=1)
    assert running.cancelled()


async def test_a_cancellation_of_oneself_is_told_from_one_that_is_awaited() -> None:
    """A handler that awaits a cancelled task isn't being cancelled."""
    found: list[bool] = []

    async def look(inner: asyncio.Task[None] | None) -> None:
        try:
            await (inner or asyncio.Event().wait())
        except asyncio.CancelledError:
            found.append(is_cancelled())

    tasks = Tasks("owner")
    inner = tasks.spawn(forever(), name="inner")
    looking = tasks.spawn(look(inner), name="look")
    await asyncio.sleep(0)
    inner.cancel()
    await asyncio.wait({looking})
    looking = tasks.spawn(look(None), name="look")
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.wait({looking})
    assert found == [False, True]
