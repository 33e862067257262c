"""What a module answers when its node asks: healthy, busy, and whatever the author's code does instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gridlink import Module, Refused, testing
from gridlink.errors import ConfigInvalid, ModuleInvalid
from gridlink.module.instance import Instance
from gridlink.module.owner import owner


class Plain(Module[None]):
    """Has none of the hooks."""


def answering(answer: Callable[[], Any]) -> type[Module[None]]:
    """A module that answers both questions so."""

    class Answering(Module[None]):
        """Answers as told."""

        async def healthy(self) -> Any:
            found = answer()
            return await found if asyncio.iscoroutine(found) else found

        async def busy(self) -> Any:
            found = answer()
            return await found if asyncio.iscoroutine(found) else found

    return Answering


@asynccontextmanager
async def instance_of(target: type[Module[Any]]) -> AsyncIterator[Instance]:
    """An instance of the module that runs."""
    async with testing.site() as site:
        yield site.node.instances[await site.host(target, name="any")]


def refuses() -> None:
    """One of ours."""
    raise Refused("the disk is full")


def fails() -> None:
    """A defect."""
    raise KeyError("bus_3")


def exits() -> None:
    """A worse one."""
    raise SystemExit(3)


async def never() -> None:
    """It waits for what never comes."""
    await asyncio.Event().wait()


async def test_a_module_without_the_hooks_is_healthy_and_not_busy() -> None:
    """And takes any configuration that fits."""
    async with instance_of(Plain) as instance:
        assert (await instance.unhealthy(), await instance.busy()) == ("", "")
        await instance.configure(None)


@pytest.mark.parametrize(
    ("answer", "unhealthy", "busy"),
    [
        (lambda: True, "", ""),
        (lambda: False, "healthy() is False", ""),
        (lambda: "no meter answers", "no meter answers", "no meter answers"),
        (lambda: None, "expected True, or a reason, got None", ""),
        (lambda: "", "expected True, or a reason, got ''", ""),
        (lambda: 7, "expected True, or a reason, got 7", ""),
        (refuses, "the disk is full", ""),
        (fails, "KeyError: 'bus_3' (", ""),
        (exits, "sys.exit(3)", ""),
        (never, "did not return within 0.1 s", ""),
    ],
)
async def test_each_answer_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any], unhealthy: str, busy: str
) -> None:
    """What is wrong with `busy` holds nothing up; what is wrong with `healthy` is not healthy."""
    monkeypatch.setattr("gridlink.module.hooks.ANSWER_WITHIN_S", 0.1)
    async with instance_of(answering(answer)) as instance:
        found = await instance.unhealthy()
        assert unhealthy in found
        assert bool(found) == bool(unhealthy)
        assert await instance.busy() == busy


async def test_what_is_wrong_with_busy_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its author finds the place."""
    async with instance_of(answering(fails)) as instance:
        await instance.busy()
    assert "busy(): KeyError: 'bus_3' (" in caplog.text
    assert "it holds nothing up" in caplog.text


async def test_hooks_run_in_the_modules_context() -> None:
    """What they do is the module's, whoever asked."""
    seen: list[str | None] = []

    def look() -> bool:
        seen.append(owner.get(None))
        return True

    async with instance_of(answering(look)) as instance:
        await instance.unhealthy()
    assert seen == ["any@test"]


async def test_one_that_has_ended_answers_too() -> None:
    """Whoever asks just then gets a sentence."""
    async with instance_of(Plain) as instance:
        await instance.stop()
        assert "any@test is STOPPED" in await instance.unhealthy()
        assert await instance.busy() == ""
        with pytest.raises(ConfigInvalid, match="any@test is STOPPED"):
            await instance.configure(None)


async def test_a_caller_who_gives_up_ends_the_hook() -> None:
    """Nothing of it is left behind."""
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with instance_of(answering(waits)) as instance:
        asked = asyncio.get_running_loop().create_task(instance.unhealthy())
        await testing.eventually(lambda: len(instance.environment.tasks) == 1)
        asked.cancel()
        async with asyncio.timeout(5):
            await ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await asked


@pytest.mark.parametrize("hook", ["start", "stop", "configure", "healthy", "busy", "snapshot", "restore"])
def test_a_hook_that_nobody_could_await_is_refused_when_the_class_is_made(hook: str) -> None:
    """Not when it is needed."""
    with pytest.raises(ModuleInvalid, match=f"Wrong.{hook}: a hook is an `async def`"):
        type("Wrong", (Module,), {hook: lambda self, *arguments: None})
