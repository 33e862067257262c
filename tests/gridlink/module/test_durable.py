"""Handlers of durable topics: acknowledged when they return, tried again when they raise, given up at last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gridlink import Module, Topic, message, subscribe
from gridlink.bus.local import LocalBus
from gridlink.bus.nats import NatsBus
from gridlink.errors import ModuleInvalid
from gridlink.manifest import Manifest
from gridlink.module import durable
from gridlink.module.counters import Counters
from gridlink.module.module import HostSpec, Loaded
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.testing import eventually
from tests.gridlink.store import Store, new_store


@dataclass(frozen=True)
class Number:
    """A payload."""

    value: int


class Source(Module[None]):
    """Publishes."""

    publishes = (Topic("numbers", number=Number, other=int),)


class Sink(Module[None]):
    """Notes what it is given; `fails` says how often a value is to fail."""

    stop_within_s = 0.3
    fails: dict[int, int]

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool, str]] = []
        self.fails = {}
        self.gate = asyncio.Event()
        self.gate.set()

    @subscribe("numbers", "number")
    async def on_number(self, number: Number) -> None:
        await self.gate.wait()
        self.seen.append((number.value, message().redelivered, message().id))
        self.fails[number.value] = self.fails.get(number.value, 0) - 1
        if self.fails[number.value] >= 0:
            raise ValueError(f"no {number.value} yet")

    @property
    def values(self) -> list[int]:
        """In the order of handling."""
        return [value for value, _, _ in self.seen]


class Hurried(Sink):
    """Is stopped without time to finish."""

    stop_within_s = 0.05


class Live(Sink):
    """The same, of a bundle that doesn't declare the topic durable."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for this file; each test's modules have names of their own."""
    with new_store(tmp_path_factory.mktemp("durable") / "servers") as found:
        yield found


@dataclass
class Site:
    """A node with a source and what else a test hosts."""

    node: Node
    directory: Path
    source: Any = None

    async def host(self, target: type[Module[Any]], name: str, *topics: str) -> Any:
        """Starts a module whose bundle declares `topics` durable; returns the module."""
        manifest = Manifest(name=name, version="1.0.0", entry="tests:Probe", durable=topics)
        data = self.directory / name
        await self.node.host(HostSpec(manifest, lambda: Loaded(target), self.directory, data, "node", {}))
        return self.node.instances[f"{name}@{self.node.node}"]._module

    def counters(self, name: str) -> Counters:
        """What has been counted of a module."""
        return self.node.instances[f"{name}@{self.node.node}"].counters


@asynccontextmanager
async def site_on(store: Store, directory: Path) -> AsyncIterator[Site]:
    """A node on a store."""
    bus = NatsBus("test", "n1")
    await bus.connect(store.url)
    async with Node(bus, "test") as node:
        yield Site(node, directory)


@pytest.fixture
async def site(store: Store, tmp_path: Path) -> AsyncIterator[Site]:
    """A node with a source; each test's numbers are the first of the topic."""
    async with site_on(store, tmp_path) as found:
        found.source = await found.host(Source, "source", "numbers")
        yield found
    bus = NatsBus("test", "cleaner")  # when no reader is there any more, who would make the stream anew
    await bus.connect(store.url)
    await bus.raw().request("$JS.gridlink.API.STREAM.DELETE.topic-numbers", b"")
    await bus.aclose()


def bus_of(site: Site) -> NatsBus:
    """The node's bus."""
    assert isinstance(site.node.bus, NatsBus)
    return site.node.bus


async def publish(site: Site, *values: int) -> None:
    """Publishes numbers, each stored when the next is."""
    sender: Sender = site.source.bus
    for value in values:
        await sender.publish("numbers", "number", Number(value))


async def test_events_reach_the_handler_in_order_and_once(site: Site) -> None:
    """Source and sink are in one node: the store is the only way, and nobody gets it twice."""
    sink: Sink = await site.host(Sink, "sink", "numbers")
    live: Live = await site.host(Live, "live")
    await publish(site, *range(30))
    await eventually(lambda: len(sink.seen) >= 30 and len(live.seen) >= 30)
    assert sink.values == live.values == list(range(30))
    assert site.counters("sink").events == 30
    assert [redelivered for _, redelivered, _ in sink.seen] == [False] * 30
    assert [identity for _, _, identity in sink.seen] == [identity for _, _, identity in live.seen]


async def test_a_handler_that_raises_gets_the_event_again_before_any_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, with the same id, and marked."""
    monkeypatch.setattr(durable, "PAUSES_S", (0.05,) * 4)
    sink: Sink = await site.host(Sink, "sink", "numbers")
    sink.fails = {1: 2}
    await publish(site, 0, 1, 2)
    await eventually(lambda: 2 in sink.values)
    assert sink.values == [0, 1, 1, 1, 2]
    assert [redelivered for _, redelivered, _ in sink.seen] == [False, False, True, True, False]
    assert len({identity for value, _, identity in sink.seen if value == 1}) == 1
    counters = site.counters("sink")
    assert (counters.errors, counters.redelivered_events, counters.given_up_events) == (2, 2, 0)


async def test_an_event_that_always_fails_is_given_up_counted_and_logged(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad event must not keep a substation from all that follow."""
    monkeypatch.setattr(durable, "PAUSES_S", (0.02,) * 4)
    sink: Sink = await site.host(Sink, "sink", "numbers")
    sink.fails = {1: 99}
    with caplog.at_level(logging.ERROR, "gridlink.module"):
        await publish(site, 1, 2)
        await eventually(lambda: 2 in sink.values)
    assert sink.values == [1] * durable.MAX_TRIES + [2]
    assert site.counters("sink").given_up_events == 1
    assert "(number) of source@n1 is given up: ValueError: no 1 yet" in caplog.text


async def test_a_payload_that_does_not_fit_is_given_up_at_once_and_never_reaches_the_handler(site: Site) -> None:
    """Anybody may publish on the subject; trying again changes nothing."""
    sink: Sink = await site.host(Sink, "sink", "numbers")
    for body in (b'{"value":"many"}', b"no JSON", b'{"value":7}'):
        bus_of(site).raw().put("gl.test.topic.numbers.number", body)
    await eventually(lambda: sink.seen)
    assert sink.values == [7]
    counters = site.counters("sink")
    assert (counters.errors, counters.given_up_events, counters.redelivered_events) == (2, 2, 0)


async def test_types_that_the_module_does_not_take_are_passed_over(site: Site) -> None:
    """They are stored with the others, and are no error."""
    sink: Sink = await site.host(Sink, "sink", "numbers")
    await site.source.bus.publish("numbers", "other", 5)
    bus_of(site).raw().put("gl.test.topic.numbers.deeper.number", b'{"value":8}')
    await publish(site, 1)
    await eventually(lambda: sink.seen)
    assert sink.values == [1]
    assert site.counters("sink").errors == 0


async def test_a_module_that_is_stopped_while_it_handles_leaves_the_event_to_the_next(site: Site) -> None:
    """At once, and not after the time that a killed one costs."""
    sink: Sink = await site.host(Sink, "sink", "numbers")
    sink.gate.clear()
    await publish(site, 1, 2)
    await eventually(lambda: site.counters("sink").events == 1)
    await site.node.release("sink@n1")
    assert sink.seen == []
    again: Sink = await site.host(Sink, "sink", "numbers")
    await eventually(lambda: len(again.seen) == 2, timeout_s=3.0)
    assert [(value, redelivered) for value, redelivered, _ in again.seen] == [(1, True), (2, False)]


async def test_a_module_that_is_stopped_lets_its_handler_finish(site: Site) -> None:
    """What it has done is acknowledged, and isn't done again."""
    sink: Sink = await site.host(Sink, "sink", "numbers")
    sink.gate.clear()
    await publish(site, 1)
    await eventually(lambda: site.counters("sink").events == 1)
    asyncio.get_running_loop().call_later(0.1, sink.gate.set)
    await site.node.release("sink@n1")
    assert sink.values == [1]
    await publish(site, 2)
    again: Sink = await site.host(Sink, "sink", "numbers")
    await eventually(lambda: again.seen)
    assert again.values == [2]


async def stopped_while_it_handles(site: Site, times: int) -> None:
    """A module `sink` begins with the oldest event and is stopped, so many times."""
    for _ in range(times):
        sink: Hurried = await site.host(Hurried, "sink", "numbers")
        sink.gate.clear()
        await eventually(lambda: site.counters("sink").events == 1)
        await site.node.release("sink@n1")
        assert sink.seen == []


async def test_an_event_outlives_any_number_of_stops_of_its_reader(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store counts a stop or a kill as a delivery; only a handler that raises is a failure, here the first."""
    monkeypatch.setattr(durable, "PAUSES_S", (0.02, 60.0, 60.0, 60.0))
    await publish(site, 1, 2)
    await stopped_while_it_handles(site, durable.MAX_TRIES + 1)
    sink: Sink = await site.host(Sink, "sink", "numbers")
    sink.fails = {1: 1}
    await eventually(lambda: 2 in sink.values)
    assert sink.values == [1, 1, 2]
    counters = site.counters("sink")
    assert (counters.errors, counters.redelivered_events, counters.given_up_events) == (1, 2, 0)


async def test_each_event_has_its_own_tries(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed before it must not be charged to an event."""
    monkeypatch.setattr(durable, "PAUSES_S", (0.02,) * 4)
    sink: Sink = await site.host(Sink, "sink", "numbers")
    sink.fails = dict.fromkeys((1, 2), durable.MAX_TRIES - 1)
    await publish(site, 1, 2, 3)
    await eventually(lambda: 3 in sink.values)
    assert sink.values == [1] * durable.MAX_TRIES + [2] * durable.MAX_TRIES + [3]
    assert site.counters("sink").given_up_events == 0


async def test_an_event_that_ends_its_reader_each_time_is_given_up_counted_and_logged_at_last(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Poison: no handler lives to say that it failed, and all that follow wait behind it."""
    monkeypatch.setattr(durable, "MAX_DELIVERIES", 3)
    await publish(site, 1, 2)
    await stopped_while_it_handles(site, 3)
    with caplog.at_level(logging.ERROR, "gridlink.module"):
        sink: Sink = await site.host(Sink, "sink", "numbers")
        await eventually(lambda: sink.seen)
    assert sink.values == [2]
    assert site.counters("sink").given_up_events == 1
    assert "is given up: it was delivered 3 times" in caplog.text


async def test_a_durable_topic_without_nats_is_refused_with_advice(tmp_path: Path) -> None:
    """It would be kept nowhere."""
    async with Node(LocalBus("n1", "test"), "test") as node:
        with pytest.raises(ModuleInvalid, match=r"numbers can't be kept without NATS: leave --bus local out"):
            await Site(node, tmp_path).host(Sink, "sink", "numbers")


async def test_a_durable_topic_that_the_module_has_nothing_to_do_with_is_refused(site: Site) -> None:
    """A typing mistake in a manifest would lose events."""
    with pytest.raises(ModuleInvalid, match=r"publishes or subscribes to, got 'number'"):
        await site.host(Sink, "sink", "number")
