"""A real file system that is full, or can't be written to, while a module is provisioned."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appmanager.packed.limits import limits_on
from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind
from appmanager.provisioning.plan import Order
from appmanager.provisioning.recovery import recover
from appmanager.store.disk import RealDisk
from appmanager.store.layout import Layout
from tests.appmanager.packed.making import files_of, packed
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.provisioning.stories import Bundles

PAGE_BYTES = 4096


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small file system."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"a small file system can't be mounted here (needs root): {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True, timeout=10)


async def _installed(layout: Layout, bundles: Bundles) -> PlainHost:
    host = PlainHost(RealDisk(), layout, bundles["1.0.0"][0])
    order = Order("1", Kind.INSTALL, "lamp", digest=bundles["1.0.0"][1])
    assert (await Engine(host.disk, layout, host).run(order)).end is End.DONE
    return host


async def test_an_update_on_a_disk_that_fills_up_at_any_moment_leaves_what_ran(
    tmp_path: Path, bundles: Bundles
) -> None:
    """With each number of free pages: it goes on running, or it is the new version."""
    with mounted(tmp_path / "small", "1m") as folder:
        layout = Layout(folder / "managed")
        layout.managed.mkdir()
        host = await _installed(layout, bundles)
        host.receives = bundles["2.0.0"][0]
        ends = []
        for pages in range(40):
            ballast = folder / "ballast"
            _fill(ballast, pages)
            order = Order(f"u{pages}", Kind.UPDATE, "lamp", digest=bundles["2.0.0"][1])
            outcome = await Engine(host.disk, layout, host).run(order)
            ends.append(outcome.end)
            ballast.unlink()
            if outcome.end is End.DONE and not outcome.reason:
                break
            recover(host.disk, layout, 0.0)
            expected = "2.0.0" if outcome.end is End.DONE else "1.0.0"
            assert host.running["lamp"].version == expected, outcome
            assert expected in (layout.place("lamp") / "module.json").read_text(), outcome
            assert "make room" in outcome.reason, outcome
            if outcome.end is End.DONE:
                break
        assert ends[-1] is End.DONE
        assert ends.count(End.REFUSED) > 3


def _fill(ballast: Path, free_pages: int) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE_BYTES))
        except OSError:
            file.truncate(max(0, file.tell() - free_pages * PAGE_BYTES))


async def test_a_bundle_that_does_not_fit_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Filling the disk to find out would stop Storage; what that needs is kept free."""
    glb, digest = packed(tmp_path, files_of() | {"lamp/big": bytes(3_000_000)})
    with mounted(tmp_path / "small", "10m") as folder:
        layout = Layout(folder / "managed")
        layout.managed.mkdir()
        host = PlainHost(RealDisk(), layout, glb)
        engine = Engine(host.disk, layout, host, limits=lambda: limits_on(folder))
        outcome = await engine.run(Order("1", Kind.INSTALL, "lamp", digest=digest))
        assert (outcome.end, "are free: make room" in outcome.reason) == (End.REFUSED, True)
        assert not layout.place("lamp").exists()
        roomy = Engine(host.disk, layout, host)
        assert (await roomy.run(Order("2", Kind.INSTALL, "lamp", digest=digest))).end is End.DONE


async def test_a_read_only_disk_refuses_everything_and_keeps_nothing_from_running(
    tmp_path: Path, bundles: Bundles
) -> None:
    """What a board finds after a boot with a failing card."""
    with mounted(tmp_path / "small", "1m") as folder:
        layout = Layout(folder / "managed")
        layout.managed.mkdir()
        host = await _installed(layout, bundles)
        _remount(folder, "ro")
        assert recover(host.disk, layout, 0.0) == []
        outcome = await Engine(host.disk, layout, host).run(Order("2", Kind.CONFIGURE, "lamp", settings={"watt": 1}))
        assert (outcome.end, "Read-only" in outcome.reason) == (End.REFUSED, True)
        assert host.running["lamp"].config == {"watt": 40}
        _remount(folder, "rw")
        again = await Engine(host.disk, layout, host).run(Order("3", Kind.CONFIGURE, "lamp", settings={"watt": 1}))
        assert again.end is End.DONE
