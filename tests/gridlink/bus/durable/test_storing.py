"""Publishing on a durable topic: it returns when the event is stored, or says that it may not be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridlink import address
from gridlink.bus.durable import storing
from gridlink.bus.durable.document import stream_name
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.durable.settings import JetStreamSettings, Kept
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.errors import Busy, NotStored, PayloadTooLarge, StoreRefused
from gridlink.message import Call, Message
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Recorder
from tests.gridlink.store import Store, new_store


def event(topic: str, number: int, *, source: str = "source@n1") -> Message:
    """An event as a Sender makes it."""
    return Message(address=address.topic(topic), type="number", payload=b"%d" % number, source=source, id=f"i{number}")


def publisher(topics: DurableTopics, topic: str) -> Call:
    """What stores events of the topic."""
    found = topics.publisher(topic)
    assert found is not None
    return found


async def done(publish: Call, message: Message) -> None:
    """A publish as a coroutine, for a task."""
    await publish(message)


async def stored(bus: NatsBus, topic: str) -> int:
    """How many events the stream holds."""
    found = await JetStream(bus.raw()).call(f"STREAM.INFO.{stream_name(topic)}")
    return int(found["state"]["messages"])


async def test_an_event_is_stored_when_publish_returns(bus: NatsBus, topics: DurableTopics, topic: str) -> None:
    """Also the first one, whose stream is made for it."""
    for number in range(3):
        await publisher(topics, topic)(event(topic, number))
        assert await stored(bus, topic) == number + 1


async def test_live_subscribers_get_each_event_once_wherever_they_are(
    bus: NatsBus, topics: DurableTopics, topic: str, shared_store: Store
) -> None:
    """The store hears the same message that they do."""
    other, here, there = NatsBus("test", "n2"), Recorder(), Recorder()
    await other.connect(shared_store.url)
    await bus.subscribe(address.topic(topic), "number", here)
    await other.subscribe(address.topic(topic), "number", there)
    await topics.ensure(topic)
    for number in range(20):
        await publisher(topics, topic)(event(topic, number))
    await eventually(lambda: len(there.events) >= 20)
    assert here.payloads == there.payloads == [b"%d" % n for n in range(20)]
    await other.aclose()


async def test_an_event_that_is_sent_again_is_stored_once(bus: NatsBus, topics: DurableTopics, topic: str) -> None:
    """An acknowledgement can be lost, and what it acknowledged is tried again."""
    await topics.ensure(topic)
    for _ in range(3):
        await publisher(topics, topic)(event(topic, 1))
    assert await stored(bus, topic) == 1


async def test_a_store_that_comes_back_gets_what_waited_for_it(tmp_path: Path, topic: str) -> None:
    """A restart of the store costs a publisher its time and nothing else; live subscribers get it once."""
    with new_store(tmp_path / "store") as store:
        bus, live = NatsBus("test", "n1"), Recorder()
        await bus.connect(store.url)
        topics = DurableTopics(bus, (topic,), JetStreamSettings())
        await bus.subscribe(address.topic(topic), "number", live)
        await publisher(topics, topic)(event(topic, 1))
        store.kill_leaf()
        waiting = asyncio.get_running_loop().create_task(done(publisher(topics, topic), event(topic, 2)))
        await eventually(lambda: len(live.events) == 2)
        assert not waiting.done()
        store.leaf.start()
        await waiting
        assert await stored(bus, topic) == 2
        assert len(live.events) == 2
        await bus.aclose()


async def test_a_stream_that_is_gone_is_made_anew_though_somebody_looks_at_the_whole_site(
    bus: NatsBus, topics: DurableTopics, topic: str, shared_store: Store
) -> None:
    """`nats sub 'gl.>'` listens where the stream did: nobody says that it is gone, and nobody answers."""
    looks = NatsBus("test", "n2")
    await looks.connect(shared_store.url)
    await looks.listen("gl.test.>", lambda _: None)
    await topics.ensure(topic)
    await JetStream(bus.raw()).call(f"STREAM.DELETE.{stream_name(topic)}")
    async with asyncio.timeout(5):
        await publisher(topics, topic)(event(topic, 1))
    assert await stored(bus, topic) == 1
    await looks.aclose()


async def test_what_nobody_stores_in_time_raises_not_stored(
    shared_server: Server, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site without a JetStream server: the error says so and what to do."""
    monkeypatch.setattr(storing, "STORE_WITHIN_S", 0.4)
    bus = NatsBus("test", "n1")
    await bus.connect(shared_server.url)
    topics = DurableTopics(bus, (topic,), JetStreamSettings())
    with pytest.raises(NotStored, match=r"number of source@n1 was not acknowledged .*publish it again"):
        await publisher(topics, topic)(event(topic, 1))
    await bus.aclose()


async def test_the_events_of_one_source_are_stored_in_the_order_of_the_calls(
    bus: NatsBus, topics: DurableTopics, topic: str
) -> None:
    """Also where the calls don't wait for each other."""
    await topics.ensure(topic)
    publish = publisher(topics, topic)
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(done(publish, event(topic, number)))
    reader = topics.reader(topic, "order", lambda _: None)
    await reader.open()
    found = []
    for _ in range(50):
        one = await reader.next()
        found.append(int(one.body))
        await reader.settle(one, b"+ACK")
    await reader.aclose()
    assert found == list(range(50))


async def test_events_that_wait_are_bounded(bus: NatsBus, topics: DurableTopics, topic: str) -> None:
    """Memory is: who doesn't wait for `publish` is told to."""
    await topics.ensure(topic)
    publish = publisher(topics, topic)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_refused(publish, event(topic, number))) for number in range(storing.MAX_WAITING + 5)
        ]
    assert sum(task.result() for task in tasks) == 5
    assert await stored(bus, topic) == storing.MAX_WAITING


async def _refused(publish: Call, message: Message) -> bool:
    try:
        await publish(message)
    except Busy as error:
        assert "wait for publish" in str(error)
        return True
    return False


async def test_a_publish_that_is_cancelled_lets_the_next_one_go(
    bus: NatsBus, topics: DurableTopics, topic: str
) -> None:
    """Whether the cancelled one is stored is unknown; that the others are isn't."""
    await topics.ensure(topic)
    publish = publisher(topics, topic)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(done(publish, event(topic, number))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert tasks[2].result() is None
    assert await stored(bus, topic) >= 1


async def test_a_payload_over_the_limit_is_refused_before_anything_is_sent(topics: DurableTopics, topic: str) -> None:
    """As on any topic."""
    large = Message(address=address.topic(topic), type="number", payload=b"1" * (2 << 20), source="s@n1", id="1")
    with pytest.raises(PayloadTooLarge):
        await publisher(topics, topic)(large)


async def test_a_topic_that_the_bundle_does_not_declare_has_no_store(topics: DurableTopics) -> None:
    """It is published as ever."""
    assert topics.publisher("another") is None


async def test_bounds_that_exceed_the_server_are_refused_with_its_reason(bus: NatsBus, topic: str) -> None:
    """The sum of what streams may take must fit the server."""
    topics = DurableTopics(bus, (topic,), JetStreamSettings(topics={topic: Kept(max_mib=1e6)}))
    with pytest.raises(StoreRefused, match=r"JetStream refuses: .*storage"):
        await topics.ensure(topic)


async def test_new_bounds_are_taken_over_by_a_stream_that_is_there(bus: NatsBus, topic: str) -> None:
    """An operator edits the site file and starts again."""
    await DurableTopics(bus, (topic,), JetStreamSettings()).ensure(topic)
    smaller = DurableTopics(bus, (topic,), JetStreamSettings(topics={topic: Kept(max_events=7)}))
    assert (await smaller.ensure(topic))["config"]["max_msgs"] == 7
