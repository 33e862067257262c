"""One trace from a timer's run, or a foreign program's request, to the last effect on another node; seen by a tap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gridlink import Module, Topic, every, request, subscribe
from gridlink.bus.mirror import Wish
from gridlink.bus.nats import NatsBus
from gridlink.cli.listening import Passed, listening
from gridlink.cli.tap_text import shown
from gridlink.testing import eventually
from tests.integration.proxied import Sites
from tests.integration.proxied import sites as sites  # noqa: PLC0414 - a fixture

FOREIGN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


class Timed(Module[None]):
    """The first cause."""

    @every(seconds=0.2)
    async def run(self) -> None:
        """Asks twice in one run."""
        await self.bus.request("first", "begin")
        await self.bus.send("last", "end")


class First(Module[None]):
    """Makes an event of a request, also from a task of its own."""

    roles = ("first",)
    publishes = (Topic("begun", now=None, later=None),)

    @request("begin")
    async def begin(self) -> None:
        """Publishes at once, and once more when it has answered."""
        await self.bus.publish("begun", "now")
        self.tasks.spawn(self._later(), name="later")

    async def _later(self) -> None:
        await asyncio.sleep(0.01)
        await self.bus.publish("begun", "later")


class Listener(Module[None]):
    """Makes a request of an event."""

    @subscribe("begun", "now")
    async def on_now(self) -> None:
        """Asks a neighbour of its own node."""
        await self.bus.request("last", "end")


class Last(Module[None]):
    """The last effect."""

    roles = ("last",)

    @request("end", thread=True)
    def end(self) -> None:
        """Done, in a thread."""


class Tapped:
    """Two nodes with the chain on them, and what a tap has seen."""

    def __init__(self, sites: Sites, url: str) -> None:
        self.sites, self.url = sites, url
        self.heard: list[Passed] = []

    def by_trace(self) -> dict[str, list[tuple[str, str]]]:
        """The messages (not the replies) of each trace: (sender, type)."""
        found: dict[str, list[tuple[str, str]]] = {}
        for one in map(shown, self.heard):
            if one["kind"] in ("request", "event"):
                found.setdefault(one["trace"][3:35], []).append((one["from"].partition("@")[0], one["type"]))
        return found


@pytest.fixture
async def tapped(sites: Sites) -> AsyncIterator[Tapped]:
    """See Tapped."""
    first = await sites.node("a", first=First)
    second = await sites.node("b", listener=Listener, last=Last)
    await first.registry.wait_for(role="last")
    bus = NatsBus("t", "tap")
    await bus.connect(first.url)
    found = Tapped(sites, first.url)
    async with listening(bus, Wish(), found.heard.append, lambda _: None):
        await eventually(lambda: first.bus.local.mirror and second.bus.local.mirror)  # type: ignore[attr-defined]
        yield found
    await bus.aclose()


async def test_a_timers_run_is_one_trace_through_requests_events_and_nodes(tapped: Tapped) -> None:
    """Timer, request, event, request of the one who heard it, an event from a task, a send; the next run is another."""
    await tapped.sites.node("c", timed=Timed)
    whole = sorted(
        [("timed", "begin"), ("first", "now"), ("first", "later"), ("listener", "end"), ("timed", "end")]
    )  # fmt: skip
    await eventually(lambda: [sorted(run) for run in tapped.by_trace().values()][:2] == [whole, whole], timeout_s=10)
    traces = [one["trace"] for one in map(shown, tapped.heard) if one["kind"] in ("request", "event")]
    assert len(set(traces)) == len(traces)  # each message is a span of its own
    for one in map(shown, tapped.heard):
        if one["kind"] == "reply":
            assert one["trace"] in traces  # a reply is of the span that it answers


async def test_a_foreign_programs_trace_goes_on(tapped: Tapped) -> None:
    """With the standard's header, its trace and its flags; without one, all that it causes shares a new trace."""
    await tapped.sites.plain.request("gl.t.role.first.begin", b"", headers={"traceparent": FOREIGN})
    await eventually(lambda: len(tapped.by_trace().get(FOREIGN[3:35], [])) == 4)
    flags = {one["trace"][-2:] for one in map(shown, tapped.heard)}
    assert flags == {"00"}
    tapped.heard.clear()
    await tapped.sites.plain.request("gl.t.role.first.begin", b"")
    own = [("first", "later"), ("first", "now"), ("listener", "end")]
    await eventually(lambda: own in [sorted(run) for run in tapped.by_trace().values()])
