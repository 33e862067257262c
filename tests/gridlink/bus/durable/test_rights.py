"""A node that its server bounds by a policy has no durable topics: by them the store would publish for it anywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gridlink import Module, Topic
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.nats import NatsBus
from gridlink.bus.trust import operator_rights
from gridlink.config import Credentials
from gridlink.contract import contract_of
from gridlink.errors import GridlinkError, ModuleInvalid, RequestTimeout
from gridlink.manifest import Manifest
from gridlink.node.durable import durable_topics
from gridlink.proxies.policy import Rule, permissions
from gridlink.testing import eventually
from tests.gridlink.store import answers, new_store

POLICY = (Rule("source", "topic numbers"), Rule("sink", hears=("topic numbers",)))
FORBIDDEN = "gl.test.role.oltc.setTapPosition"
STREAM: dict[str, Any] = {"name": "topic-numbers", "subjects": ["gl.test.topic.numbers.>"], "storage": "memory"}
REPUBLISH = {"republish": {"src": "gl.test.topic.numbers.number", "dest": FORBIDDEN}}
SOURCES = {"name": "topic-numbers", "sources": [{"name": "S"}], "storage": "memory"}
PUSH = {
    "stream_name": "topic-numbers",
    "config": {"name": "sink", "durable_name": "sink", "deliver_subject": FORBIDDEN, "ack_policy": "none"},
}


class Source(Module[None]):
    """Publishes numbers."""

    publishes = (Topic("numbers", number=int),)


class Buses:
    """One that a policy bounds, and an operator's."""

    bounded: NatsBus
    operator: NatsBus


@pytest.fixture
async def buses(tmp_path: Path) -> AsyncIterator[Buses]:
    """See Buses."""
    rights = {"n1": permissions(POLICY, ("source", "sink"), "n1", "test"), "operator": operator_rights("test")}
    users = [{"user": name, "password": "pw", "permissions": given} for name, given in rights.items()]
    made = Buses()
    async with AsyncExitStack() as stack:
        authorization = f"authorization: {json.dumps({'users': users})}\n"
        store = stack.enter_context(new_store(tmp_path / "store", authorization=authorization))
        for field, user in (("bounded", "n1"), ("operator", "operator")):
            bus = NatsBus("test", user)
            stack.push_async_callback(bus.aclose)
            await bus.connect(store.url, Credentials(user=user, password="pw", inbox_prefix=f"_INBOX.{user}"))
            setattr(made, field, bus)
        await eventually(partial(answers, made.operator))
        yield made


@pytest.mark.parametrize(
    ("verb", "document"),
    [
        ("STREAM.CREATE.topic-numbers", STREAM | REPUBLISH),
        ("STREAM.UPDATE.topic-numbers", STREAM | REPUBLISH),
        ("STREAM.CREATE.topic-numbers", SOURCES),
        ("STREAM.PURGE.topic-numbers", {}),
        ("STREAM.DELETE.topic-numbers", {}),
        ("CONSUMER.CREATE.topic-numbers.sink", PUSH),
        ("CONSUMER.DURABLE.CREATE.topic-numbers.sink", PUSH),
        ("CONSUMER.MSG.NEXT.topic-numbers.sink", {}),
    ],
)  # fmt: skip
async def test_a_bounded_machine_has_the_store_publish_nothing(buses: Buses, verb: str, document: Any) -> None:
    """The same succeeds for an operator, or is answered; what the machine publishes arrives where it may, alone."""
    operator, bounded = JetStream(buses.operator.raw()), JetStream(buses.bounded.raw())
    heard: list[bytes] = []
    await buses.operator.listen(FORBIDDEN, heard.append)
    if not verb.startswith("STREAM.CREATE"):
        await operator.call("STREAM.CREATE.topic-numbers", STREAM)
    with pytest.raises(RequestTimeout):
        await bounded.call(verb, document, timeout_s=0.5)
    assert buses.bounded._denials.denies(f"$JS.gridlink.API.{verb}")
    await buses.bounded.say_surely("gl.test.topic.numbers.number", b"1")
    found = await operator.call("STREAM.NAMES")
    assert (found["streams"] or []) == ([] if verb.startswith("STREAM.CREATE") else ["topic-numbers"])
    await buses.operator._client.flush()
    assert not heard


async def test_an_operators_stream_shows_that_the_way_around_was_real(buses: Buses) -> None:
    """Whoever may make a stream has the store publish what another may not: else the test above would show nothing."""
    heard: list[bytes] = []
    await buses.bounded.listen("_INBOX.n1.there", heard.append)
    republish = {"republish": {"src": "gl.test.topic.numbers.number", "dest": "_INBOX.n1.there"}}
    await JetStream(buses.operator.raw()).call("STREAM.CREATE.topic-numbers", STREAM | republish)
    reply = await buses.operator.raw().request("gl.test.topic.numbers.number", b"1")
    assert json.loads(reply)["stream"] == "topic-numbers"
    await buses.bounded._client.flush()
    assert heard == [b"1"]


async def test_what_the_store_answers_reaches_inboxes_alone(buses: Buses) -> None:
    """It acknowledges an event at whatever subject its publisher names: that would be a way to any role."""
    await JetStream(buses.operator.raw()).call("STREAM.CREATE.topic-numbers", STREAM)
    heard: list[bytes] = []
    await buses.operator.listen(FORBIDDEN, heard.append)
    await buses.bounded.listen("_INBOX.n1.there", heard.append)
    for reply in (FORBIDDEN, "_INBOX.n1.there"):
        buses.bounded.raw().put("gl.test.topic.numbers.number", b"1", reply=reply)
    await eventually(lambda: heard)
    await buses.operator._client.flush()
    assert [json.loads(body)["seq"] for body in heard] == [2]


async def test_who_may_only_acknowledge_could_delete_a_stream(tmp_path: Path) -> None:
    """Why the refusal stands: the least that a reader needs lets it have the store do anything that takes no document.

    The store acknowledges an acknowledgement at whatever subject it names, and its own API is one. When nats-server
    does so no more, durable topics can be had by machines that a policy bounds (docs/decisions/0012).
    """
    least = {"publish": ["$JS.ACK.topic-numbers.sink.>"], "subscribe": ["_INBOX.n1.>"]}
    users = [
        {"user": name, "password": "pw", "permissions": given}
        for name, given in {"n1": least, "operator": operator_rights("test")}.items()
    ]
    async with AsyncExitStack() as stack:
        authorization = f"authorization: {json.dumps({'users': users})}\n"
        store = stack.enter_context(new_store(tmp_path / "store", authorization=authorization))
        bounded, operator = NatsBus("test", "n1"), NatsBus("test", "operator")
        for bus in (bounded, operator):
            stack.push_async_callback(bus.aclose)
            await bus.connect(store.url, Credentials(user=bus.node, password="pw", inbox_prefix=f"_INBOX.{bus.node}"))
        await eventually(partial(answers, operator))
        api = JetStream(operator.raw())
        await api.call("STREAM.CREATE.topic-numbers", STREAM)
        await api.call("STREAM.CREATE.others", {"name": "others", "subjects": ["others"], "storage": "memory"})
        consumer = {"name": "sink", "durable_name": "sink", "ack_policy": "explicit"}
        await api.call("CONSUMER.CREATE.topic-numbers.sink", {"stream_name": "topic-numbers", "config": consumer})
        await operator.raw().request("gl.test.topic.numbers.number", b"1")
        delivered: list[bytes] = []
        await operator.listen("_INBOX.operator.there", delivered.append)
        operator.raw().put(f"{api.prefix}.CONSUMER.MSG.NEXT.topic-numbers.sink", b"", reply="_INBOX.operator.there")
        await eventually(lambda: delivered)
        bounded.raw().put("$JS.ACK.topic-numbers.sink.1.1.1.1.0", b"+ACK", reply="$JS.API.STREAM.DELETE.others")

        async def gone() -> bool:
            return bool((await api.call("STREAM.NAMES"))["streams"] == ["topic-numbers"])

        await eventually(gone)


async def test_a_module_with_durable_topics_is_refused_there_and_says_why(buses: Buses) -> None:
    """At its start, whether its store is up or not; an operator's node is as ever."""
    manifest = Manifest(name="source", version="1.0.0", entry="source:Source", durable=("numbers",))
    contract = contract_of(Source)
    with pytest.raises(ModuleInvalid, match="numbers can't be kept for source: the site's policy lets node n1 make no"):
        await durable_topics(buses.bounded, manifest, contract, None)
    topics = await durable_topics(buses.operator, manifest, contract, None)
    assert topics.publisher("numbers") is not None
    with pytest.raises(GridlinkError):
        await JetStream(buses.bounded.raw()).call("STREAM.INFO.topic-numbers", timeout_s=0.3)
