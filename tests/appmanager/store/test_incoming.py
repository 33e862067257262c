"""A transfer that is cut off goes on where it was, and what came is what was sent."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appmanager.provisioning.blocking import in_own_thread, in_thread
from appmanager.provisioning.local_file import CHUNK_BYTES, MOST_BYTES, receive_file
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


@pytest.mark.parametrize("what", ["pipe", "directory", "device", "socket"])
async def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, what: str) -> None:
    """Opening a pipe waits for its writer, and `/dev/zero` has no end: both would hold up the board's provisioning."""
    path = tmp_path / "it.glb"
    match what:
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "device":
            path = Path("/dev/zero")
        case "socket":
            path.symlink_to(tmp_path / "socket")
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(tmp_path / "socket"))
    why = "can't be read" if what == "socket" else f"is no file but a {what}"
    async with asyncio.timeout(5):
        with pytest.raises(Refused, match=why):
            await receive_file(RealDisk(), path, tmp_path / "in" / "to.glb", "d")
    assert not (tmp_path / "in").exists()


async def test_a_file_that_is_too_long_or_has_no_room_is_refused(tmp_path: Path) -> None:
    """Before the disk is full."""
    source, into = tmp_path / "lamp.glb", tmp_path / "in" / "lamp.glb"
    source.write_bytes(BODY)
    with pytest.raises(Refused, match="are free: make room"):
        await receive_file(RealDisk(), source, into, "d", free_bytes=len(BODY) - 1)
    await receive_file(RealDisk(), source, into, "d", free_bytes=len(BODY))
    os.truncate(source, MOST_BYTES + 1)
    with pytest.raises(Refused, match="expected at most"):
        await receive_file(RealDisk(), source, into, "d")


async def test_a_file_that_grows_meanwhile_is_taken_as_long_as_it_was(tmp_path: Path) -> None:
    """A log, given by mistake, has no end either."""
    source, into = tmp_path / "lamp.glb", tmp_path / "in" / "lamp.glb"
    source.write_bytes(BODY * 2)

    def grow(received_bytes: int) -> None:
        with source.open("ab") as file:
            file.write(BODY)

    async with asyncio.timeout(5):
        await receive_file(RealDisk(), source, into, "d", progress=grow)
    assert into.read_bytes() == BODY * 2


async def test_slow_work_does_not_hold_up_short_work() -> None:
    """Log readers and preflights that hang must not keep a journal from being written."""
    gate = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    slow = [loop.create_task(in_own_thread(gate.wait)) for _ in range(3)]
    try:
        async with asyncio.timeout(5):
            assert await in_thread(lambda: "written") == "written"
    finally:
        gate.set()
        assert await asyncio.gather(*slow) == [True] * 3


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
