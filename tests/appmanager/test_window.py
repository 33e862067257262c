"""Whose silence counts in a health window: that of a process of its own, and nobody's in a loop that modules share."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appmanager.in_node import NodeChild
from appmanager.in_process import ProcessChild
from appmanager.window import SILENT_S, Window
from gridlink import address
from gridlink.errors import StartFailed
from gridlink.lifecycle import State
from gridlink.testing import _Role
from tests.appmanager.world import World

COUNTERS = {"counter@test-node2": {"stuck": 0}}


@pytest.mark.parametrize("kind", [NodeChild, ProcessChild])
async def test_a_silent_node_is_the_modules_own_fault_where_nobody_else_is_in_it(
    world: World,
    tmp_path: Path,
    kind: type[NodeChild | ProcessChild],
) -> None:
    """Another module of a NodeManager's process may keep it silent for seconds, when it is imported."""

    async def late(_: object) -> dict[str, dict[str, int]]:
        await asyncio.sleep(SILENT_S + 0.5)
        return COUNTERS

    await world.site.node.bus.serve(address.instance("_node@test-node2"), _Role({"counters": late}))
    manager, planned = world.manager, world.manager.find("counter")
    assert planned is not None
    child = (
        NodeChild(manager, planned)
        if kind is NodeChild
        else ProcessChild(manager, manager._link, planned, tmp_path, False, False)
    )
    child.instance, child.state = "counter@test-node2", State.RUNNING
    window = Window(manager, child)
    if kind is NodeChild:
        await window.opens()
        return
    with pytest.raises(StartFailed, match="has kept the event loop of its process for 1 s"):
        await window.opens()
    assert window.is_silent
