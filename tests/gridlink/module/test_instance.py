"""A module's life: its timers, its start, which leaves all or nothing, and its end."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import ClassVar

import pytest

from gridlink import Module, Refused, every, request, subscribe, testing
from gridlink.errors import (
    Closed,
    GridlinkError,
    ModuleInvalid,
    NoSuchInstance,
    NoSuchRole,
    StartFailed,
)
from gridlink.tasks import Tasks
from gridlink.testing import Site, eventually
from tests.gridlink.module.probe import Number, Probe, probe


class Ticking(Module[None]):
    """Timers of site time."""

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self.raised = 0

    @every(seconds=60)
    async def tick(self) -> None:
        self.ticks.append(self.clock.now())

    @every(seconds=60)
    async def fail(self) -> None:
        self.raised += 1
        raise [ValueError("no"), Refused("no"), asyncio.CancelledError()][self.raised % 3]


class Often(Module[None]):
    """A timer that is fast in real time."""

    def __init__(self) -> None:
        self.ticks: list[float] = [0.0]

    @every(seconds=0.05)
    async def tick(self) -> None:
        self.ticks.append(self.clock.now())

    def has_ticked_at(self, off_s: float) -> bool:
        """Whether the last one was at the time of a clock that is so far off."""
        return abs(self.ticks[-1] - _off(off_s)) < 1


def _off(off_s: float) -> float:
    return time.time() + off_s


class TestTimers:
    """`@every`."""

    async def test_a_timer_runs_on_site_time_and_a_raising_one_goes_on(self) -> None:
        """A minute of a fast day is a moment; a timer that fails is counted and runs again."""
        async with testing.site() as site:
            await site.host(Ticking, name="ticking")
            site.clock.lead(0.0, 6000.0, "test@test")
            ticking = probe(site, "ticking")
            await eventually(lambda: len(ticking.ticks) > 5 and ticking.raised > 5)
            assert site.counters("ticking").errors >= 5

    async def test_timers_go_on_where_the_wall_clock_is_set(self) -> None:
        """To ten years ago, or in ten years: each heartbeat has site time go with it, and no timer waits for that."""
        async with testing.site() as site:
            await site.host(Often, name="often")
            often = probe(site, "often")
            for off_s in (-3e8, 3e8):
                site.clock._wall_s = partial(_off, off_s)
                await eventually(partial(often.has_ticked_at, off_s))
                often.ticks[:] = [0.0]
                await eventually(lambda: len(often.ticks) > 3, timeout_s=2)

    async def test_a_timer_ends_with_its_module(self) -> None:
        """No tick after the stop."""
        async with testing.site() as site:
            await site.host(Ticking, name="ticking")
            ticking = probe(site, "ticking")
            await site.node.release("ticking@test")
            ticking.ticks.clear()
            site.clock.lead(0.0, 1e6, "test@test")
            await site.clock.sleep(3600)
            assert ticking.ticks == []


class Starting(Module[None]):
    """Does in `start` what the test wants; `how` is set by the test."""

    roles = ("starting",)
    start_within_s = 0.1
    how: ClassVar[str] = ""
    log_of_calls: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.log_of_calls.append("init")
        if self.how == "init raises":
            raise ValueError("in init")

    async def start(self) -> None:
        self.log_of_calls.append("start")
        self.tasks.spawn(self._background(), name="background")
        await asyncio.sleep(0)
        if self.how == "raises":
            raise ValueError("no meter")
        if self.how == "refuses":
            raise Refused("not today")
        if self.how == "cancelled":
            raise asyncio.CancelledError
        if self.how == "hangs":
            await asyncio.Event().wait()

    async def _background(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.log_of_calls.append("background ended")

    async def stop(self) -> None:
        self.log_of_calls.append("stop")

    @request("ping")
    async def ping(self) -> str:
        return "pong"

    @subscribe("measurement", "number")
    async def on_number(self, number: Number) -> None: ...


class TestStart:
    """A start leaves a RUNNING instance, or nothing."""

    @pytest.mark.parametrize(
        ("how", "says"),
        [
            ("init raises", "ValueError: in init"),
            ("raises", "Starting: ValueError: no meter"),
            ("refuses", "Starting: Refused: not today"),
            ("cancelled", "CancelledError"),
            ("hangs", r"start\(\) did not return within 0.1 s: let start\(\) return"),
        ],
    )
    async def test_a_start_that_fails_is_rolled_back_whole(
        self, how: str, says: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No task, no registration and no entry is left; the reason is raised; another try can succeed."""
        async with testing.site() as site:
            await asyncio.sleep(0)
            before = asyncio.all_tasks()
            monkeypatch.setattr(Starting, "how", how)
            monkeypatch.setattr(Starting, "log_of_calls", [])
            with pytest.raises(StartFailed, match=says):
                await site.host(Starting, name="starting")
            assert "stop" not in Starting.log_of_calls
            await eventually(lambda: asyncio.all_tasks() <= before, timeout_s=1)
            assert site.node.instances == {}
            assert site.node.registry.instances() == []
            for where in ("starting", "starting@test"):
                with pytest.raises((NoSuchRole, NoSuchInstance)):
                    await site.request(where, "ping")
            monkeypatch.setattr(Starting, "how", "")
            await site.host(Starting, name="starting")
            assert await site.request("starting", "ping") == "pong"

    async def test_cancelling_a_start_rolls_it_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A node that is told to end while a module starts."""
        async with testing.site() as site:
            before = asyncio.all_tasks()
            monkeypatch.setattr(Starting, "how", "hangs")
            monkeypatch.setattr(Starting, "start_within_s", 30.0)
            monkeypatch.setattr(Starting, "log_of_calls", [])
            tasks = Tasks("test")
            hosting = tasks.spawn(site.host(Starting, name="starting"), name="host")
            await eventually(lambda: "start" in Starting.log_of_calls)
            hosting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hosting
            await eventually(lambda: asyncio.all_tasks() <= before, timeout_s=1)
            assert (site.node.instances, site.node.registry.instances()) == ({}, [])

    async def test_an_instance_that_is_still_starting_can_be_released(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A NodeManager cancels its host order and releases at once: neither may stumble over the other."""
        async with testing.site() as site:
            monkeypatch.setattr(Starting, "how", "hangs")
            monkeypatch.setattr(Starting, "start_within_s", 30.0)
            monkeypatch.setattr(Starting, "log_of_calls", [])
            tasks = Tasks("test")
            hosting = tasks.spawn(site.host(Starting, name="starting"), name="host")
            await eventually(lambda: "start" in Starting.log_of_calls)
            hosting.cancel()
            await site.node.release("starting@test")
            with pytest.raises(asyncio.CancelledError):
                await hosting
            assert (site.node.instances, site.node.registry.instances()) == ({}, [])

    async def test_messages_come_only_after_start_has_returned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler may rely on what `start` has prepared."""
        async with testing.site() as site:
            monkeypatch.setattr(Starting, "how", "hangs")
            tasks = Tasks("test")
            hosting = tasks.spawn(site.host(Starting, name="starting"), name="host")
            await eventually(lambda: site.node.instances)
            with pytest.raises(NoSuchRole):
                await site.request("starting", "ping")
            with pytest.raises(StartFailed):
                await hosting

    async def test_a_name_that_is_hosted_already_is_refused(self, site: Site) -> None:
        """And the first goes on."""
        with pytest.raises(ModuleInvalid, match="hosted here already"):
            await site.host(Probe, name="probe")
        assert await site.request("probe", "double", {"value": 1}) == {"value": 2}

    async def test_settings_for_a_module_without_any_are_refused(self) -> None:
        """A setting that nobody reads is a mistake."""
        async with testing.site() as site:
            with pytest.raises(ModuleInvalid, match="takes no settings: remove limit"):
                await site.host(Probe, {"limit": 1}, name="probe")


class Ending(Module[None]):
    """Notes the order of its end."""

    roles = ("ending",)
    stop_within_s = 0.3
    order: ClassVar[list[str]] = []
    how: ClassVar[str] = ""

    def __init__(self) -> None:
        self.name = self.instance.partition("@")[0]

    async def start(self) -> None:
        self.order.append(f"start {self.name}")
        self.tasks.spawn(self._background(), name="background")

    async def _background(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.order.append(f"background {self.name}")

    @request("work")
    async def work(self) -> str:
        try:
            await asyncio.sleep(0.05 if self.how != "stuck" else 30)
        finally:
            self.order.append(f"work {self.name}")
        return "done"

    async def stop(self) -> None:
        self.order.append(f"stop {self.name}")
        if self.how == "stop raises":
            raise ValueError("no")
        if self.how == "stop hangs":
            await asyncio.Event().wait()


async def _stopped_while_it_works(site: Site) -> None:
    with pytest.raises(GridlinkError, match="was stopped while it handled work"):
        await site.request("ending", "work")


class TestStop:
    """The end of a module."""

    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each test notes for itself."""
        monkeypatch.setattr(Ending, "order", [])

    async def test_modules_end_in_reverse_of_their_start(self) -> None:
        """What was started last may rely on what was started first."""
        async with testing.site() as site:
            for name in ("a", "b", "c"):
                await site.host(Ending, name=name)
        stops = [step for step in Ending.order if step.startswith("stop")]
        assert stops == ["stop c", "stop b", "stop a"]

    async def test_handlers_in_flight_finish_then_stop_runs_then_background_tasks_end(self) -> None:
        """`stop` finds no handler at work, and its tasks still there."""
        async with testing.site() as site:
            await site.host(Ending, name="a")
            tasks = Tasks("test")
            working = tasks.spawn(site.request("ending", "work"), name="work")
            await eventually(lambda: site.counters("a").requests == 1)
            await site.node.release("a@test")
            assert await working == "done"
            assert Ending.order == ["start a", "work a", "stop a", "background a"]
            assert site.node.registry.instances() == []

    async def test_a_handler_that_does_not_finish_is_cancelled_after_the_grace(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And its sender is told."""
        monkeypatch.setattr(Ending, "how", "stuck")
        async with testing.site() as site:
            await site.host(Ending, name="a")
            tasks = Tasks("test")
            working = tasks.spawn(site.request("ending", "work"), name="work")
            await eventually(lambda: site.counters("a").requests == 1)
            began_s = time.monotonic()
            await site.node.release("a@test")
            assert 0.25 < time.monotonic() - began_s < 1.5
            with pytest.raises(GridlinkError, match="was stopped while it handled work"):
                await working
            assert Ending.order == ["start a", "work a", "stop a", "background a"]

    @pytest.mark.parametrize("how", ["stuck", "stop hangs"])
    async def test_a_stop_ends_in_the_time_it_is_given_whatever_the_module_would_take(
        self, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever stops many modules has one deadline for all of them; `stop()` can ask what is left of it."""
        monkeypatch.setattr(Ending, "how", how)
        monkeypatch.setattr(Ending, "stop_within_s", 60.0)
        left_s: list[float] = []

        async def stop(self: Ending) -> None:
            left_s.append(self.stop_left_s())
            if self.how == "stop hangs":
                await asyncio.Event().wait()

        monkeypatch.setattr(Ending, "stop", stop)
        async with testing.site() as site:
            await site.host(Ending, name="a")
            tasks = Tasks("test")
            if how == "stuck":
                tasks.spawn(_stopped_while_it_works(site), name="work")
                await eventually(lambda: site.counters("a").requests == 1)
            began_s = time.monotonic()
            await site.node.release("a@test", 0.6)
            assert time.monotonic() - began_s < 2.5
            assert 0.0 < left_s[0] <= 0.6

    @pytest.mark.parametrize("how", ["stop raises", "stop hangs"])
    async def test_a_stop_that_fails_does_not_keep_the_module(
        self, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The end goes on all the same, and the log says why."""
        monkeypatch.setattr(Ending, "how", how)
        async with testing.site() as site:
            before = asyncio.all_tasks()
            await site.host(Ending, name="a")
            began_s = time.monotonic()
            await site.node.release("a@test")
            assert time.monotonic() - began_s < 2.5
            assert "stop() failed" in caplog.text
            assert site.node.instances == {}
            await eventually(lambda: asyncio.all_tasks() <= before, timeout_s=1)

    async def test_releasing_twice_at_once_is_fine(self) -> None:
        """An AppManager and the node's own end may both do it."""
        async with testing.site() as site:
            await site.host(Ending, name="a")
            await asyncio.gather(site.node.release("a@test"), site.node.release("a@test"))
            await site.node.release("a@test")
            assert Ending.order.count("stop a") == 1

    async def test_a_sender_outlives_its_module_without_harm(self, site: Site) -> None:
        """A stopped module's stray task meets Closed or goes on, and nothing hangs."""
        stopped = probe(site)
        await site.node.release("probe@test")
        with pytest.raises(NoSuchRole):
            await stopped.bus.request("probe", "double", Number(1), timeout_s=1)
        await site.host(Probe, name="probe")

    async def test_closing_a_node_twice_is_fine(self) -> None:
        """Every resource's aclose may be called twice."""
        async with testing.site() as site:
            await site.host(Ending, name="a")
            await site.node.aclose()
            await site.node.aclose()
            with pytest.raises(Closed):
                await site.publish("measurement", "number", {"value": 1})
