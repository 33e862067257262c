"""The registry between nodes, over a real nats-server: who is there, who has gone, and what they serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.server import Server
from gridlink.clock import SiteClock
from gridlink.codec import codec, dumps
from gridlink.contract import schema_of
from gridlink.errors import NoSuchInstance, RequestTimeout
from gridlink.lifecycle import State
from gridlink.message import Message
from gridlink.node import Node
from gridlink.registry import Change, Registry
from gridlink.registry.entry import KINDS, Sync, Update, encoded
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.gridlink.bus.receivers import Recorder
from tests.gridlink.conftest import NewBus
from tests.gridlink.registry.nodes import NewNode, Number, host, names


async def test_each_node_sees_the_others_instances(new_node: NewNode) -> None:
    """Whoever comes first: every node holds all of the registry."""
    one = await new_node("n1", "a", "b")
    two = await new_node("n2", "c")
    await eventually(lambda: names(one) == names(two) == ["a@n1", "b@n1", "c@n2"])
    (entry,) = two.registry.find(instance="a@n1")
    assert (entry.name, entry.node, entry.machine, entry.version) == ("a", "n1", "machine-n1", "1.2.3")
    assert (entry.pid, entry.mode, entry.state) == (os.getpid(), "node", State.RUNNING)
    assert (entry.roles, entry.topics) == (("probe",), ("news",))
    assert entry.description == "Serves a role, hears a topic, publishes on another."
    assert set(entry.requests) == {"double"}
    assert set(entry.subscribes["measurement"]) == {"number"}


async def test_a_request_goes_to_the_other_node_by_role_and_by_name(new_node: NewNode) -> None:
    """What the registry shows can be asked."""
    await new_node("n1", "a")
    two = await new_node("n2")
    body = codec(Number).encode(Number(21))
    for where in (address.role("probe"), address.instance("a@n1")):
        asked = Message(address=where, type="double", payload=body, deadline_s=time.monotonic() + 2)
        assert await two.bus.request(asked) == b'{"value":42}'


async def test_a_newcomer_knows_its_site_when_it_has_joined(new_node: NewNode, nats_bus: NewBus) -> None:
    """A command must not show half a site."""
    for number in range(1, 5):
        await new_node(f"n{number}", f"m{number}")
    async with Registry(await nats_bus("ls"), "m", SiteClock(), observer=True) as registry:
        began_s = time.monotonic()
        await registry.joined()
        assert time.monotonic() - began_s < 0.9
        assert names(registry) == ["m1@n1", "m2@n2", "m3@n3", "m4@n4"]


async def test_alone_in_the_site_joining_ends_in_time(nats_bus: NewBus) -> None:
    """Nobody answers: that is known after a second."""
    async with Registry(await nats_bus("ls"), "m", SiteClock(), observer=True) as registry:
        began_s = time.monotonic()
        await registry.joined(within_s=0.2)
        assert 0.15 < time.monotonic() - began_s < 0.6
        assert registry.instances() == []


async def test_an_observer_is_not_seen(new_node: NewNode, nats_bus: NewBus) -> None:
    """`gridlink ls` is no member of the site."""
    one = await new_node("n1", "a")
    async with Registry(await nats_bus("ls"), "m", SiteClock(), observer=True) as registry:
        await registry.joined()
        assert "ls" not in one.registry._view.nodes


async def test_a_clean_leave_is_seen_at_once(new_node: NewNode) -> None:
    """Not after four seconds of silence."""
    one, two = await new_node("n1", "a"), await new_node("n2", "b")
    await eventually(lambda: names(one) == ["a@n1", "b@n2"])
    began_s = time.monotonic()
    await two.aclose()
    await eventually(lambda: names(one) == ["a@n1"])
    assert time.monotonic() - began_s < 1.0


async def test_each_state_of_an_instance_is_announced(new_node: NewNode, tmp_path: Path) -> None:
    """A watcher sees it come, run, stop and go."""
    one, two = await new_node("n1"), await new_node("n2")
    changes: list[Change] = []
    tasks = Tasks("test")

    async def watch() -> None:
        async for change in two.registry.watch():
            changes.append(change)  # noqa: PERF401 - each as it comes

    tasks.spawn(watch(), name="watch")
    await asyncio.sleep(0)
    await host(one, "a", tmp_path)
    await one.release("a@n1")
    await eventually(lambda: changes and changes[-1].after is None)
    assert [c.after.state if c.after else None for c in changes] == [
        State.STARTING,
        State.RUNNING,
        State.STOPPING,
        None,
    ]
    await tasks.aclose()
    assert two.registry._watchers == {}


async def test_a_change_is_told_alone(new_node: NewNode, tmp_path: Path) -> None:
    """A node with a thousand modules that said all of them again at each change took 25 s to start them."""
    one, two = await new_node("n1", "a", "b", "c"), await new_node("n2")
    await eventually(lambda: len(names(two)) == 3)
    heard = Recorder()
    for kind in ("announce", "update"):
        await two.bus.subscribe(address.REGISTRY, kind, heard)
    await host(one, "d", tmp_path)
    await one.release("a@n1")
    await eventually(lambda: len(heard.events) >= 4)
    assert names(two) == ["b@n1", "c@n1", "d@n1"]
    assert [event.type for event in heard.events] == ["update"] * 4
    said = [codec(Update).decode(payload) for payload in heard.payloads]
    assert [[(entry.instance, entry.state) for entry in one.entries] for one in said] == [
        [("d@n1", State.STARTING)],
        [("d@n1", State.RUNNING)],
        [("a@n1", State.STOPPING)],
        [],
    ]
    assert said[-1].gone == ("a@n1",)


async def test_a_newcomer_is_told_what_holds_when_it_is_told(new_node: NewNode, tmp_path: Path) -> None:
    """Between its question and the answer something changes: the answer must not be older than that update."""
    one, two = await new_node("n1", "a"), await new_node("n2")
    await eventually(lambda: names(two) == ["a@n1"])
    heard = Recorder()
    for where, kind in ((address.REGISTRY, "update"), (address.instance("_registry@n2"), "announce")):
        await two.bus.subscribe(where, kind, heard)
    sync = Sync("n2", "n1")
    one.registry.take_event(Message(address=address.REGISTRY, type="sync", payload=encoded(sync)))
    await one.registry.put_state("a@n1", State.STOPPING)
    await eventually(lambda: len(heard.events) == 2)
    versions = [codec(KINDS[event.type]).decode(event.payload).version for event in heard.events]
    assert versions == sorted(versions)


async def test_who_watches_one_instance_hears_of_no_other(new_node: NewNode, tmp_path: Path) -> None:
    """A thousand watchers that are all woken by each of a thousand changes are a million."""
    one = await new_node("n1")
    tasks, changes = Tasks("test"), list[str]()

    async def watch() -> None:
        async for change in one.registry.watch("b@n1", "c@n1"):
            changes.append(change.instance)

    tasks.spawn(watch(), name="watch")
    await asyncio.sleep(0)
    for name in ("a", "b", "c"):
        await host(one, name, tmp_path)
    await eventually(lambda: changes == ["b@n1", "b@n1", "c@n1", "c@n1"])
    await tasks.aclose()
    assert one.registry._watchers == {}


async def test_waiting_for_a_role_ends_when_it_runs(new_node: NewNode, tmp_path: Path) -> None:
    """By role, by name and by instance; a STARTING one is none."""
    one, two = await new_node("n1"), await new_node("n2")
    tasks = Tasks("test")
    waits = [
        tasks.spawn(two.registry.wait_for(**what, timeout_s=5), name="wait")
        for what in ({"role": "probe"}, {"name": "a"}, {"instance": "a@n1"})
    ]
    await asyncio.sleep(0)
    await host(one, "a", tmp_path)
    found = await asyncio.gather(*waits)
    assert {(entry.instance, entry.state) for entry in found} == {("a@n1", State.RUNNING)}
    assert (await two.registry.wait_for(role="probe", timeout_s=0)).instance == "a@n1"


async def test_waiting_for_nobody_times_out_and_leaves_nothing(new_node: NewNode) -> None:
    """The error says what was waited for; a cancelled wait is forgotten, too."""
    one = await new_node("n1")
    for what, says in (({"role": "x"}, "role x"), ({"name": "y"}, "instance y"), ({"instance": "z@n"}, "instance z@n")):
        with pytest.raises(RequestTimeout, match=f"no {says} is RUNNING after 0.05 s"):
            await one.registry.wait_for(**what, timeout_s=0.05)
    tasks = Tasks("test")
    waiting = tasks.spawn(one.registry.wait_for(role="x"), name="wait")
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert one.registry._watchers == {}


async def test_a_schema_is_fetched_by_its_digest_once(new_node: NewNode) -> None:
    """Entries carry digests; schemas travel when somebody wants them."""
    one, two = await new_node("n1", "a"), await new_node("n2")
    entry = await two.registry.wait_for(instance="a@n1")
    digest = entry.requests["double"]["payload"]
    assert await two.registry.schema(digest, entry) == schema_of(Number)
    await one.aclose()
    assert await two.registry.schema(digest, entry) == schema_of(Number)


async def test_a_schema_that_nobody_has_is_no_such_instance(new_node: NewNode) -> None:
    """Its module may be gone."""
    await new_node("n1", "a")
    two = await new_node("n2")
    entry = await two.registry.wait_for(instance="a@n1")
    with pytest.raises(NoSuchInstance, match="no schema 123 on node n1"):
        await two.registry.schema("123", entry)


async def test_the_nodes_of_a_site_follow_its_clocks_leader(new_node: NewNode) -> None:
    """At once when it is set, and a newcomer with what it is told first."""
    one, two = await new_node("n1"), await new_node("n2")
    one.clock.lead(1000.0, 3.0, "data_generator@n1")
    await eventually(lambda: two.clock.leader == "data_generator@n1", timeout_s=0.8)
    assert two.clock.now() == pytest.approx(one.clock.now(), abs=1.0)
    assert two.clock.speed == 3.0
    three = await new_node("n3")
    await eventually(lambda: three.clock.leader == "data_generator@n1")


async def test_a_lost_announcement_heals_with_the_next_heartbeat(
    new_node: NewNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Messages are lost; a second later all is known."""
    one, two = await new_node("n1"), await new_node("n2")
    await eventually(lambda: "n1" in two.registry._view.nodes)
    with monkeypatch.context() as patch:
        for word in ("announced", "updated"):
            patch.setattr(two.registry._view, word, lambda *_: [])
        await host(one, "a", tmp_path)
        await one.bus.request(_ask("n2"))  # what was announced has come, and was lost
    assert names(two) == []
    await eventually(lambda: names(two) == ["a@n1"], timeout_s=3)


def _ask(node: str) -> Message:
    where = address.instance(f"{address.NODE}@{node}")
    return Message(address=where, type="counters", payload=b"", deadline_s=time.monotonic() + 2)


STANDING = {"site_s": 0, "speed": 0, "leader": "x@x", "version": 9}


async def test_foreign_words_on_the_registrys_subjects_do_no_harm(new_node: NewNode) -> None:
    """Anybody can publish there: what doesn't fit is ignored, and the registry works on."""
    one = await new_node("n1", "a")
    two = await new_node("n2")
    await eventually(lambda: names(two) == ["a@n1"])
    bodies = [
        b"",
        b"{}",
        b"nonsense",
        dumps({"node": "b ad.node", "to": ""}),
        dumps({"node": "b ad.node", "boot": "b", "version": 3}),
        dumps(
            {"node": "x", "boot": "b", "version": 3, "clock": {"site_s": 0, "speed": 0, "leader": "x@x", "version": 9}}
        ),
        dumps({"node": "n1", "boot": "other", "version": 99}),
    ]
    for kind in ("announce", "update", "heartbeat", "sync", "leave", "other"):
        for body in bodies:
            if kind != "other":
                two.registry.take_event(Message(address=address.REGISTRY, type=kind, payload=body))
            await one.bus.publish(Message(address=address.REGISTRY, type=kind, payload=body))
    await two.bus.request(_ask("n1"))
    await eventually(lambda: names(two) == ["a@n1"])
    assert two.clock.leader == ""
    assert one.clock.now() > 1e9


async def test_a_node_answers_about_itself(new_node: NewNode) -> None:
    """Counters, imports and schemas at `_node@NODE`; anything else is refused with what there is."""
    await new_node("n1", "a")
    two = await new_node("n2")
    counters = codec(dict[str, Any]).decode(await two.bus.request(_ask("n1")))
    assert counters["a@n1"]["requests"] == 0
    where = address.instance("_node@n1")
    imports = Message(address=where, type="imports", payload=b"", deadline_s=time.monotonic() + 2)
    assert "gridlink.node.node" in codec(list[str]).decode(await two.bus.request(imports))


CHILD = """
import asyncio, sys
from gridlink import lean
lean.import_asyncio()
from pathlib import Path
from tests.gridlink.registry.test_registry import child
asyncio.run(child(*sys.argv[1:]))
"""


async def child(url: str, site: str, directory: str) -> None:
    """A node in a process of its own, until it is killed."""
    bus = NatsBus(site, "victim")
    await bus.connect(url)
    async with Node(bus, "m") as node:
        await host(node, "a", Path(directory))
        await asyncio.Event().wait()


async def test_a_killed_node_is_gone_within_six_seconds(
    new_node: NewNode, shared_server: Server, site: str, tmp_path: Path
) -> None:
    """SIGKILL leaves no time for a leave: its heartbeats end, after four seconds it is gone, and watchers are told."""
    one = await new_node("n1")
    arguments = [sys.executable, "-c", CHILD, shared_server.url, site, str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*arguments)
    try:
        await one.registry.wait_for(instance="a@victim", timeout_s=10)
        process.send_signal(signal.SIGKILL)
        began_s = time.monotonic()
        await eventually(lambda: names(one) == [], timeout_s=8)
        assert 2.5 < time.monotonic() - began_s < 6.0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
