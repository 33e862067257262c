"""A module as it runs: its handlers, its limits, its start and its end, and what it may not do."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from gridlink import Module, Refused, Topic, every, message, request, subscribe, testing
from gridlink.errors import (
    Busy,
    Closed,
    GridlinkError,
    HandlerFailed,
    ModuleInvalid,
    NoSuchInstance,
    NoSuchRole,
    NoSuchType,
    NotDeclared,
    PayloadInvalid,
    ReplyInvalid,
    StartFailed,
)
from gridlink.module.inbox import MAX_IN_FLIGHT, MAX_WAITING
from gridlink.tasks import Tasks
from gridlink.testing import Site, eventually


@dataclass(frozen=True)
class Number:
    """A payload."""

    value: int


class Probe(Module[None]):
    """One handler of each kind; what happened is in `seen`."""

    roles = ("probe",)
    publishes = (Topic("news", number=Number),)
    stop_within_s = 0.3

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.gate = asyncio.Event()
        self.thread_gate = threading.Event()
        self.cancelled = 0

    @request("double")
    async def double(self, number: Number) -> Number:
        return Number(number.value * 2)

    @request("wait")
    async def wait(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "waited"

    @request("fail")
    async def fail(self) -> None:
        raise ValueError("the pump is dry")

    @request("refuse")
    async def refuse(self) -> None:
        raise Refused("expected water, got none: fill it")

    @request("lie")
    async def lie(self) -> Number:
        return Number("many")  # type: ignore[arg-type]

    @request("who")
    async def who(self) -> list[Any]:
        now = message()
        return [now.source, now.type, bool(now.id), now.trace, round(now.time_left_s() or -1)]

    @request("thread", thread=True)
    def thread(self) -> str:
        self.thread_gate.wait(10)
        return threading.current_thread().name

    @request("publish")
    async def publish(self, number: Number) -> None:
        await self.bus.publish("news", "number", number)

    @request("gossip")
    async def gossip(self) -> None:
        await self.bus.publish("news", "rumour", 1)

    @request("ask")
    async def ask(self, to: str) -> list[Any]:
        return [message().trace, await self.bus.request(to, "who")]

    @request("spawn")
    async def spawn(self) -> None:
        self.tasks.spawn(self.clock.sleep(3600), name="background")

    @request("exit")
    async def exit(self) -> None:
        raise asyncio.CancelledError

    @subscribe("measurement", "number")
    async def on_number(self, number: Number) -> None:
        self.seen.append(number.value)
        if number.value < 0:
            raise ValueError("negative")
        if number.value == 999:
            raise asyncio.CancelledError
        if number.value == 1000:
            await self.gate.wait()

    @subscribe("measurement", "other")
    async def on_other(self, number: Number) -> None:
        await asyncio.sleep(0)
        self.seen.append(f"other {number.value}")

    @subscribe("second", "number")
    async def on_second(self, number: Number) -> None:
        self.seen.append(f"second {number.value}")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A node that runs the probe."""
    async with testing.site() as around:
        await around.host(Probe, name="probe")
        yield around
        for running in around.node.instances.values():
            if isinstance(running._module, Probe):
                running._module.gate.set()
                running._module.thread_gate.set()


def probe(site: Site, name: str = "probe") -> Any:
    """The module itself."""
    return site.node.instances[f"{name}@test"]._module


class TestRequests:
    """What a sender of requests meets."""

    async def test_a_payload_is_typed_inside_and_plain_outside(self, site: Site) -> None:
        """The handler gets a Number, the wire JSON."""
        assert await site.request("probe", "double", {"value": 21}) == {"value": 42}
        assert await site.request("probe@test", "double", Number(4)) == {"value": 8}

    async def test_what_does_not_fit_never_reaches_the_handler(self, site: Site) -> None:
        """The sender gets the path, what was expected and what came."""
        with pytest.raises(PayloadInvalid) as caught:
            await site.request("probe", "double", {"value": "x"})
        assert (caught.value.path, caught.value.expected, caught.value.got) == ("$.value", "int", "str")
        with pytest.raises(PayloadInvalid, match="expected no payload"):
            await site.request("probe", "wait", 5)

    async def test_a_type_that_is_not_served_is_refused_with_those_that_are(self, site: Site) -> None:
        """A misspelt type is the commonest mistake at a shell."""
        with pytest.raises(NoSuchType, match=r"'dubble'; it serves .*double"):
            await site.request("probe", "dubble")

    async def test_a_handler_that_raises_is_handler_failed_and_counted_and_the_module_runs_on(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One bad request must not end a module; the log has the traceback."""
        with pytest.raises(HandlerFailed, match="probe@test, fail: ValueError: the pump is dry"):
            await site.request("probe", "fail")
        assert site.counters("probe").errors == 1
        assert "Traceback" in caplog.text
        assert await site.request("probe", "double", {"value": 1}) == {"value": 2}

    async def test_a_refusal_is_no_failure(self, site: Site) -> None:
        """Refused is meant for the sender, and nothing to look into."""
        with pytest.raises(Refused, match="expected water, got none: fill it"):
            await site.request("probe", "refuse")
        assert site.counters("probe").errors == 0

    async def test_a_reply_that_breaks_its_own_contract_is_reply_invalid(self, site: Site) -> None:
        """The receiver's fault, said as such: 502 and not 400."""
        with pytest.raises(ReplyInvalid, match=r"the reply to lie broke its contract: \$\.value"):
            await site.request("probe", "lie")

    async def test_a_reply_that_is_not_what_was_asked_for_is_reply_invalid(self, site: Site) -> None:
        """`reply=Type` is checked at the sender."""
        await site.host(Asker, name="asker")
        with pytest.raises(ReplyInvalid, match="not what was asked for"):
            await site.request("asker", "typed", "text")
        assert await site.request("asker", "typed", "number") == 42

    async def test_requests_over_the_limit_are_busy_at_once(self, site: Site) -> None:
        """64 are in flight: the 65th is told so and nothing is begun."""
        tasks = Tasks("test")
        asking = [tasks.spawn(site.request("probe", "wait"), name="wait") for _ in range(MAX_IN_FLIGHT)]
        await eventually(lambda: site.counters("probe").requests == MAX_IN_FLIGHT)
        with pytest.raises(Busy, match="64 requests in flight"):
            await site.request("probe", "double", {"value": 1})
        assert site.counters("probe").busy == 1
        probe(site).gate.set()
        assert await asyncio.gather(*asking) == ["waited"] * MAX_IN_FLIGHT
        assert await site.request("probe", "double", {"value": 1}) == {"value": 2}

    async def test_a_handler_that_raises_cancelled_error_answers_and_frees_its_place(self, site: Site) -> None:
        """A handler may await a task that somebody cancelled: its sender must not wait for the timeout."""
        for _ in range(MAX_IN_FLIGHT + 1):
            with pytest.raises(GridlinkError) as caught:
                await site.request("probe", "exit", timeout_s=1)
            assert not isinstance(caught.value, Busy)

    async def test_cancelling_a_request_leaves_its_handler_running(self, site: Site) -> None:
        """A caller's cancellation never cancels a handler."""
        tasks = Tasks("test")
        asking = tasks.spawn(site.request("probe", "wait"), name="wait")
        await eventually(lambda: site.counters("probe").requests == 1)
        asking.cancel()
        await asyncio.wait({asking})
        await asyncio.sleep(0)
        assert probe(site).cancelled == 0


class Asker(Module[None]):
    """Asks the probe."""

    roles = ("asker",)

    @request("typed")
    async def typed(self, what: str) -> int:
        if what == "text":
            return await self.bus.request("probe", "double", Number(21), reply=int)
        return (await self.bus.request("probe", "double", Number(21), reply=Number)).value


class TestMessage:
    """What a handler knows of the message, and what it causes."""

    async def test_message_gives_sender_type_id_and_time_left(self, site: Site) -> None:
        """`gridlink.message()` inside a handler."""
        source, type_name, has_id, _, left_s = await site.request("probe", "who", timeout_s=7)
        assert (source, type_name, has_id, left_s) == ("test@test", "who", True, 7)

    async def test_outside_of_a_handler_there_is_no_message(self) -> None:
        """A background task belongs to no message."""
        with pytest.raises(LookupError):
            message()

    async def test_a_trace_goes_on_from_module_to_module(self, site: Site) -> None:
        """What a message caused can be followed."""
        await site.host(Probe2, name="probe2")
        trace, inner = await site.request("probe", "ask", "probe2")
        caused = inner[3]
        assert caused[3:35] == trace[3:35]
        assert caused[36:52] != trace[36:52]
        other, _ = await site.request("probe", "ask", "probe2")
        assert other[3:35] != trace[3:35]
        assert inner[0] == "probe@test"


class Probe2(Probe):
    """The same under another role."""

    roles = ("probe2",)


class TestEvents:
    """What a subscriber meets."""

    async def test_events_of_a_topic_are_handled_in_order_of_arrival(self, site: Site) -> None:
        """Also across types, and where one handler is slower than the other."""
        for n in range(50):
            await site.publish("measurement", "other" if n % 2 else "number", {"value": n})
        await eventually(lambda: len(probe(site).seen) == 50)
        assert probe(site).seen == [f"other {n}" if n % 2 else n for n in range(50)]

    async def test_a_topic_that_is_stuck_does_not_hold_up_another(self, site: Site) -> None:
        """Order is promised within a topic, and no more."""
        await site.publish("measurement", "number", {"value": 1000})
        await site.publish("measurement", "number", {"value": 1})
        await site.publish("second", "number", {"value": 2})
        await eventually(lambda: "second 2" in probe(site).seen)
        assert 1 not in probe(site).seen

    async def test_a_full_inbox_drops_the_oldest_and_counts(self, site: Site) -> None:
        """The newest measurement is worth more than the oldest."""
        await site.publish("measurement", "number", {"value": 1000})
        await eventually(lambda: probe(site).seen == [1000])
        for n in range(MAX_WAITING + 10):
            await site.publish("measurement", "number", {"value": n})
        assert site.counters("probe").dropped_events == 10
        probe(site).gate.set()
        await eventually(lambda: len(probe(site).seen) == MAX_WAITING + 1)
        assert probe(site).seen[1:3] == [10, 11]
        assert probe(site).seen[-1] == MAX_WAITING + 9

    @pytest.mark.parametrize("value", [-1, 999, "x"])
    async def test_an_event_that_cannot_be_handled_is_counted_and_the_next_is_handled(
        self, site: Site, value: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One that makes the handler raise, one that ends in a cancellation, one that doesn't fit."""
        await site.publish("measurement", "number", {"value": value})
        await site.publish("measurement", "number", {"value": 7})
        await eventually(lambda: 7 in probe(site).seen)
        assert site.counters("probe").errors == 1
        assert "probe@test" in caplog.text

    async def test_an_event_that_is_declared_is_published_and_another_is_not_declared(self, site: Site) -> None:
        """Types are the contract of events, too: the author is told what to add."""
        await site.listen("news", "number")
        await site.request("probe", "publish", {"value": 5})
        assert await site.event("news", "number") == {"value": 5}
        with pytest.raises(NotDeclared, match=r"add Topic\('news', rumour=…\)"):
            await site.request("probe", "gossip")


class TestThreads:
    """`@request(…, thread=True)`."""

    async def test_a_blocking_handler_does_not_block_the_loop(self, site: Site) -> None:
        """Other requests are answered meanwhile, and its own when it is done."""
        tasks = Tasks("test")
        asking = tasks.spawn(site.request("probe", "thread"), name="thread")
        assert await site.request("probe", "double", {"value": 1}) == {"value": 2}
        assert not asking.done()
        probe(site).thread_gate.set()
        assert (await asking).startswith("probe@test")

    async def test_a_stuck_thread_is_not_waited_for_and_is_named(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One C call that never returns must not keep a node from ending."""
        tasks, stuck = Tasks("test"), probe(site)
        asking = tasks.spawn(site.request("probe", "thread"), name="thread")
        await eventually(lambda: site.counters("probe").requests == 1)
        began_s = time.monotonic()
        await site.node.release("probe@test")
        assert time.monotonic() - began_s < 2.0
        assert "its thread in thread still runs" in caplog.text
        stuck.thread_gate.set()
        with pytest.raises(GridlinkError):
            await asking
        await site.host(Probe, name="probe")


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


async def test_log_records_of_a_module_name_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """`self.log` is tagged; so is what a module's libraries log."""
    with caplog.at_level(logging.INFO):
        probe(site).log.info("hello")
    assert caplog.records[-1].name == "module.probe"
