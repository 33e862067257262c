"""kill -9 of a process that provisions, at random moments, on a real file system: always one whole version."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind
from appmanager.provisioning.plan import Order
from appmanager.provisioning.recovery import recover
from appmanager.store.disk import RealDisk
from appmanager.store.layout import Layout
from appmanager.store.record import Record
from appmanager.store.tree import files_below
from appmanager.store.versions import Versions
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.provisioning.stories import Bundles, placed

LONGEST_S = 0.5  # some commands long


async def _provision(layout: Layout, bundles: Bundles, chance: random.Random) -> None:
    """Recovers, and then gives one command after the other, until it is killed."""
    disk = RealDisk()
    resumed = [one.resume for one in recover(disk, layout, time.time()) if one.resume is not None]
    host = PlainHost(disk, layout)
    host.boot()
    engine = Engine(disk, layout, host, versions_kept=2)
    while True:
        order = resumed.pop() if resumed else _any_order(bundles, chance, installed="lamp" in host.running)
        host.receives = next((glb for glb, digest in bundles.values() if digest == order.digest), b"")
        outcome = await engine.run(order)
        if outcome.end not in (End.DONE, End.REFUSED):
            raise AssertionError(outcome)


def _any_order(bundles: Bundles, chance: random.Random, *, installed: bool) -> Order:
    kind = chance.choices(list(Kind), (0, 5, 3, 1, 3))[0] if installed else Kind.INSTALL
    digest = chance.choice(list(bundles.values()))[1] if kind in (Kind.INSTALL, Kind.UPDATE) else ""
    settings = {"watt": chance.randrange(1000)} if kind is Kind.CONFIGURE else None
    return Order(f"{chance.getrandbits(64):x}", kind, "lamp", digest=digest, settings=settings)


def _killed_after(seconds: float, layout: Layout, bundles: Bundles, seed: int) -> None:
    """Runs `_provision` in a process of its own, and kills it."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(_provision(layout, bundles, random.Random(seed)))
        finally:
            os._exit(1)  # it never ends by itself
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the process ended by itself: it raised"


def _check(layout: Layout, whole: dict[str, dict[str, bytes]], where: str) -> None:
    """After the recovery that the next start makes: one version, whole, and nothing left over."""
    disk = RealDisk()
    resumes = any(one.resume is not None for one in recover(disk, layout, time.time()))
    record = Record(disk, layout.record)
    record.verify()
    place = layout.place("lamp")
    if place.exists():
        files = {path: (place / path).read_bytes() for path in files_below(disk, place)}
        assert isinstance(json.loads(files.pop("config.json"))["watt"], int), where
        assert files in whole.values(), f"{where}: {sorted(files)}"
    for name in ("staged", *(() if resumes else ("incoming", "journal"))):
        left = [path for path in files_below(disk, layout.own / name) if not path.startswith(".")]
        assert not left, f"{where}: left in {name}: {left}"
    kept = Versions(disk, layout).kept("lamp")
    assert len(kept) <= 3
    for one in kept:
        assert (layout.version("lamp", one.number) / "bundle" / "lamp" / "parts" / "bulb.py").exists(), where


def _kill_often(times: int, tmp_path: Path, bundles: Bundles) -> None:
    layout = Layout(tmp_path / "managed")
    layout.managed.mkdir()
    whole = {version: placed(glb) for version, (glb, _) in bundles.items()}
    for files in whole.values():
        del files["config.json"]
    chance = random.Random(11)
    for number in range(times):
        _killed_after(chance.uniform(0.005, LONGEST_S), layout, bundles, number)
        _check(layout, whole, f"kill {number}")
    ends = [entry.outcome for entry in Record(RealDisk(), layout.record).entries()]
    print(f"{times} kills, {len(ends)} commands: " + ", ".join(f"{ends.count(end)} {end}" for end in set(ends)))
    assert ends.count(End.DONE) > times / 4
    assert End.ROLLED_BACK in ends


def test_a_process_that_is_killed_at_random_moments_leaves_a_whole_version(tmp_path: Path, bundles: Bundles) -> None:
    """The OOM killer asks nobody."""
    _kill_often(20, tmp_path, bundles)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_five_hundred_times(tmp_path: Path, bundles: Bundles) -> None:
    """Rare moments need many tries."""
    _kill_often(500, tmp_path, bundles)
