"""What provisioning asks of an AppManager, asked of a real one: the node and its NodeManager are real, too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appmanager import module_host
from appmanager.provisioning.machine import Kind
from gridlink import request
from gridlink.errors import Refused, StartFailed
from gridlink.node.plan import Choice
from gridlink.testing import eventually
from nodemanager import NodeManager
from tests.acceptance.running import bundle, good
from tests.appmanager.world import World


class Stuck(NodeManager):
    """Can't release a module."""

    @request("release")
    async def release(self, name: str) -> None:
        """Fails."""
        raise RuntimeError(f"{name} keeps the loop")


async def test_a_version_that_hangs_while_its_update_is_received_is_moved(world: World) -> None:
    """A bundle may be on its way for ten minutes: what runs meanwhile is protected, until it is touched itself."""
    world.manager.moving.add("counter")
    world.manager.touched.begin("counter", "a test")
    world.manager._offended(world.offence())
    assert world.manager.find("counter").mode == "node"  # type: ignore[union-attr]
    world.manager.touched.end("counter", "a test")
    world.manager._offended(world.offence())
    assert world.manager.find("counter").mode == "fork"  # type: ignore[union-attr]


async def test_a_watchdogs_move_is_tried_while_an_update_is_received(world: World) -> None:
    """It is refused for what this site is, and not because a command is on its way."""
    module = world.site.node.instances["nodemanager@test"]._module
    assert module is not None
    order = {"name": "counter", "mode": "fork", "reason": "it hung", "force": True}
    world.manager.moving.add("counter")
    with pytest.raises(Refused, match="needs a bus that other processes reach"):
        await module.bus.request("appmanager@test", "move", order)
    assert world.manager.under_way() == {"counter"}
    world.manager.touched.begin("counter", "a test")
    with pytest.raises(Refused, match="on its way already"):
        await module.bus.request("appmanager@test", "move", order)


async def test_a_command_touches_what_runs_when_a_move_has_ended(world: World) -> None:
    """The move was there first; the command waits, and is on its own then."""
    world.manager.touched.begin("counter", "a move")
    holding = world.manager.tasks.spawn(world.host.snapshot(world.plan(Kind.UPDATE)), name="hold", awaited=True)
    assert not (await asyncio.wait({holding}, timeout=0.2))[0]
    world.manager.touched.end("counter", "a move")
    await holding
    assert "counter" in world.manager.touched
    world.host.ended("counter")
    assert "counter" not in world.manager.touched


async def test_a_longer_start_than_anybody_waits_for_is_refused_where_the_module_runs(
    world: World, tmp_path: Path
) -> None:
    """An operator stops it first: then nobody waits."""
    slow = bundle(tmp_path, "counter", good("counter") + "    start_within_s = 30.0\n", version="2.0.0")
    plan = world.plan(Kind.UPDATE)
    with pytest.raises(Refused, match="declares start_within_s = 30: expected at most 14"):
        await world.host.preflight(plan, slow)
    await world.host.stop(plan)
    await world.host.preflight(plan, slow)


async def test_what_a_version_did_is_forgiven_though_its_mode_can_not_be_kept(world: World) -> None:
    """The disk that refuses the one has nothing to do with the other, which the next command would begin with."""
    world.manager.hosting.blocked["counter"] = "it blocked the event loop"
    plan = world.plan(Kind.UPDATE, Choice("node"))
    await world.host.snapshot(plan)
    await world.host.start(plan, world.managed / "counter", None)
    (world.managed / ".gridlink").write_text("a file where a directory is to be")
    with pytest.raises(OSError, match=r"\.gridlink"):
        await world.host.settle(plan)
    await eventually(lambda: ["forgive", "counter"] in world.guardian.orders)
    assert (world.host._let_in, "counter" in world.manager.touched) == ({}, False)


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.UNINSTALL])
async def test_what_a_broken_command_held_is_followed_by_nobody(world: World, kind: Kind) -> None:
    """It goes on by itself after a while, or is gone: a version that followed it would start from nothing."""
    await world.host.snapshot(world.plan(Kind.UPDATE))
    assert world.host._held
    if kind is Kind.UNINSTALL:
        await world.host.stop(world.plan(kind))
    else:
        await world.host.preflight(world.plan(kind), world.managed / "counter")
    assert (world.host._held, world.host._let_in) == ({}, {})


@pytest.mark.parametrize("world", [Stuck], indirect=True)
async def test_nothing_follows_what_neither_answers_nor_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its NodeManager would say that it hosts that already, and the old code would go on as the new version."""
    monkeypatch.setattr(module_host, "POSTPONED_S", 0.0)
    monkeypatch.setattr(module_host, "SILENT_S", 0.0)  # it doesn't answer in time
    monkeypatch.setattr(module_host, "END_S", 0.3)
    monkeypatch.setattr(module_host, "GONE_WITHIN_S", 0.3)
    with pytest.raises(StartFailed, match="counter@test neither answers nor ends"):
        await world.host.snapshot(world.plan(Kind.UPDATE))
