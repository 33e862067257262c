"""Reading a durable topic: in order, one at a time, again where it wasn't settled, counted where it was discarded."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from gridlink.bus.durable.document import ACK_WAIT_S, Delivery
from gridlink.bus.durable.reading import ACK, AGAIN, NEXT, Reader, again
from gridlink.bus.durable.settings import JetStreamSettings, Kept
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.nats import NatsBus
from gridlink.testing import eventually
from tests.gridlink.bus.durable.test_storing import event, publisher
from tests.gridlink.store import new_store


async def fill(topics: DurableTopics, topic: str, numbers: range) -> None:
    """Stores numbers."""
    for number in numbers:
        await publisher(topics, topic)(event(topic, number))


async def opened(topics: DurableTopics, topic: str, missed: list[int] | None = None) -> Reader:
    """A reader of module `guard`."""
    reader = topics.reader(topic, "guard", (missed if missed is not None else []).append)
    await reader.open()
    return reader


async def test_a_new_reader_gets_what_is_stored_in_its_order(topics: DurableTopics, topic: str) -> None:
    """From the oldest that the topic keeps."""
    await fill(topics, topic, range(10))
    reader = await opened(topics, topic)
    for number in range(10):
        one = await reader.next()
        assert (int(one.body), one.count) == (number, 1)
        await reader.settle(one, NEXT)
    await reader.aclose()


async def test_the_next_event_comes_when_this_one_is_settled(topics: DurableTopics, topic: str) -> None:
    """With two on their way, a repeated one would come after its successor."""
    await fill(topics, topic, range(2))
    reader = await opened(topics, topic)
    first = await reader.next()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.next()
    await reader.settle(first, ACK)
    assert int((await reader.next()).body) == 1
    await reader.aclose()


async def test_an_event_that_is_not_settled_comes_again_first_and_says_so(topics: DurableTopics, topic: str) -> None:
    """At once, or after the pause that was asked for."""
    await fill(topics, topic, range(2))
    reader = await opened(topics, topic)
    one = await reader.next()
    for count, verdict in ((2, AGAIN), (3, again(0.2))):
        await reader.settle(one, verdict)
        one = await reader.next()
        assert (int(one.body), one.count) == (0, count)
    await reader.aclose()


@pytest.mark.slow
async def test_an_event_that_is_held_stays_with_its_reader(topics: DurableTopics, topic: str) -> None:
    """A handler may take longer than the server would wait."""
    await fill(topics, topic, range(1))
    holder, other = await opened(topics, topic), await opened(topics, topic)
    one = await holder.next()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(ACK_WAIT_S + 1.5):
            await other.next()
    await holder.settle(one, ACK)
    await holder.aclose()
    await other.aclose()


@pytest.mark.slow
async def test_what_a_gone_reader_had_goes_to_the_next_one(topics: DurableTopics, topic: str) -> None:
    """Without a word of the first: it was killed."""
    await fill(topics, topic, range(2))
    reader = await opened(topics, topic)
    await reader.next()
    await reader.aclose()
    other = await opened(topics, topic)
    async with asyncio.timeout(ACK_WAIT_S + 5):
        one = await other.next()
    assert (int(one.body), one.count) == (0, 2)
    await other.aclose()


async def test_what_the_topic_discards_before_it_is_read_is_counted(bus: NatsBus, topic: str) -> None:
    """A full topic drops its oldest, and that must be seen."""
    topics = DurableTopics(bus, (topic,), JetStreamSettings(topics={topic: Kept(max_events=10)}))
    await fill(topics, topic, range(1))
    missed: list[int] = []
    reader = await opened(topics, topic, missed)
    await reader.settle(await reader.next(), ACK)
    await reader.aclose()
    await fill(topics, topic, range(1, 31))
    reader = await opened(topics, topic, missed)
    assert int((await reader.next()).body) == 21
    assert missed == [20]
    await reader.aclose()


async def test_readers_of_one_module_share_and_readers_of_two_modules_both_get_all(
    topics: DurableTopics, topic: str
) -> None:
    """A module's name is the consumer, as a role is a queue."""
    await fill(topics, topic, range(6))
    missed: list[int] = []
    twins = [topics.reader(topic, "guard", missed.append) for _ in range(2)]
    alone = topics.reader(topic, "storage", missed.append)
    for reader in (*twins, alone):
        await reader.open()
    found: list[int] = []

    async def read(reader: Reader) -> None:
        while True:
            one = await reader.next()
            found.append(int(one.body))
            await reader.settle(one, NEXT)

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(read(reader)) for reader in twins]
    assert [int((await _settled(alone)).body) for _ in range(6)] == list(range(6))
    await eventually(lambda: len(found) >= 6)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert found == list(range(6))
    assert missed == []
    for reader in (*twins, alone):
        await reader.aclose()


async def _settled(reader: Reader) -> Delivery:
    one = await reader.next()
    await reader.settle(one, NEXT)
    return one


async def test_a_store_that_has_lost_everything_is_read_from_its_new_beginning(tmp_path: Path, topic: str) -> None:
    """A disk that was replaced: what comes then isn't taken for what was handled."""
    with new_store(tmp_path / "store") as store:
        bus = NatsBus("test", "n1")
        await bus.connect(store.url)
        topics = DurableTopics(bus, (topic,), JetStreamSettings())
        await fill(topics, topic, range(3))
        reader = await opened(topics, topic)
        for _ in range(3):
            await _settled(reader)
        store.kill_leaf()
        shutil.rmtree(tmp_path / "store" / "jetstream" / "store")
        store.leaf.start()
        await fill(topics, topic, range(10, 12))
        async with asyncio.timeout(15):
            assert int((await reader.next()).body) == 10
        await reader.aclose()
        await bus.aclose()


async def test_cancelling_next_loses_nothing(topics: DurableTopics, topic: str) -> None:
    """What arrives meanwhile is the next call's."""
    reader = await opened(topics, topic)
    waiting = asyncio.get_running_loop().create_task(reader.next())
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    await fill(topics, topic, range(1))
    assert int((await reader.next()).body) == 0
    await reader.aclose()
    await reader.aclose()
