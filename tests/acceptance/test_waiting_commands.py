"""Commands that wait behind another one, when everything of the node is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from appmanager.operating import TOO_LATE
from appmanager.orders import BundleOrder, ConfigureOrder, Ended, UninstallOrder
from appmanager.packed.about import about
from appmanager.provisioning.machine import Kind, Step
from appmanager.provisioning.plan import Order, spelled, spelled_order
from appmanager.provisioning.planner import Planner
from appmanager.provisioning.time_left import moment
from appmanager.store.disk import RealDisk
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from appmanager.store.waiting import Waiting
from appmanager.transfer.putting import put
from gridlink.bus.durable.jetstream import JetStream
from gridlink.bus.nats import NatsBus
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import counted, done, leftovers, packed
from tests.acceptance.test_remote_install import SLOW, has_store, packed_big, received, site


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_what_waits_when_the_node_is_killed_is_done_once_and_nobody_has_to_ask_again(tmp_path: Path) -> None:
    """The desk may be closed by then."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    site(managed, SLOW)
    first, big = await packed(tmp_path, "1.0.0"), await packed_big(tmp_path, "1.1.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        await eventually(partial(has_store, managed), timeout_s=20)
        await done(managed, "install", first, "--via", "path")
        source = await _sent(node, big)
        manager = node.registry.find(role="appmanager")[0].instance
        name, _, digest = about(big)
        update = BundleOrder("first", name, digest, source, who="desk")
        configure = ConfigureOrder("second", name, settings={"step": 5}, who="desk")
        for word, order in (("update", update), ("configure", configure)):
            ended: Ended = await node.sender.request(manager, word, order, reply=Ended, timeout_s=1.0)
            assert ended.end == "under way"
        await eventually(lambda: received(managed) > 0, timeout_s=20)
        (kept,) = (managed / ".gridlink" / "waiting").iterdir()
        journal = managed / ".gridlink" / "journal" / "counter"
        assert all(moment().boot in one.read_text() for one in (kept, journal))  # since when their time runs
        before = node.file["pids"]["node"]
        os.kill(before, signal.SIGKILL)
        await eventually(partial(_all_done, managed), timeout_s=60)
        assert await counted(node, "add") == ("1.1.0", 5)
        await eventually(lambda: leftovers(managed) == [], timeout_s=5)
        await eventually(lambda: not list((managed / ".gridlink" / "waiting").iterdir()), timeout_s=5)
        again: Ended = await node.sender.request(manager, "configure", configure, reply=Ended, timeout_s=5)
        assert again.end == "done"
        assert [line["id"] for line in _record(managed)][1:] == ["first", "second"]


async def test_what_waited_alone_is_done_and_kept_no_more(tmp_path: Path) -> None:
    """The one before it had ended when the power went: it need not wait again, and its file must go all the same."""
    managed = tmp_path / "managed"
    for name in ("lamp", "meter"):
        bundle(managed, name, good(name))
    waiting = Layout(managed).waiting
    for number, (name, expires_s) in enumerate((("lamp", 60), ("meter", 60), ("lamp", 60), ("meter", 0.001))):
        order = Order(str(number), Kind.UNINSTALL, name, who="desk", expires_s=expires_s)
        Waiting(RealDisk(), waiting).add(order.id, "order", spelled_order(order))
    assert len(list(waiting.iterdir())) == 4
    async with running(managed) as node:
        await eventually(lambda: not list(waiting.iterdir()), timeout_s=20)
        assert {(line["id"], line["outcome"]) for line in _record(managed)} == {
            ("0", "done"),
            ("1", "done"),
            ("2", "refused"),
            ("3", "refused"),
        }
        assert {line["who"] for line in _record(managed)} == {"desk"}  # of what has expired, too
        assert not node.registry.find(name="lamp")


async def test_what_waited_longer_than_it_was_worth_is_not_done_after_a_restart(tmp_path: Path) -> None:
    """However often its node restarts: it is refused, and so is one whose bundle was on its way. Both are on record."""
    managed = tmp_path / "managed"
    for name in ("lamp", "meter"):
        bundle(managed, name, good(name))
    layout, now = Layout(managed), moment()
    for name, passed_s in (("lamp", 50.0), ("meter", 70.0)):
        asked = structs.replace(now, since_boot_s=now.since_boot_s - passed_s)
        order = Order(name, Kind.UNINSTALL, name, who="desk", expires_s=60.0, taken=asked)
        Waiting(RealDisk(), layout.waiting).add(order.id, "order", spelled_order(order))
    file = await packed(tmp_path, "1.0.0")
    install = Order("counter", Kind.INSTALL, "counter", about(file)[2], str(file), who="desk", expires_s=60.0)
    install = structs.replace(install, taken=structs.replace(now, since_boot_s=now.since_boot_s - 70.0))
    journal = Journal(RealDisk(), layout)
    journal.begin("counter", spelled(Planner(RealDisk(), layout, ()).plan(install)))
    journal.write("counter", Step.RECEIVE)
    async with running(managed) as node:
        await eventually(lambda: not list(layout.waiting.iterdir()), timeout_s=20)
        await eventually(lambda: len(_record(managed)) == 3, timeout_s=20)
        ends = {line["id"]: (line["outcome"], line["reason"]) for line in _record(managed)}
        assert ends["lamp"] == ("done", "")
        assert ends["meter"] == ("refused", TOO_LATE)
        assert ends["counter"][0] == "refused"
        assert "before its time was over" in ends["counter"][1]
        assert {line["who"] for line in _record(managed)} == {"desk"}
        await eventually(lambda: leftovers(managed) == [], timeout_s=5)
        (manager,) = node.registry.find(role="appmanager")
        late = UninstallOrder("meter", "meter")
        again: Ended = await node.sender.request(manager.instance, "uninstall", late, reply=Ended, timeout_s=5)
        assert (again.end, again.reason) == ("refused", TOO_LATE)
        await node.all_running("meter")


async def _sent(node: Running, file: Path) -> str:
    """Puts it into the site's store; the reference."""
    bus = NatsBus("site", "desk")
    await bus.connect(node.file["url"])
    try:
        return (await put(JetStream(bus.raw()), "site", file)).spelled()
    finally:
        await bus.aclose()


def _record(managed: Path) -> list[dict[str, str]]:
    """The entries on record."""
    return [json.loads(line) for line in (managed / ".gridlink" / "record").read_text().splitlines()]


def _all_done(managed: Path) -> bool:
    return [entry["outcome"] for entry in _record(managed)] == ["done"] * 3


async def test_a_command_that_waits_outlasts_a_record_that_can_not_be_read(tmp_path: Path) -> None:
    """Whether it was done before can't be told then: it is neither done nor lost, and the next start does it."""
    managed = tmp_path / "managed"
    for name in ("lamp", "meter", "bulb"):
        bundle(managed, name, good(name))
    layout = Layout(managed)
    file = await packed(tmp_path, "1.0.0")
    install = Order("counter", Kind.INSTALL, "counter", about(file)[2], str(file), who="desk")
    journal = Journal(RealDisk(), layout)
    journal.begin("counter", spelled(Planner(RealDisk(), layout, ()).plan(install)))
    journal.write("counter", Step.RECEIVE)
    for name, signed in (("lamp", ""), ("meter", "UABC")):
        order = Order(name, Kind.UNINSTALL, name, who="desk", signed=signed)
        Waiting(RealDisk(), layout.waiting).add(order.id, "order", spelled_order(order))
    layout.record.mkdir()
    async with running(managed) as node:
        for told in ("install counter", "uninstall lamp", "uninstall meter"):
            await eventually(partial(_says, node, f"{told} is left for the next start: whether it was"), timeout_s=10)
        await node.all_running("lamp", "meter", "bulb")
        await eventually(partial(_says, node, "bundles are RUNNING"), timeout_s=10)
    assert len(list(layout.waiting.iterdir())) == 2
    layout.record.rmdir()
    async with running(managed) as node:
        await eventually(lambda: not list(layout.waiting.iterdir()), timeout_s=20)
        await eventually(partial(_all_done, managed), timeout_s=20)
        await node.all_running("bulb", "counter")


async def _says(node: Running, text: str) -> bool:
    return text in node.output()
