"""A module's handlers: what their senders meet, their order, and their limits."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from gridlink import Refused, message
from gridlink.errors import (
    Busy,
    GridlinkError,
    HandlerFailed,
    NoSuchType,
    NotDeclared,
    PayloadInvalid,
    ReplyInvalid,
)
from gridlink.module.inbox import MAX_IN_FLIGHT, MAX_WAITING, MAX_WAITING_BYTES
from gridlink.tasks import Tasks
from gridlink.testing import Site, eventually
from tests.gridlink.module.probe import Asker, Number, Probe, Probe2, probe


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

    async def test_an_inbox_is_bounded_in_bytes_too(self, site: Site) -> None:
        """A thousand events of a megabyte would be all of a board's memory."""
        await site.publish("measurement", "number", {"value": 1000})
        await eventually(lambda: probe(site).seen == [1000])
        for n in range(40):
            await site.publish("measurement", "number", {"value": n, "padding": "x" * 200_000})
        kept = MAX_WAITING_BYTES // 200_000
        assert site.counters("probe").dropped_events == 40 - kept
        probe(site).gate.set()
        await eventually(lambda: len(probe(site).seen) == kept + 1)
        assert probe(site).seen[1:] == list(range(40 - kept, 40))

    async def test_one_event_larger_than_the_bound_is_kept(self, site: Site) -> None:
        """It fits a message, so it is handled."""
        await site.publish("measurement", "number", {"value": 1000})
        await eventually(lambda: probe(site).seen == [1000])
        await site.publish("measurement", "number", {"value": 7, "padding": "x" * 1_000_000})
        probe(site).gate.set()
        await eventually(lambda: probe(site).seen == [1000, 7])

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


async def test_log_records_of_a_module_name_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """`self.log` is tagged; so is what a module's libraries log."""
    with caplog.at_level(logging.INFO):
        probe(site).log.info("hello")
    assert caplog.records[-1].name == "module.probe"
