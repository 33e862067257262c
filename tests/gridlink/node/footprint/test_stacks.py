"""Where the tasks and threads of a module are, however they were made."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gridlink import Module, request, testing
from gridlink.errors import NoSuchInstance
from gridlink.node.footprint.stacks import TaskStack, stacks_of
from gridlink.tasks import Tasks
from gridlink.testing import eventually


class Waits(Module[None]):
    """Waits in each way there is."""

    roles = ("waits",)
    entered, release = threading.Event(), threading.Event()

    async def start(self) -> None:
        self._event = asyncio.Event()
        self.tasks.spawn(self._outer(), name="spawned")
        self._own = asyncio.get_running_loop().create_task(self._inner(), name="by the author")

    async def stop(self) -> None:
        self._own.cancel()

    async def _outer(self) -> None:
        await self._inner()

    async def _inner(self) -> None:
        await self._event.wait()

    @request("block", thread=True)
    def block(self) -> None:
        self.entered.set()
        self.release.wait(20)


class Other(Module[None]):
    """In the same interpreter."""

    async def start(self) -> None:
        self.tasks.spawn(asyncio.Event().wait(), name="other's")


def functions(stack: TaskStack) -> list[str]:
    """The names of its functions."""
    return [frame.rpartition(" ")[2] for frame in stack.frames]


async def test_tasks_and_threads_are_found_with_their_frames_from_the_inside_out() -> None:
    """Also a task that the author has made without `self.tasks`, and a handler in a thread."""
    async with testing.site() as site:
        instance = await site.host(Waits, name="waits")
        await site.host(Other, name="other")
        asking = Tasks("test")
        asking.spawn(site.request("waits", "block"), name="asking")
        await eventually(Waits.entered.is_set)
        found = {one.name: one for one in stacks_of(instance)}
        Waits.release.set()
        await asking.wait(5)
    assert {"spawned", "by the author", "block"} < found.keys()
    assert functions(found["spawned"])[:3] == ["Event.wait", "Waits._inner", "Waits._outer"]
    assert found["spawned"].waits_for == "FutureIter"
    assert functions(found["by the author"]) == ["Event.wait", "Waits._inner"]
    (thread,) = [one for one in found.values() if one.kind == "thread"]
    assert "Waits.block" in functions(thread)
    assert __file__ in thread.frames[functions(thread).index("Waits.block")]
    assert "other's" not in found


async def test_a_node_answers_for_its_instances_and_names_them_for_another() -> None:
    """A misspelt name is the commonest mistake."""
    async with testing.site() as site:
        await site.host(Other, name="other")
        stacks = await site.request("_node@test", "stacks", "other@test")
        assert [one["name"] for one in stacks] == ["other's"]
        with pytest.raises(NoSuchInstance, match="node test has no instance 'ohter@test' that runs: it has other@test"):
            await site.request("_node@test", "stacks", "ohter@test")
