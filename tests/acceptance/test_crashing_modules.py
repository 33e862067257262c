"""A module that crashes or hangs the process that others live in: named, told, and the next time kept out of it.

Real crashes in native code, in the AppManager's own node and in a NodeManager's own process (the paper's Figure 7).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appmanager.guardian import cgroups
from gridlink import address
from gridlink.bus.protocol import Answer
from gridlink.codec import codec
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.message import Message
from gridlink.node.process import open_bus
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_history import only_entry
from tests.acceptance.test_signed_commands import recorded
from tests.gridlink.conftest import require_nats_server

CRASHER = (
    good("crasher")
    + """
    n = 0

    @request("count")
    async def count(self) -> int:
        self.n += 1
        return self.n

    async def snapshot(self): return self.n
    async def restore(self, state: int): self.n = state

    @request("crash")
    async def crash(self, how: str) -> None:
        import ctypes, faulthandler, os, sys
        if how == "SIGSEGV":
            ctypes.string_at(0)
        elif how == "SIGABRT":
            os.abort()
        elif how == "SIGBUS":
            import signal
            signal.raise_signal(signal.SIGBUS)
        elif how == "stuck":
            sum(range(sys.maxsize))
        elif how == "fill":
            import mmap, time
            shared, at = mmap.mmap(-1, 1 << 33), 0  # of the kind that no limit of its process counts
            while True:
                try:
                    while True:  # an interruption comes at its end, too
                        time.sleep(0.005)
                        shared[at : at + (1 << 20)] = bytes(1 << 20)
                        at += 1 << 20
                except BaseException:
                    continue
        elif how == "child":
            child = os.fork()
            if not child:
                ctypes.string_at(0)
            os.waitpid(child, 0)
        elif how == "keep":
            kept = []
            while True:
                kept.append(bytes(1 << 20))
        elif how == "exit":
            os._exit(9)
"""
)
IN_START = (
    good("bad_start") + "    async def start(self) -> None:\n        import ctypes\n        ctypes.string_at(0)\n"
)


class Reports:
    """The events of one type on topic `health`."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def take_event(self, message: Message) -> None:
        self.heard.append(codec(Any).decode(message.payload))

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        return NoSuchRole(f"nothing is answered, {message.type} came")


@asynccontextmanager
async def listening(node: Running, kind: str) -> AsyncIterator[Reports]:
    """What is told meanwhile."""
    bus, reports = await open_bus("site", f"ear-{os.getpid()}", node.file["url"]), Reports()
    try:
        await bus.subscribe(address.topic("health"), kind, reports)
        yield reports
    finally:
        await bus.aclose()


async def crash(node: Running, how: str) -> None:
    """Has the module crash."""
    with pytest.raises(GridlinkError):
        await node.sender.request("crasher", "crash", how, timeout_s=3)


async def pings(node: Running, role: str) -> bool:
    """Whether it answers."""
    try:
        return bool(await node.sender.request(role, "ping", timeout_s=0.3) == "pong")
    except GridlinkError:
        return False


def another_node(node: Running, pid: int) -> bool:
    """Whether the node's process is another one than it was."""
    return bool(node.file["pids"]["node"] != pid)


def have_come(reports: Reports, number: int) -> bool:
    """Whether so many reports have."""
    return len(reports.heard) == number


async def counted(node: Running) -> int:
    """What the crasher counts; it may just be starting."""

    async def count() -> int:
        try:
            return int(await node.sender.request("crasher", "count", timeout_s=0.5))
        except GridlinkError:
            return 0

    number: int = await eventually(count, timeout_s=15)
    return number


async def kept(managed: Path, number: int) -> None:
    """Returns when the crasher's checkpoint has the number."""
    file = managed / ".gridlink" / "states" / "crasher"
    await eventually(lambda: file.exists() and file.read_bytes().endswith(f"\n{number}".encode()), timeout_s=10)


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """Two modules in the AppManager's own node."""
    require_nats_server()
    directory = tmp_path / "managed"
    bundle(directory, "crasher", CRASHER)
    bundle(directory, "innocent", good("innocent"))
    return directory


@pytest.mark.parametrize("how", ["SIGSEGV", pytest.param("SIGABRT", marks=pytest.mark.slow), "SIGBUS"])
async def test_a_crash_is_named_and_the_second_one_moves_the_module_to_fork(managed: Path, how: str) -> None:
    """In native code, which no handler of Python sees: the others go on, and everybody can read who it was."""
    async with running(managed, "--checkpoint-every", "0.2") as node, listening(node, "moduleCrashed") as reports:
        await node.all_running("crasher", "innocent")
        assert await counted(node) == 1
        await kept(managed, 1)
        for time in (1, 2):
            pid = node.file["pids"]["node"]
            await crash(node, how)
            await eventually(partial(another_node, node, pid), timeout_s=10)
            await eventually(partial(have_come, reports, time), timeout_s=10)
            entries = {entry.name: entry for entry in await node.all_running("crasher", "innocent")}
            assert entries["crasher"].mode == ("node" if time == 1 else "fork")
            assert entries["innocent"].mode == "node"
            report = reports.heard[-1]
            assert (report["module"], report["moved"]) == ("crasher", time == 2)
            assert how in report["how"]
            assert any("/crasher/crasher/__init__.py:" in line for line in report["stack"]), report
        assert await counted(node) == 2
        assert "node crashed: crasher: it ended its process in " in node.output()
        assert how in entries["crasher"].reason
        assert node.stop() == 0


@contextmanager
def cgroup(limit_mib: int) -> Iterator[Path]:
    """A cgroup with so much memory for what goes into it."""
    parent = cgroups.find([os.getpid()]).parents.get("memory")
    if parent is None:
        pytest.skip("no cgroup for memory is ours to write to")
    place = Path(parent) / f"gridlink-test-{os.getpid()}"
    place.mkdir()
    try:
        limit = "memory.max" if (place / "memory.max").exists() else "memory.limit_in_bytes"
        (place / limit).write_text(str(limit_mib << 20))
        yield place
    finally:
        for pid in (place / "cgroup.procs").read_text().split():
            (Path(parent) / "cgroup.procs").write_text(pid)
        place.rmdir()


async def test_one_for_whom_the_kernel_kills_the_node_for_memory_is_named(managed: Path) -> None:
    """It takes what no limit of a process counts, and holds the loop meanwhile: nothing can be asked afterwards."""
    async with running(managed) as node, listening(node, "moduleCrashed") as reports:
        await node.all_running("crasher", "innocent")
        pid = node.file["pids"]["node"]
        with cgroup(limit_mib=100) as place:
            (place / "cgroup.procs").write_text(str(pid))
            await crash(node, "fill")
            await eventually(lambda: node.file["pids"]["node"] != pid, timeout_s=10)
        await eventually(lambda: reports.heard, timeout_s=10)
        assert reports.heard[0]["module"] == "crasher"
        assert "the machine, or its cgroup, had no memory left" in reports.heard[0]["how"]
        await node.all_running("crasher", "innocent")
        assert node.stop() == 0


def may_have_mib(pid: int) -> float:
    """The private memory that a process may have."""
    line = next(
        line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max data size")
    )
    soft = line.split()[3]
    return float("inf") if soft == "unlimited" else int(soft) / (1 << 20)


async def test_a_cgroup_that_leaves_less_than_the_machine_bounds_a_node_too(managed: Path) -> None:
    """In a container the kernel would kill the node otherwise, and nobody could say for whom."""
    async with running(managed) as node:
        await node.all_running("crasher", "innocent")
        pid, before_mib = node.file["pids"]["node"], may_have_mib(node.file["pids"]["node"])
        with cgroup(limit_mib=150) as place:
            (place / "cgroup.procs").write_text(str(pid))
            await eventually(lambda: may_have_mib(pid) < before_mib / 2, timeout_s=10)
            await crash(node, "keep")
            await eventually(partial(another_node, node, pid), timeout_s=10)
        entries = {entry.name: entry for entry in await node.all_running("crasher", "innocent")}
        assert entries["crasher"].mode == "fork"
        assert "it filled the memory of its node" in entries["crasher"].reason
        assert node.stop() == 0


async def test_a_crash_of_a_child_of_a_module_is_not_the_nodes(managed: Path) -> None:
    """It has the node's pipes: what it writes there as it dies must not pass for the node's last words."""
    async with running(managed) as node:
        await node.all_running("crasher", "innocent")
        pid = node.file["pids"]["node"]
        await node.sender.request("crasher", "crash", "child", timeout_s=3)
        await crash(node, "SIGSEGV")  # the node's own is still heard, and named
        await eventually(partial(another_node, node, pid), timeout_s=10)
        assert node.output().count("node crashed: crasher") == 1
        await node.all_running("crasher", "innocent")
        assert node.stop() == 0


async def test_a_crash_in_a_process_of_its_own_says_where(managed: Path) -> None:
    """It harms nobody else there, and is looked for all the same."""
    async with running(managed, "--mode", "fork") as node:
        await node.all_running("crasher", "innocent")
        await crash(node, "SIGSEGV")
        await eventually(lambda: "crasher is BACKOFF" in node.output(), timeout_s=10)
        line = next(line for line in node.output().splitlines() if "crasher is BACKOFF" in line)
        assert "killed by SIGSEGV in " in line
        assert "ctypes/__init__.py" in line


def own_process(managed: Path, inside: str) -> None:
    """Puts a NodeManager of its own process there; `inside`: its modules lie in it, else they say `into`."""
    manifest = {"name": "node2", "version": "1.0.0", "entry": "nodemanager:NodeManager", "mode": "process"}
    (managed / "node2" / "managed").mkdir(parents=True)
    (managed / "node2" / "module.json").write_text(json.dumps(manifest))
    for name in ("crasher", "innocent"):
        if inside == "inside":
            shutil.move(managed / name, managed / "node2" / "managed" / name)
        else:
            file = managed / name / "module.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "into": "node2"}))


@pytest.mark.parametrize("where", ["inside", "into"])
@pytest.mark.parametrize("how", ["stuck", "exit", pytest.param("SIGSEGV", marks=pytest.mark.slow)])
async def test_in_a_nodemanagers_own_process_the_offender_goes_to_fork_too(managed: Path, how: str, where: str) -> None:
    """Figure 7: that process is started again, without it; what it had counted goes on."""
    own_process(managed, where)
    kind = "moduleHung" if how == "stuck" else "moduleCrashed"
    async with running(managed, "--checkpoint-every", "0.2") as node, listening(node, kind) as reports:
        first = {entry.name: entry for entry in await node.all_running("node2", "crasher", "innocent")}
        assert first["crasher"].pid == first["node2"].pid == first["innocent"].pid
        appmanagers_node = node.file["pids"]["node"]
        assert await counted(node) == 1
        await kept(managed, 1)
        for _ in range(2 if how == "SIGSEGV" else 1):
            pid = next(e.pid for e in await node.all_running("crasher"))
            await crash(node, how)

            async def is_back(pid: int = pid) -> bool:
                found = [e for e in node.registry.instances() if e.name in ("crasher", "innocent", "node2")]
                return len(found) == 3 and all(e.pid not in (0, pid) and e.state == "RUNNING" for e in found)

            await eventually(is_back, timeout_s=20)
        entries = {entry.name: entry for entry in await node.all_running("node2", "crasher", "innocent")}
        assert entries["innocent"].pid == entries["node2"].pid != entries["crasher"].pid
        assert entries["crasher"].mode == "fork"
        assert "crasher: it" in entries["crasher"].reason or "crasher held" in entries["crasher"].reason
        assert await counted(node) == 2
        assert await eventually(lambda: pings(node, "innocent"))
        assert node.file["pids"]["node"] == appmanagers_node
        await eventually(lambda: reports.heard)
        assert (reports.heard[-1]["module"], reports.heard[-1]["instance"].endswith("-node2")) == ("crasher", True)

        move = await only_entry(managed)
        assert (move["kind"], move["module"], move["outcome"]) == ("move", "crasher", "done")
        assert move["who"] == f"guardian of {node.file['node']}"

        os.kill(appmanagers_node, 9)  # the next AppManager finds it so
        await eventually(lambda: node.file["pids"]["node"] != appmanagers_node, timeout_s=10)

        async def is_as_it_was() -> bool:
            found = {e.name: e for e in node.registry.instances() if e.state == "RUNNING"}
            names = ("crasher", "innocent", "node2", "appmanager")
            return all(name in found for name in names) and found["crasher"].pid == entries["crasher"].pid

        await eventually(is_as_it_was, timeout_s=20)
        assert await counted(node) == 3
        assert await recorded(managed) == [move]
        assert node.stop() == 0


async def test_one_that_crashes_in_its_start_does_not_take_its_nodemanager_along(managed: Path) -> None:
    """In a process of its own it fails alone, by its own restart policy."""
    own_process(managed, "inside")
    restart = {"intensity": 1, "period_s": 60, "backoff_s": [0.05, 0.1]}
    bundle(managed / "node2" / "managed", "bad_start", IN_START, restart=restart)
    async with running(managed) as node:
        await eventually(lambda: node.state("bad_start")[0] == "FAILED", timeout_s=30)
        assert "SIGSEGV" in node.state("bad_start")[1]
        await node.all_running("node2", "crasher", "innocent")
        assert await eventually(lambda: pings(node, "innocent"))
        assert node.stop() == 0
