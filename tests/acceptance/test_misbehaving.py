"""Modules in a node that do to their process what only its owner may: named, and without harm to the others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import done

BAD = (
    good("bad")
    + """
    n = 0

    @request("count")
    async def count(self) -> int:
        self.n += 1
        return self.n

    async def snapshot(self): return self.n
    async def restore(self, state: int): self.n = state

    @request("leave")
    async def leave(self) -> None:
        import os
        os._exit(9)

    @request("fill")
    async def fill(self) -> None:
        self.taken = []
        while True:
            self.taken.append(bytes(1 << 20))

    @request("leak")
    async def leak(self) -> None:
        self.taken = [bytes(1 << 20) for _ in range(140)]

    @request("fork")
    async def fork(self) -> int:
        import os
        return os.fork()

    @request("spawn")
    async def spawn(self) -> int:
        import multiprocessing
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=queue.put, args=(42,))
        child.start()
        child.join()
        return queue.get()

    @request("handle")
    async def handle(self) -> None:
        import asyncio
        asyncio.get_running_loop().add_signal_handler(15, print)

    @request("take")
    async def take(self) -> None:
        import signal
        signal.signal(signal.SIGTERM, print)

    @request("exit")
    async def exit(self, how: str) -> None:
        import asyncio, os, sys
        loop = asyncio.get_running_loop()
        async def leaves(): sys.exit(4)
        async def interrupts(): raise KeyboardInterrupt
        if how == "task": self.task = asyncio.create_task(leaves(), name="leaver")
        if how == "interrupt": self.task = asyncio.create_task(interrupts())
        if how == "gather": await asyncio.gather(leaves(), asyncio.sleep(0.1))
        if how == "soon": loop.call_soon(sys.exit, 4)
        if how == "later": loop.call_later(0.01, sys.exit, 4)
        if how == "stop": loop.stop()
        if how == "stop soon": loop.call_soon(loop.stop)
        if how == "kill": os.kill(os.getpid(), 15)

    @request("mute")
    async def mute(self) -> None:
        import io, sys
        sys.stdout = io.StringIO()
        del sys.modules["json"]

    @request("litter")
    async def litter(self) -> None:
        import asyncio, threading
        self.tasks.spawn(asyncio.sleep(60), name="owned")
        asyncio.get_running_loop().create_task(asyncio.sleep(60), name="unowned")
        def endless():
            threading.Event().wait()
        threading.Thread(target=endless, name="endless").start()
"""
)
TOP = "import io, signal, sys\nsys.stdout = io.StringIO()\nsys.modules.pop('json', None)\n"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    """A node with a module that misbehaves when it is asked to, one that does at once, and one that is good."""
    directory = tmp_path / "managed"
    bundle(directory, "bad", BAD)
    bundle(directory, "loud", TOP + good("loud"))
    bundle(directory, "innocent", good("innocent"))
    async with running(directory, "--checkpoint-every", "0.2") as node:
        await node.all_running("bad", "loud", "innocent", "appmanager")
        yield node


async def test_handlers_of_signals_are_refused_and_what_it_replaced_is_put_back(node: Running) -> None:
    """The node still ends in order; the operator reads who did it."""
    for how in ("handle", "take"):
        with pytest.raises(GridlinkError, match="signals belong to the whole node: await in it"):
            await node.sender.request("bad", how)
    assert "loud replaced sys.stdout, which belongs to all of this node: it is put back" in node.output()
    await node.sender.request("bad", "mute")
    await eventually(lambda: "a module replaced sys.stdout" in node.output(), timeout_s=15)
    if "json" in await node.sender.request(f"_node@{node.file['node']}", "imports"):
        assert "took json out of sys.modules" in node.output()
    assert await node.sender.request("innocent", "ping") == "pong"
    assert node.stop() == 0


async def errors_of(node: Running, instance: str) -> int:
    """As `gridlink show` says."""
    counters = await node.sender.request(f"_node@{node.file['node']}", "counters")
    return int(counters[instance]["errors"])


async def counted(node: Running, instance: str, errors: int) -> bool:
    """Whether that many are counted by now."""
    return await errors_of(node, instance) == errors


async def test_one_that_leaves_or_stops_the_loop_is_named_and_counted_and_the_node_goes_on(node: Running) -> None:
    """`sys.exit` wherever the loop calls it, more often than the guardian forgives an end; `loop.stop`; SIGTERM."""
    pid, instance = node.file["pids"]["node"], f"bad@{node.file['node']}"
    for how in ("task", "soon", "later") * 3:
        before = await errors_of(node, instance)
        await node.sender.request("bad", "exit", how)
        await eventually(partial(counted, node, instance, before + 1))
    assert node.output().count(f"{instance}: {instance} called sys.exit(4), which ends no node: return, or raise") == 9
    await node.sender.request("bad", "exit", "interrupt")
    await eventually(lambda: f"{instance} raised KeyboardInterrupt, which ends no node" in node.output())
    for how, why in (("gather", "4"), ("stop", r"loop\.stop\(\), and the loop is"), ("kill", r"os\.kill\(\d+, 15\)")):
        with pytest.raises(GridlinkError, match=why):
            await node.sender.request("bad", "exit", how)
    said = f"{instance} called loop.stop(), and the loop is"
    seen = node.output().count(said)
    await node.sender.request("bad", "exit", "stop soon")
    await eventually(lambda: node.output().count(said) > seen)
    assert await node.sender.request("innocent", "ping") == "pong"
    assert node.file["pids"]["node"] == pid
    assert node.stop() == 0
    assert "is started again" not in node.output()
    assert "never retrieved" not in node.output()


DEAF = (
    good("deaf")
    + """
    stop_within_s = 1.0
    async def stop(self) -> None:
        import asyncio
        while True:
            try:
                await asyncio.sleep(60)
            except BaseException:
                pass
"""
)


@pytest.mark.parametrize("mode", ["node", "fork"])
async def test_one_whose_stop_swallows_its_cancellation_keeps_no_node_from_its_end(tmp_path: Path, mode: str) -> None:
    """It has the time that it asked for, and is named; the process ends in order, and isn't killed."""
    directory = tmp_path / "managed"
    bundle(directory, "deaf", DEAF, mode=mode)
    bundle(directory, "innocent", good("innocent"))
    async with running(directory) as node:
        entries = await node.all_running("deaf", "innocent", "appmanager")
        began_s = time.monotonic()
        assert node.stop() == 0
        took_s = time.monotonic() - began_s
        assert "it is killed" not in node.output()
        assert "stop() did not return within 1 s" in node.output()
        assert "the task stop() has not ended: the process ends without it" in node.output()
        assert all(f"{entry.instance} is STOPPED" in node.output() for entry in entries)
        print(f"{mode}: {took_s:.1f} s")
        assert took_s < 12


async def test_one_that_ends_the_process_goes_to_fork_and_the_others_go_on(node: Running) -> None:
    """`os._exit` in the AppManager's own node: it is replaced at once, with the offender outside of it."""
    assert await node.sender.request("bad", "count") == 1
    states = node.managed / ".gridlink" / "states"
    await eventually(lambda: (states / "bad").exists() and (states / "bad").read_bytes().endswith(b"\n1"))
    pid = node.file["pids"]["node"]
    with pytest.raises(GridlinkError):
        await node.sender.request("bad", "leave", timeout_s=1)
    await eventually(lambda: node.file["pids"]["node"] != pid, timeout_s=10)
    entries = {entry.name: entry for entry in await node.all_running("bad", "loud", "innocent", "appmanager")}
    assert (entries["bad"].mode, entries["innocent"].mode) == ("fork", "node")
    assert entries["bad"].reason == "bad: it called os._exit(9) in its node"
    assert await node.sender.request("bad", "count") == 2


@pytest.mark.parametrize("how", ["fill", pytest.param("leak", marks=pytest.mark.slow)])
async def test_one_that_fills_memory_is_named_and_the_node_replaced_without_it(tmp_path: Path, how: str) -> None:
    """At once, or so that another one meets the end: who has the most is named, and the machine has it back."""
    directory = tmp_path / "managed"
    bundle(directory, "bad", BAD)
    meets = "\n    @request('need')\n    async def need(self) -> int:\n        return len(bytes(30 << 20))\n"
    bundle(directory, "innocent", good("innocent") + meets)
    async with running(directory, "--memory", "170") as node:
        await node.all_running("bad", "innocent", "appmanager")
        pid = node.file["pids"]["node"]
        if how == "leak":
            await node.sender.request("bad", "leak")
        with pytest.raises(GridlinkError):
            await node.sender.request(*(("bad", "fill") if how == "fill" else ("innocent", "need")), timeout_s=2)
        await eventually(lambda: node.file["pids"]["node"] != pid, timeout_s=10)
        entries = {entry.name: entry for entry in await node.all_running("bad", "innocent", "appmanager")}
        assert (entries["bad"].mode, entries["innocent"].mode) == ("fork", "node")
        assert "bad: it filled the memory of its node: 1" in entries["bad"].reason
        assert await node.sender.request("innocent", "ping") == "pong"


async def test_one_that_forks_has_a_process_that_can_not_speak_for_the_node(node: Running) -> None:
    """The copy ends where it would go on as a second node; a child of multiprocessing does its work."""
    pid = node.file["pids"]["node"]
    child = await node.sender.request("bad", "fork")
    assert child > 0
    await eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    await eventually(lambda: "called os.fork: the copy of the node ends here" in node.output())
    assert await node.sender.request("bad", "spawn") == 42
    for _ in range(20):
        assert await node.sender.request("innocent", "ping") == "pong"
    assert node.file["pids"]["node"] == pid
    assert node.stop() == 0


async def test_what_it_leaves_behind_is_ended_and_named(node: Running) -> None:
    """Tasks are cancelled; a thread can't be, and keeps nobody from ending."""
    await node.sender.request("bad", "litter")
    await done(node.managed, "stop", "bad")
    assert "bad" not in {entry.name for entry in node.registry.instances() if entry.state == "RUNNING"}
    instance = f"bad@{node.file['node']}"
    assert (
        f"{instance} left tasks behind (unowned): they are cancelled: make them with self.tasks.spawn" in node.output()
    )
    assert f"{instance} left threads behind (endless), which run on: end them in stop()" in node.output()
    assert await node.sender.request("innocent", "ping") == "pong"
    assert node.stop() == 0


def library_for_another_machine(directory: Path) -> None:
    """An extension module whose header says another processor."""
    header = bytearray(Path(sys.executable).resolve().read_bytes()[:4096])
    header[18:20] = (183 if os.uname().machine == "x86_64" else 62).to_bytes(2, "little")
    directory.mkdir()
    (directory / "solver.so").write_bytes(header)


@pytest.mark.parametrize("mode", ["node", "fork"])
async def test_a_library_for_another_machine_is_named(tmp_path: Path, mode: str) -> None:
    """A wheel that was made for the boards, on the engineer's own computer: one sentence, and no second try."""
    directory = tmp_path / "managed"
    bundle(directory, "innocent", good("innocent"))
    library_for_another_machine(bundle(directory, "abroad", "import solver\n" + good("abroad"), mode=mode) / "lib")
    async with running(directory) as node:
        await node.all_running("innocent", "appmanager")
        await eventually(lambda: node.state("abroad")[0] == "FAILED", timeout_s=20)
        assert "lib/solver.so is for " in node.state("abroad")[1]
        assert ": pack the bundle for this machine" in node.state("abroad")[1]
