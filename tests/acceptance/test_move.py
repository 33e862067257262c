"""`gridlink move`: a module goes on in another process while it is asked without a break, with its state."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gridlink import address
from gridlink.bus.protocol import Bus
from gridlink.codec import encode
from gridlink.config import machine_name
from gridlink.errors import GridlinkError, Refused
from gridlink.message import Message
from gridlink.module.retry import Retry
from gridlink.module.sender import Sender
from gridlink.node.process import open_bus
from gridlink.testing import eventually
from tests.acceptance.running import NODE, Running, bundle, good, running

PROGRAM = str(Path(NODE).with_name("gridlink"))
COUNTING = """
    def __init__(self):
        self.seen, self.heard = [], []

    @request("add")
    async def add(self, number: int) -> int:
        self.seen.append(number)
        return len(self.seen)

    @request("seen")
    async def all_seen(self) -> list[list[int]]:
        return [self.seen, self.heard]

    @subscribe("ticks", "tick")
    async def on_tick(self, number: int) -> None:
        self.heard.append(number)

    async def snapshot(self): return [self.seen, self.heard]

    async def restore(self, state: list[list[int]]): self.seen, self.heard = state
"""
CODE = good("counter").replace("request\n", "request, subscribe\n", 1) + COUNTING


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with a module that counts what it is asked and hears."""
    directory = tmp_path / "managed"
    bundle(directory, "counter", CODE)
    return directory


async def gridlink(managed: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs the command; its exit status and what it printed."""
    command = [PROGRAM, "-C", str(managed), *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


class Load:
    """Requests, sends and events without a break, from a node of its own; every number is sent once."""

    def __init__(self, bus: Bus, per_s: float) -> None:
        self._bus, self._every_s = bus, 10 / per_s
        self._sender = Sender(bus, "load@test", retry=Retry(lambda *_: False, bus.connected))
        self.asked: list[int] = []
        self.told: list[int] = []
        self.failed: list[str] = []
        self.longest_s = 0.0
        self._next = 0
        self._running: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Ten messages at a time, until `end`."""
        due_s = time.monotonic()
        while not self._ended.is_set():
            for turn in range(10):
                self._next += 1
                if turn == 0:
                    self.told.append(self._next)
                    await self._sender.publish("ticks", "tick", self._next)
                task = asyncio.get_running_loop().create_task(self._one(self._next, turn))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            due_s += self._every_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await asyncio.gather(*self._running)

    async def _one(self, number: int, turn: int) -> None:
        self.asked.append(number)
        began_s = time.monotonic()
        try:
            if turn == 1:
                await self._sender.send("counter", "add", number)
            elif turn == 2:
                await self._plainly(number)
            else:
                await self._sender.request("counter", "add", number, timeout_s=10)
        except GridlinkError as error:
            self.failed.append(f"{number}: {type(error).__name__}: {error}")
        self.longest_s = max(self.longest_s, time.monotonic() - began_s)

    async def _plainly(self, number: int) -> None:
        """As a program would ask that knows nothing of trying again."""
        where, by_s = address.role("counter"), time.monotonic() + 10
        await self._bus.request(
            Message(address=where, type="add", payload=encode(number), deadline_s=by_s, wants_reply=True)
        )

    def has_asked(self, count: float) -> bool:
        """Whether it has sent so many."""
        return len(self.asked) > count

    def end(self) -> None:
        """Sends no more."""
        self._ended.set()


async def moved_under_load(node: Running, per_s: float, rounds: int = 1) -> Load:
    """The module was in fork, process and node again meanwhile."""
    bus = await open_bus("site", f"load-{os.getpid()}", node.file["url"])
    try:
        load = Load(bus, per_s)
        running_load = asyncio.ensure_future(load.run())  # noqa: TID251
        began_s = time.monotonic()
        for mode in ("fork", "process", "node") * rounds:
            await eventually(partial(load.has_asked, len(load.asked) + per_s / 5), timeout_s=10)
            status, out, err = await gridlink(node.managed, "move", "counter", "--mode", mode)
            assert (status, out, err) == (0, f"counter is RUNNING in mode {mode}\n", "")
        load.end()
        await running_load
        took_s = time.monotonic() - began_s
        print(f"{len(load.asked)} requests, {len(load.asked) / took_s:.0f}/s; the longest {load.longest_s:.3f} s")
        return load
    finally:
        await bus.aclose()


async def check(node: Running, load: Load) -> None:
    """Nothing failed; everything was handled, once."""
    assert load.failed == []

    async def all_there() -> Any:
        seen, heard = await node.sender.request("counter", "seen")
        return len(seen) >= len(load.asked) and len(heard) >= len(load.told) and (seen, heard)

    seen, heard = await eventually(all_there, timeout_s=10)
    assert [number for number, count in Counter(seen + heard).items() if count > 1 and number not in load.told] == []
    assert sorted(seen) == load.asked
    assert heard == load.told


async def test_nothing_is_lost_or_done_twice_while_it_moves_through_all_modes(managed: Path) -> None:
    """Requests of modules and of plain programs, sends, and events in their order; 0 lost, 0 twice."""
    async with running(managed) as node:
        await node.all_running("counter", "appmanager")
        load = await moved_under_load(node, 300)
        await check(node, load)
        (entry,) = await node.all_running("counter")
        assert (entry.mode, entry.instance) == ("node", f"counter@{node.file['node']}")
        assert node.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_thousand_a_second_and_five_times_round(managed: Path) -> None:
    """The number of the requirement, or what the machine bears."""
    async with running(managed) as node:
        await node.all_running("counter", "appmanager")
        load = await moved_under_load(node, 1000, rounds=5)
        await check(node, load)


PICKY = (
    good("picky")
    + """
    def __init__(self): self.count, self.server = 0, None

    @request("count")
    async def counted(self) -> int:
        self.count += 1
        return self.count

    @request("slowly")
    async def slowly(self) -> str:
        import asyncio
        await asyncio.sleep(3)
        return "done"

    async def start(self):
        import asyncio
        self.server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0 if not self.port() else self.port())
        (self.data_dir / "port").write_text(str(self.server.sockets[0].getsockname()[1]))
        if (self.data_dir / "refuses").exists() and "-" in self.instance.partition("@")[2].removeprefix(NODE):
            raise ValueError("not here")
        if (self.data_dir / "slow").exists():
            await asyncio.sleep(3)

    def port(self):
        file = self.data_dir / "port"
        return int(file.read_text()) if file.exists() else 0

    async def stop(self):
        if self.server: self.server.close()

    async def snapshot(self): return self.count
    async def restore(self, state: int): self.count = state
"""
)


def picky(managed: Path, **manifest: Any) -> Path:
    """A module that has a port, may refuse to start outside of the node, or be slow there; its directory for files."""
    bundle(managed, "picky", f"NODE = {machine_name()!r}\n" + PICKY, **manifest)
    data = managed / ".gridlink" / "data" / "picky"
    data.mkdir(parents=True)
    return data


async def test_it_survives_a_restart_and_counts_more_than_the_nodes_mode(managed: Path) -> None:
    """Written down; `show` says who wanted it."""
    picky(managed)
    async with running(managed) as node:
        await node.all_running("counter", "picky", "appmanager")
        assert await node.sender.request("picky", "count") == 1
        status, out, _ = await gridlink(managed, "move", "picky", "--mode", "fork", "--json")
        assert (status, json.loads(out)["mode"]) == (0, "fork")
        assert await node.sender.request("picky", "count") == 2  # it has got its port, too
        assert node.stop() == 0
    assert json.loads((managed / ".gridlink" / "modes.json").read_text()) == {"picky": {"mode": "fork", "into": ""}}
    async with running(managed, "--mode", "process") as node:
        await node.all_running("counter", "picky", "appmanager")
        assert {e.name: e.mode for e in node.registry.instances() if e.mode != "node"} == {
            "counter": "process",
            "picky": "fork",
        }
        assert await node.sender.request("picky", "count") == 3
        _, out, _ = await gridlink(managed, "show", "picky")
        assert "mode fork" in out
        assert "an operator moved it here" in out


async def test_where_it_can_not_run_there_it_goes_on_as_it_was_and_nothing_is_lost(managed: Path) -> None:
    """Its `start` raises there: one line says why, exit status 1, and the count goes on."""
    data = picky(managed)
    async with running(managed) as node:
        await node.all_running("counter", "picky", "appmanager")
        assert await node.sender.request("picky", "count") == 1
        (data / "refuses").touch()
        moving = asyncio.ensure_future(gridlink(managed, "move", "picky", "--mode", "fork"))  # noqa: TID251
        counted = [1]
        while not moving.done():
            counted.append(await node.sender.request("picky", "count"))
            await asyncio.sleep(0.01)
        status, _, err = await moving
        assert status == 1
        assert err.startswith("gridlink: picky stays in mode node: in mode fork it is BACKOFF: ")
        assert "ValueError: not here" in err
        assert len(err.splitlines()) == 1
        assert counted == list(range(1, len(counted) + 1))
        assert [entry.instance for entry in await node.all_running("picky")] == [f"picky@{node.file['node']}"]
        assert not (managed / ".gridlink" / "modes.json").exists()
        (data / "refuses").unlink()
        slowly = asyncio.ensure_future(node.sender.request("picky", "slowly"))  # noqa: TID251
        await eventually(lambda: slowly, timeout_s=1)
        status, _, err = await gridlink(managed, "move", "picky", "--mode", "fork")
        assert status == 1
        assert "still handles 1 messages (slowly) after 2 s: try again later" in err
        assert await slowly == "done"
        assert (await gridlink(managed, "move", "picky", "--mode", "fork"))[0] == 0
        assert await node.sender.request("picky", "count") == len(counted) + 1


async def test_what_makes_no_sense_is_refused_with_the_reason(managed: Path) -> None:
    """Exit status 1 and a line, or 2 for wrong usage."""
    manifest = {"name": "node2", "version": "1.0.0", "entry": "nodemanager:NodeManager", "mode": "process"}
    (managed / "node2").mkdir()
    (managed / "node2" / "module.json").write_text(json.dumps(manifest))
    async with running(managed) as node:
        await node.all_running("counter", "node2", "appmanager")
        for arguments, words in {
            ("nobody", "--mode", "fork"): "no module or instance 'nobody'",
            ("node2", "--mode", "fork"): "node2 is a NodeManager, which others live in",
            ("counter", "--into", "node3"): "no NodeManager node3 is RUNNING that appmanager@",
            ("appmanager", "--mode", "fork"): "appmanager is run by no AppManager",
        }.items():
            status, _, err = await gridlink(managed, "move", *arguments)
            assert (status, words in err, len(err.splitlines())) == (1, True, 1), err
        assert (await gridlink(managed, "move", "counter"))[0] == 2
        status, _, err = await gridlink(managed, "move", "counter", "--mode", "fork", "--into", "node2")
        assert (status, "--into names a NodeManager, so it goes with --mode node" in err) == (2, True), err
        order = {"name": "counter", "mode": "fork", "into": "node2", "id": "1"}
        with pytest.raises(Refused, match="--into names a NodeManager, so it goes with mode node"):
            await node.sender.request(node.registry.find(name="appmanager")[0].instance, "move", order)
        assert (await gridlink(managed, "move", "counter", "--into", "node2"))[0] == 0
        (entry,) = await node.all_running("counter")
        assert entry.node.endswith("-node2")
        assert await node.sender.request("counter", "add", 1) == 1


@pytest.mark.slow
async def test_a_node_that_is_killed_in_the_middle_of_a_move_leaves_the_module_running(managed: Path) -> None:
    """Its AppManager is gone, and with it who would have ended the move: the next one has the former go on."""
    data = picky(managed, mode="fork")
    async with running(managed) as node:
        await node.all_running("counter", "picky", "appmanager")
        assert await node.sender.request("picky", "count") == 1
        (data / "slow").touch()
        order = {"name": "picky", "mode": "process"}
        await node.sender.send("appmanager", "move", order)
        await eventually(
            lambda: [e for e in node.registry.instances() if e.name == "picky" and e.pid and e.state == "STARTING"]
        )
        os.kill(node.file["pids"]["node"], signal.SIGKILL)

        async def counts() -> Any:
            try:
                return await node.sender.request("picky", "count", timeout_s=0.5)
            except GridlinkError:
                return 0

        began_s = time.monotonic()
        assert await eventually(counts, timeout_s=15) >= 2
        print(f"again after {time.monotonic() - began_s:.1f} s")
        await node.all_running("counter", "picky", "appmanager")
        await eventually(lambda: len([e for e in node.registry.instances() if e.name == "picky"]) == 1, timeout_s=20)
