"""Commands that operators sign, and the record of them all, on a real node that the `gridlink` command asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appmanager.moving import MoveOrder
from appmanager.operators.signed import Target
from appmanager.operators.signing import sign
from appmanager.orders import Ended, RunOrder, UninstallOrder, Word
from gridlink.errors import AccessDenied, NoSuchInstance, Refused
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import counted, done, gridlink, packed
from tests.appmanager.operators.keys import Person, person


@pytest.fixture
def maria(tmp_path: Path) -> Person:
    """An operator."""
    return person(tmp_path, "maria")


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with one module."""
    directory = tmp_path / "managed"
    bundle(directory, "lamp", good("lamp"))
    return directory


def lists(managed: Path, *operators: Person) -> None:
    """Has the site list them."""
    listed = [{"name": one.operator.name, "nkey": one.operator.nkey} for one in operators]
    (managed / "site.json").write_text(json.dumps({"operators": listed}))


async def recorded(managed: Path) -> list[dict[str, Any]]:
    """The entries of the record, which is whole."""
    lines = [json.loads(line) for line in (await done(managed, "history", "--verify", "--json")).splitlines()]
    assert lines.pop()["verified"] == len(lines)
    return lines


async def test_where_a_site_lists_operators_their_commands_are_done_and_no_others(
    managed: Path, tmp_path: Path, maria: Person
) -> None:
    """And the record says who it was."""
    lists(managed, maria)
    stranger, file = person(tmp_path, "stranger"), await packed(tmp_path, "1.0.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        for command in (("install", file), ("stop", "lamp"), ("move", "lamp", "--mode", "fork")):
            status, _, err = await gridlink(managed, *command)
            assert (status, "isn't signed: sign it with an operator's nkey" in err) == (1, True), err
        status, _, err = await gridlink(managed, "--operator-key", stranger.seed_file, "stop", "lamp")
        assert (status, "isn't one: add it to `operators`" in err) == (1, True), err
        key = ("--operator-key", maria.seed_file)
        await done(managed, *key, "install", file, "--set", "step=2")
        assert await counted(node, "add") == ("1.0.0", 2)
        for command in (("stop", "lamp"), ("start", "lamp"), ("restart", "lamp"), ("move", "lamp", "--mode", "fork")):
            await done(managed, *key, *command)
        await done(managed, *key, "kill", "lamp")
        entries = await recorded(managed)
        assert [entry["kind"] for entry in entries] == ["install", "stop", "start", "restart", "move", "kill"]
        assert {(entry["who"], entry["signed"]) for entry in entries} == {("maria", maria.operator.nkey)}


async def test_a_signed_command_that_somebody_repeats_is_not_done_again(managed: Path, maria: Person) -> None:
    """Nor for another AppManager, nor after it has expired, nor after a restart of the node."""
    manifest = managed / "lamp" / "module.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "mode": "fork"}))
    lists(managed, maria)
    async with running(managed) as node:
        await node.all_running("lamp")
        manager = node.registry.find(role="appmanager")[0]
        target = Target("site", manager.machine, manager.instance)

        async def ask(order: RunOrder, to: Target, now_s: float, word: str = "restart") -> Ended:
            signed = structs.replace(order, signature=sign(word, order, to, maria.seed_file, now_s))
            while True:
                try:
                    found: Ended = await node.sender.request(
                        manager.instance, "restart", signed, reply=Ended, timeout_s=30
                    )
                except NoSuchInstance:
                    await asyncio.sleep(0.1)  # its node is being replaced
                else:
                    return found

        order = RunOrder("once", "lamp", expires_s=60)
        assert (await ask(order, target, time.time())).end == "done"
        pid = pid_of(node)
        assert (await ask(order, target, time.time())).end == "done"
        assert pid_of(node) == pid
        with pytest.raises(Refused, match="another command"):
            await ask(structs.replace(order, module="appmanager"), target, time.time())
        for wrong, now_s, word in (
            (replace(target, instance="appmanager@other"), time.time(), "restart"),
            (replace(target, machine="other"), time.time(), "restart"),
            (target, time.time() - 3600, "restart"),
            (target, time.time(), "stop"),
        ):
            with pytest.raises(AccessDenied):
                await ask(structs.replace(order, id="other"), wrong, now_s, word)
        before = node.file["pids"]["node"]
        os.kill(before, signal.SIGKILL)
        await eventually(partial(is_another, node, before), timeout_s=20)
        await node.all_running("lamp", "appmanager")
        pid = pid_of(node)
        assert (await ask(order, target, time.time())).end == "done"
        assert pid_of(node) == pid
        assert [entry["id"] for entry in await recorded(managed)] == ["once"]


async def test_a_signed_command_that_was_refused_is_not_done_when_somebody_sends_it_again(
    managed: Path, tmp_path: Path, maria: Person
) -> None:
    """What could not be done then may be possible later, when nobody wants it any more."""
    lists(managed, maria)
    key, file = ("--operator-key", maria.seed_file), await packed(tmp_path, "1.0.0")
    async with running(managed) as node:
        await node.all_running("lamp")
        manager = node.registry.find(role="appmanager")[0]
        target = Target("site", manager.machine, manager.instance)
        orders: dict[Word, UninstallOrder | RunOrder | MoveOrder] = {
            "uninstall": UninstallOrder("1", "counter", purge=True),
            "stop": RunOrder("2", "counter"),
            "move": MoveOrder("counter", "fork", id="3"),
        }
        signed = {
            word: structs.replace(order, signature=sign(word, order, target, maria.seed_file, time.time()))
            for word, order in orders.items()
        }

        async def refused(word: Word) -> str:
            try:
                found = await node.sender.request(manager.instance, word, signed[word], timeout_s=30)
            except Refused as error:
                return str(error)
            assert found["end"] == "refused"
            return str(found["reason"])

        before = {word: await refused(word) for word in orders}
        assert all("counter" in reason for reason in before.values())
        await done(managed, *key, "install", file)
        assert {word: await refused(word) for word in orders} == before
        assert await counted(node) == ("1.0.0", 0)
        status, _, err = await gridlink(managed, *key, "stop", "appmanager")
        assert (status, "runs this node" in err) == (1, True), err
        nameless = MoveOrder("counter", "fork")
        with pytest.raises(Refused, match="expected an id"):
            await node.sender.request(
                manager.instance,
                "move",
                structs.replace(nameless, signature=sign("move", nameless, target, maria.seed_file, time.time())),
                timeout_s=30,
            )
        entries = await recorded(managed)
        kinds = [(entry["kind"], entry["outcome"]) for entry in entries]
        assert kinds == [*((word, "refused") for word in orders), ("install", "done"), ("stop", "refused")]
        assert {entry["who"] for entry in entries} == {"maria"}


def pid_of(node: Running) -> int:
    """The process of the lamp, which is its own."""
    (lamp,) = [entry for entry in node.registry.instances() if entry.name == "lamp"]
    return lamp.pid


def is_another(node: Running, former: int) -> bool:
    """Whether the node's process is another one than that."""
    return bool(node.file["pids"]["node"] != former)


async def test_gridlink_key_makes_a_key_once_and_says_what_to_write(tmp_path: Path) -> None:
    """What it prints is what site.json takes."""
    file = tmp_path / "keys" / "mine.nk"
    first = json.loads(await done(tmp_path, "--operator-key", file, "key", "--name", "tom", "--json"))
    again = json.loads(await done(tmp_path, "--operator-key", file, "key", "--name", "tom", "--json"))
    assert (first["made"], again["made"], first["nkey"]) == (True, False, again["nkey"])
    assert file.stat().st_mode & 0o077 == 0
    shown = (await done(tmp_path, "--operator-key", file, "key", "--name", "tom")).splitlines()[1]
    assert json.loads(shown.partition(": ")[2]) == {"operators": [{"name": "tom", "nkey": first["nkey"]}]}
