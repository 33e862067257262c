"""A transfer that is cut off goes on where it was, and what came is what was sent."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from appmanager.provisioning.local_file import CHUNK_BYTES, receive_file
from appmanager.provisioning.pace import Pace
from appmanager.store.disk import RealDisk
from appmanager.store.incoming import Incoming, forget, forget_but, progress_of
from appmanager.store.tree import read_whole
from gridlink.errors import Refused
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk

FILE = Path("/own/incoming/lamp.glb")
BODY = random.Random(1).randbytes(50_000)


def test_what_came_is_kept_over_power_cuts_and_nothing_that_is_durable_is_fetched_twice() -> None:
    """At every operation: the transfer goes on from what is surely there."""
    disk, chance = SimulatedDisk(), random.Random(2)
    cuts: list[tuple[int, SimulatedDisk]] = []
    synced = 0
    disk.before = lambda operation: cuts.extend((synced, disk.after_cut(chance)) for _ in range(5))
    with Incoming(disk, FILE, "d", sync_bytes=10_000) as incoming:
        for at in range(0, len(BODY), 3000):
            incoming.add(BODY[at : at + 3000])
            synced = incoming.received_bytes // 12_000 * 12_000
    assert len(cuts) > 100
    for surely, found in cuts:
        with Incoming(found, FILE, "d") as incoming:
            assert incoming.received_bytes >= surely
            incoming.add(BODY[incoming.received_bytes :])
        assert read_whole(found, FILE) == BODY


def test_what_came_of_another_bundle_is_thrown_away(tmp_path: Path) -> None:
    """A newer version was ordered meanwhile."""
    file = tmp_path / "in" / "lamp.glb"
    with Incoming(RealDisk(), file, "one") as incoming:
        incoming.add(b"first")
    with Incoming(RealDisk(), file, "one") as incoming:
        assert incoming.received_bytes == 5
    with Incoming(RealDisk(), file, "two") as incoming:
        assert incoming.received_bytes == 0
        incoming.add(b"second")
    assert file.read_bytes() == b"second"
    progress_of(file).write_text("junk")
    with Incoming(RealDisk(), file, "two") as incoming:
        assert incoming.received_bytes == 0
    forget(RealDisk(), file)
    assert list(file.parent.iterdir()) == []


async def test_a_local_file_is_received_and_a_cancelled_one_goes_on(tmp_path: Path) -> None:
    """From a memory stick that was pulled out too early."""
    source, into = tmp_path / "lamp.glb", tmp_path / "in" / "lamp.glb"
    source.write_bytes(BODY * 20)
    seen: list[int] = []
    some = asyncio.Event()

    def progress(received_bytes: int) -> None:
        seen.append(received_bytes)
        if len(seen) == 2:
            some.set()

    slowly = receive_file(RealDisk(), source, into, "d", bytes_a_s=CHUNK_BYTES * 2, progress=progress)
    task = asyncio.get_running_loop().create_task(slowly)
    await some.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    had = into.stat().st_size
    assert CHUNK_BYTES * 2 <= had < source.stat().st_size
    seen.clear()
    await receive_file(RealDisk(), source, into, "d", progress=seen.append)
    assert seen[0] > had
    assert into.read_bytes() == BODY * 20


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The operator's machine is another one than the board."""
    with pytest.raises(Refused, match="can't be read on this machine: No such file"):
        await receive_file(RealDisk(), tmp_path / "none.glb", tmp_path / "to.glb", "d")


def test_a_pace_is_kept_on_the_average() -> None:
    """A burst of a second, then as fast as is allowed; 0 is no limit."""
    pace, now_s = Pace(1000.0, 5.0), 5.0
    for _ in range(100):
        now_s += pace.wait_s(100, now_s)
    assert now_s == pytest.approx(5.0 + 9.0)
    assert Pace(1000.0, 0.0).wait_s(1000, 1000.0) == 0.0
    assert Pace(0.0, 0.0).wait_s(10**12, 0.0) == 0.0


def test_of_orders_that_expired_one_file_is_kept() -> None:
    """A board's disk must not fill with halves of bundles that nobody asks for any more."""
    disk = SimulatedDisk()
    for name in ("lamp", "meter", "lamp_post"):
        with Incoming(disk, FILE.with_name(f"{name}.glb"), "digest") as incoming:
            incoming.add(b"half")
    forget_but(disk, FILE.parent, ["lamp"])
    assert [path for path in disk.names(FILE.parent) if not path.startswith(".")] == ["lamp.glb", "lamp.glb.progress"]
