"""Whatever is killed under load, all run again soon, no state is older than its checkpoint, and nothing is left over.

kill -9 of each process, the guardian too, which a stand-in for systemd starts again; `os._exit` and C code that never
returns in a module of the AppManager's own node.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.appmanager.guardian.processes import alive, children_of, pid, zombies_of
from tests.gridlink.conftest import require_nats_server

MODES = {"inside": "node", "reckless": "node", "forked": "fork", "apart": "process"}
WITHIN_S = 3.0  # the aim; a machine that does other things too is given
AT_MOST_S = 8.0  # for a single round
NODES_A_MINUTE = 4  # one less than the guardian's patience with its node
PERSISTENT = {"lock", "logs", "nats", "data", "states", "record"}
CODE = """
    n = 0

    @request("add")
    async def add(self) -> int:
        self.n += 1
        return self.n

    @request("count")
    async def count(self) -> int:
        return self.n

    @request("exit")
    async def exit(self) -> None:
        import os
        os._exit(7)

    @request("stick")
    async def stick(self) -> None:
        import sys
        sum(range(sys.maxsize))

    async def snapshot(self): return self.n
    async def restore(self, state: int): self.n = state
"""


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A bundle in each mode that counts. They may end often: what is tested is not when they are given up."""
    require_nats_server()
    directory = tmp_path / "managed"
    for name, mode in MODES.items():
        bundle(directory, name, good(name) + CODE, mode=mode, restart={"intensity": 100, "backoff_s": [0.05, 0.2]})
    return directory


class Site:
    """The node under test, started again whenever its guardian ends, and what it was asked to count."""

    def __init__(self, managed: Path) -> None:
        self.managed = managed
        self.node: Running
        self.seen: set[int] = set()
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """As systemd would, at once."""
        await self._stack.aclose()  # what looked at the former one
        with contextlib.suppress(FileNotFoundError):
            (self.managed / ".gridlink" / "node.json").unlink()  # of the former: it isn't read for the next one's
        self.node = await self._stack.enter_async_context(running(self.managed, "--checkpoint-every", "0.3"))

    async def aclose(self) -> None:
        """Ends all of it."""
        await self._stack.aclose()

    async def load(self) -> None:
        """Every module counts, a hundred times a second; who dies meanwhile answers nobody."""
        while True:
            names = list(MODES)
            await asyncio.gather(*(self._add(name) for name in names))
            await asyncio.sleep(0.04)

    async def _add(self, name: str) -> None:
        with contextlib.suppress(GridlinkError, AttributeError):
            await self.node.sender.request(name, "add", timeout_s=0.5)

    def pids(self) -> dict[str, int]:
        """The process of each module, of the node, of nats-server and of the guardian."""
        file = self.node.file["pids"]
        found = {name: pid(self.node, name) for name in MODES}
        found |= {name: file[name] for name in ("node", "nats_server")} | {"guardian": self.node.process.pid}
        self.seen |= set(found.values())
        return found

    def kept(self) -> dict[str, int]:
        """What each has counted, as its checkpoint says."""
        return {name: self._kept(self.managed / ".gridlink" / "states" / name) for name in MODES}

    def _kept(self, file: Path) -> int:
        return int(file.read_bytes().rpartition(b"\n")[2]) if file.exists() else 0

    async def counts(self) -> dict[str, int] | None:
        """What each says that it has counted; None until all are there."""
        try:
            return {name: await self.node.sender.request(name, "count", timeout_s=0.3) for name in MODES}
        except GridlinkError:
            return None

    async def whole(self, gone: int) -> dict[str, int] | None:
        """The counts, once all run in processes that live, none of them the one that is gone."""
        try:
            found = self.pids()
        except (FileNotFoundError, KeyError):
            return None
        if gone in found.values() or not all(alive(one) for one in found.values()):
            return None
        return await self.counts()


@asynccontextmanager
async def site_of(managed: Path) -> AsyncIterator[Site]:
    """A site that runs, under load."""
    site = Site(managed)
    await site.start()
    load: asyncio.Task[None] | None = None
    try:
        await site.node.all_running("appmanager", *MODES)
        load = asyncio.get_running_loop().create_task(site.load())
        yield site
    finally:
        if load is not None:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        await site.aclose()


class Chance:
    """Draws victims. What replaces the node or the server counts against the guardian's patience; a new one has all."""

    def __init__(self, seed: int) -> None:
        self._random, self._replaced_s = random.Random(seed), list[float]()

    def draw(self, choices: tuple[str, ...]) -> str:
        """The next victim."""
        victim = self._random.choice(choices)
        if victim in ("node", "inside", "reckless", "nats_server", "exit", "stick"):
            self._replaced_s = [at_s for at_s in self._replaced_s if at_s > time.monotonic() - 60]
            if len(self._replaced_s) >= NODES_A_MINUTE:
                victim = self._random.choice(("guardian", "forked", "apart"))
            else:
                self._replaced_s.append(time.monotonic())
        if victim == "guardian":
            self._replaced_s.clear()
        return victim


async def strike(site: Site, victim: str) -> int:
    """Kills, or has the reckless module do it; the process that is gone then."""
    found = site.pids()
    if victim in ("exit", "stick"):
        await site.node.sender.send("reckless", victim)
        return found["reckless"]
    os.kill(found[victim], signal.SIGKILL)
    if victim == "guardian":
        await asyncio.to_thread(site.node.process.wait, 10)
        await site.start()
    return found[victim]


async def rounds(managed: Path, victims: list[str] | None, count: int) -> None:
    """So many rounds; `victims` in this order, else drawn."""
    seed = random.randrange(10**6)
    print("seed", seed)
    chance, took = Chance(seed), list[float]()
    async with site_of(managed) as site:
        for number in range(count):
            await eventually(lambda: all(site.kept().values()))
            kept = site.kept()
            in_node = pid(site.node, "reckless") == site.node.file["pids"]["node"]
            drawn = ("guardian", "node", "nats_server", *MODES, "exit", *(["stick"] if in_node else []))
            victim = victims[number] if victims is not None else chance.draw(drawn)
            began_s = time.monotonic()
            gone = await strike(site, victim)
            counts = await eventually(partial(site.whole, gone), timeout_s=AT_MOST_S)
            took.append(time.monotonic() - began_s)
            print(f"{number:2} {victim:12} {took[-1]:.2f} s")
            assert {name for name in MODES if counts[name] < kept[name]} == set()
            await eventually(lambda: zombies_of(site.node.process.pid) == [])
            others = {name: one for name, one in site.pids().items() if name != "guardian"}
            assert sorted(children_of(site.node.process.pid)) == sorted(set(others.values()))
        took.sort()
        print(f"median {statistics.median(took):.2f} s, longest {took[-1]:.2f} s")
        assert took[int(len(took) * 0.9)] <= WITHIN_S + 1.0
        assert site.node.stop() == 0
        assert not any(alive(one) for one in site.seen if one)
    assert {path.name for path in (managed / ".gridlink").iterdir()} <= PERSISTENT
    assert {path.name for path in (managed / ".gridlink" / "states").iterdir()} == set(MODES)


async def test_each_kind_of_end_once(managed: Path) -> None:
    """A round of each kind that differs from the others."""
    await rounds(managed, ["exit", "forked", "guardian", "stick"], 4)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_fifty_random_rounds(managed: Path) -> None:
    """From a seed that is printed."""
    await rounds(managed, None, 50)
