"""What a real node says of itself in each mode, and what it refuses to start because it doesn't fit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gridlink.node.footprint.report import NodeFootprint
from tests.acceptance.running import Running, bundle, good, running
from tests.cli.conftest import run

BUSY = """
import time
from gridlink import Module, request

class Probe(Module[None]):
    '''Computes, or sleeps, and holds the loop either way.'''
    roles = ("busy",)

    @request("compute")
    async def compute(self, seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    @request("block")
    async def block(self, seconds: float) -> None:
        time.sleep(seconds)

    @request("thread", thread=True)
    def thread(self, seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
"""


async def footprint(node: Running, name: str, for_s: float = 10.0) -> NodeFootprint:
    """What the node of a module answers."""
    (entry,) = node.registry.find(name=name)
    where = f"_node@{entry.node}"
    return await node.sender.request(where, "footprint", {"for_s": for_s}, reply=NodeFootprint)


@pytest.mark.parametrize("mode", ["node", "process", "fork"])
async def test_each_mode_tells_cpu_loop_threads_and_memory_of_its_modules(tmp_path: Path, mode: str) -> None:
    """A module that computes is told apart from one that blocks, and from its neighbour."""
    managed = tmp_path / "managed"
    bundle(managed, "busy", BUSY, mode=mode)
    bundle(managed, "idle", good("idle"), mode=mode, resources={"memory_mib": 8})
    async with running(managed) as node:
        await node.all_running("busy", "idle")
        await footprint(node, "busy")
        await node.sender.request("busy", "compute", 0.1)
        await node.sender.request("busy", "block", 0.15)
        await node.sender.request("busy", "thread", 0.1)
        found = await footprint(node, "busy")
        busy = next(one for one in found.modules if one.instance.startswith("busy@"))
        assert busy.loop is not None
        assert busy.loop.total_s > 0.25
        assert 0.09 < busy.loop.cpu_s < 0.2
        assert busy.loop.longest_s >= 0.15
        assert busy.thread_cpu_s >= 0.1
        assert (busy.messages, busy.errors) == (3, 0)
        assert found.processes[0].cpu_s > 0.15
        assert found.processes[0].pss_bytes
        neighbours = (await footprint(node, "idle")).modules
        idle = next(one for one in neighbours if one.instance.startswith("idle@"))
        assert idle.declared_mib == 8
        assert idle.loop is not None
        assert idle.loop.cpu_s < 0.05


async def test_what_does_not_fit_is_refused_before_it_starts_with_the_numbers(tmp_path: Path) -> None:
    """`ls`, `show` and `doctor` say why; the others run."""
    managed = tmp_path / "managed"
    bundle(managed, "large", "raise SystemExit('it was imported')", resources={"memory_mib": 9_000_000})
    bundle(managed, "small", good("small"), resources={"memory_mib": 1})
    before = await asyncio.to_thread(run, "-C", managed, "doctor")
    assert "it needs 9000000 MiB" in before.out
    async with running(managed) as node:
        await node.all_running("small")
        state, reason = node.state("large")
        assert state == "FAILED"
        assert reason.startswith("it needs 9000000 MiB (resources.memory_mib), and ")
        assert "MiB are left for it" in reason
        assert "it was imported" not in node.output()
        shown = await asyncio.to_thread(run, "-C", managed, "show", "large")
        assert reason in shown.out
        doctor = await asyncio.to_thread(run, "-C", managed, "doctor", "--json")
        checks = {one["name"]: one for one in json.loads(doctor.out)["checks"]}
        assert "not running: large@" in checks["node"]["text"]
        assert checks["port"]["status"] == "ok", checks["port"]  # its own nats-server has it
