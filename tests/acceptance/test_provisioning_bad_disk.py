"""A disk that is full at any moment, or read-only, in an operator's update: the old version runs, or the new one."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from appmanager.orders import Ended, RollbackOrder
from appmanager.provisioning.machine import STEPS, Kind, Step
from tests.acceptance.ordering import asked, glb_of, new
from tests.acceptance.running import LONG, Running, running
from tests.acceptance.test_provisioning import MODES, counted, gridlink, leftovers, source
from tests.appmanager.provisioning.test_small_disk import mounted

PAGE_BYTES = 4096
LEFT_BYTES = 64 * PAGE_BYTES


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
async def test_a_disk_that_is_full_from_any_step_of_an_update_on(tmp_path: Path, mode: str) -> None:
    """Before it begins, and as soon as each step is begun: a version runs, with its count, and nothing is left."""
    update = glb_of(source(tmp_path, "1.1.0", mode), "1.1.0")
    with mounted(tmp_path / "small", "32m") as folder:
        managed, ballast, ends = folder / "managed", folder / "ballast", []
        shutil.copytree(source(tmp_path, "1.0.0", mode), managed / "counter")
        async with running(managed, *LONG) as node:
            await node.all_running("counter")
            for number, step in enumerate((None, *STEPS[Kind.UPDATE]), 1):
                assert await counted(node, "add") == ("1.0.0", number)
                asking = asyncio.ensure_future(asked(node.sender, _manager(node), "update", new(update)))  # noqa: TID251
                if step is not None:
                    await _until_begun(managed, step, asking)
                _fill(ballast)
                ended = await asking
                ballast.unlink()
                ends.append(f"{step or 'before'}: {ended.end} in {ended.step or 'no step'}")
                await _one_version(node, managed, ended, number)
        print(f"mode {mode}: " + "; ".join(ends))
        assert all(any(how in end for end in ends) for how in ("refused", "rolled back", "done")), ends


async def _one_version(node: Running, managed: Path, ended: Ended, count: int) -> None:
    """The old one, or the new one, from which it goes back."""
    assert ended.end in ("done", "refused", "rolled back"), ended
    assert await counted(node) == ("1.1.0" if ended.end == "done" else "1.0.0", count), ended
    if ended.end == "done":
        back = RollbackOrder(f"back-{count}", "counter", keep_state=True)
        again = await asked(node.sender, _manager(node), "rollback", back)
        assert again.end == "done", again
    else:
        assert "make room" in ended.reason or "No space left" in ended.reason, ended
    assert leftovers(managed) == [], ended


def _fill(ballast: Path) -> None:
    """Takes all that is free: most of it at once, as others write meanwhile."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(PAGE_BYTES, free.f_bavail * free.f_frsize - LEFT_BYTES))
        file.seek(0, os.SEEK_END)
        while True:
            file.write(bytes(PAGE_BYTES))


async def _until_begun(managed: Path, step: Step, asking: asyncio.Future[Ended]) -> None:
    async with asyncio.timeout(20):
        while not _begun(managed, step, asking):  # noqa: ASYNC110 - a step may last a millisecond
            await asyncio.sleep(0)


def _begun(managed: Path, step: Step, asking: asyncio.Future[Ended]) -> bool:
    """Whether that step is begun, or all is over."""
    with suppress(FileNotFoundError):
        return asking.done() or f'"step":"{step}"'.encode() in (managed / ".gridlink/journal/counter").read_bytes()
    return asking.done()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """What opens a file there finds a file system that can't be written to."""
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)]):
        subprocess.run(["mount", *options], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


@pytest.mark.slow
async def test_a_disk_that_turns_read_only_refuses_an_update_and_what_runs_runs_on(tmp_path: Path) -> None:
    """What a board's kernel does with a failing card; once it can be written to, the same command works."""
    update = glb_of(source(tmp_path, "1.1.0", "node"), "1.1.0")
    with mounted(tmp_path / "small", "32m") as folder:
        managed = folder / "managed"
        shutil.copytree(source(tmp_path, "1.0.0", "node"), managed / "counter")
        async with running(managed, *LONG) as node:
            await node.all_running("counter")
            assert await counted(node, "add") == ("1.0.0", 1)
            with read_only(managed):
                status, _, err = await gridlink(managed, "update", Path(update.source))
                assert (status, "Read-only" in err) == (1, True), err
                assert await counted(node, "add") == ("1.0.0", 2)
            assert leftovers(managed) == []
            status, out, err = await gridlink(managed, "update", Path(update.source))
            assert (status, "1.0.0 -> 1.1.0" in out) == (0, True), err
            assert await counted(node) == ("1.1.0", 2)


def _manager(node: Running) -> str:
    return f"appmanager@{node.file['node']}"
