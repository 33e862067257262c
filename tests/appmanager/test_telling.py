"""How the bundles fare, in a sentence for `systemctl status`."""

from __future__ import annotations

import asyncio

from appmanager.telling import in_words, keep_told
from gridlink.lifecycle import State
from gridlink.testing import eventually


def test_those_that_do_not_run_are_named_by_their_states() -> None:
    """An operator looks at this line first: a number alone would send him looking for the name."""
    bundles = [
        ("a", State.RUNNING),
        ("b", State.FAILED),
        ("c", State.RUNNING),
        ("d", State.BACKOFF),
        ("e", State.FAILED),
    ]
    assert in_words(bundles) == "2 of 5 bundles are RUNNING; BACKOFF: d; FAILED: b, e"
    assert in_words(bundles[:1]) == "1 of 1 bundles are RUNNING"


async def test_only_news_is_told() -> None:
    """The guardian wakes for each line."""
    states = {"a": State.STARTING}
    said: list[str] = []
    looks = 0

    def bundles() -> list[tuple[str, State]]:
        nonlocal looks
        looks += 1
        return list(states.items())

    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_told(bundles, said.append, every_s=0.01))
        await eventually(lambda: looks > 3)
        states["a"] = State.RUNNING
        await eventually(lambda: len(said) == 2)
        task.cancel()
    assert said == ["0 of 1 bundles are RUNNING; STARTING: a", "1 of 1 bundles are RUNNING"]
