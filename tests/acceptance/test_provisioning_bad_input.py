"""Bundles that are hostile, damaged or don't fit: refused with the reason, nothing left, the old version running."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
import struct
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appmanager.orders import BundleOrder
from appmanager.packed.contents import Listed, line
from appmanager.packed.names import CONTENTS
from appmanager.packed.writer import Archive
from appmanager.packed.zipform import END, ZipEntry
from tests.acceptance.ordering import asked, glb_of, new
from tests.acceptance.running import LONG, Running, bundle, good, running
from tests.acceptance.test_provisioning import done, gridlink, leftovers
from tests.appmanager.packed.test_unpack import HEADER, _central, forged

OWN = {"logs", "record", "states", "accepted", "node.json", "data", "nats"}
"""What a node writes by itself, in `.gridlink`."""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    """A node with a lamp, a module that uses the lamp, and a directory `meter` that holds another bundle."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    bundle(managed, "reader", good("reader"), uses={"role lamp": ["ping"]})
    bundle(tmp_path / "else", "clock", good("clock")).rename(managed / "meter")
    async with running(managed, *LONG) as node:
        await node.all_running("lamp", "reader", "clock")
        yield node


def _special(kind: int) -> bytes:
    """A bundle whose last entry says that it is something else than a file."""
    body = bytearray(forged("evil"))
    at = body.rindex(b"PK\x01\x02")
    body[at + 38 : at + 42] = struct.pack("<I", (kind | 0o644) << 16)
    return bytes(body)


def _bomb() -> bytes:
    """10 GB of zeros in 10 MB, in entries that each say what they hold; none can say more than 4 GB."""
    return _central(forged("bomb", body=bytes(10_000_000)), lambda entry: replace(entry, size_bytes=4_000_000_000))


def _liar() -> bytes:
    """Fifty million zeros in an entry that says ten bytes."""
    out = io.BytesIO()
    archive = Archive(out)
    archive.add(CONTENTS, [line(HEADER) + line(Listed("bomb", 10, "0" * 64))])
    archive.add("bomb", [bytes(1_000_000)] * 50)
    archive.close()
    return _central(out.getvalue(), lambda entry: replace(entry, size_bytes=10))


def _many() -> bytes:
    """A million entries, as a zip64."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as million:
        for number in range(1_000_000):
            million.writestr(zipfile.ZipInfo(str(number)), b"")
    return out.getvalue()


def _said_to_be_many() -> bytes:
    """As many entries as the form can say."""
    body = ZipEntry("a", 0o644, 0, 2, 0, 0).central() * 65_000
    return body + END.pack(b"PK\x05\x06", 0, 0, 65_000, 65_000, len(body), 0, 0)


HOSTILE: dict[str, tuple[Any, str]] = {
    "a path that leaves the bundle": (lambda: forged("../evil"), "leaves the bundle"),
    "an absolute name": (lambda: forged("/etc/evil"), "absolute"),
    "a symbolic link": (lambda: _special(stat.S_IFLNK), "symbolic link"),
    "a device": (lambda: _special(stat.S_IFBLK), "device"),
    "a pipe": (lambda: _special(stat.S_IFIFO), "pipe"),
    "a bomb": (_bomb, "unpacks to 4000000000 bytes"),
    "a bomb that lies": (_liar, "holds more than the 10 bytes"),
    "a million entries": (_many, "doesn't fit the file"),
    "65,000 entries": (_said_to_be_many, "65000 entries, expected 1 to 20001"),
    "names that differ in case": (lambda: forged("lamp.py", "Lamp.py"), "differ in case alone"),
    "a file cut off": (lambda: forged("lamp.py")[:-40], "truncated"),
    "no zip": (lambda: b"#!/bin/sh\n", "truncated"),
}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_hostile_and_damaged_files_are_refused_and_nothing_is_left(node: Running, tmp_path: Path) -> None:
    """By the board itself: a file need not have come from `gridlink pack`, nor been looked at by `gridlink update`."""
    before, file = _files(node.managed), tmp_path / "hostile.glb"
    for what, (make, why) in HOSTILE.items():
        file.write_bytes(await asyncio.to_thread(make))
        digest = await asyncio.to_thread(_digest_of_list, file)
        for kind in ("update", "install"):
            name = "lamp" if kind == "update" else "bulb"
            await _refused(node, kind, BundleOrder("", name, digest, str(file)), why, what)
        assert _files(node.managed) == before, what
    assert (await gridlink(node.managed, "update", file))[0] == 1
    assert not (tmp_path.parent / "evil").exists()
    assert "evil" not in os.listdir("/etc")


def _digest_of_list(file: Path) -> str:
    """The digest of its list of files, where it has one that can be found."""
    try:
        with zipfile.ZipFile(file) as archive:
            return hashlib.sha256(archive.read(CONTENTS)).hexdigest()
    except (zipfile.BadZipFile, KeyError, NotImplementedError, ValueError):
        return "0" * 64


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_what_does_not_fit_here_is_refused_with_its_reason(node: Running, tmp_path: Path) -> None:
    """Each by the operator's command, and by the check that is for it."""
    before = _files(node.managed)
    other = good("lamp").replace('"ping"', '"pong"')
    made: dict[str, tuple[BundleOrder, str, str]] = {}

    def lamp(number: int, why: str, code: str = good("lamp"), version: str = "1.1.0", **manifest: Any) -> None:
        made[why] = (_lamp(tmp_path / str(number), version, code, **manifest), "update", why)

    lamp(1, "needs Python >=3.99", requires={"python": ">=3.99"})
    lamp(2, "for linux-riscv64 (requires.platform)", requires={"platform": ["linux-riscv64"]})
    lamp(3, "older than 1.0.0, which runs", version="0.9.0")
    lamp(4, "reader would break: role lamp", code=other)
    lamp(5, "role cellar, which nobody serves", uses={"role cellar": ["fetch"]})
    lamp(6, "it needs gridlink >=99", requires={"gridlink": ">=99"})
    lamp(7, "free", resources={"memory_mib": 100_000_000})
    meter = glb_of(bundle(tmp_path / "m", "meter", good("meter")), "1.0.0")
    made["meter"] = (meter, "install", "which holds clock")
    for order, kind, why in made.values():
        status, out, err = await gridlink(node.managed, kind, Path(order.source))
        assert (status, why in err) == (1, True), f"{why}: {out}{err}"
        await _as_before(node, why)
    digest = _lamp(tmp_path / "good", "1.1.0", good("lamp"))
    await _refused(node, "update", structs.replace(digest, digest="0" * 64), "digest", "a wrong digest")
    anothers = structs.replace(meter, module="lamp")
    await _refused(node, "update", anothers, "expected a bundle of lamp", "another's bundle")
    assert _files(node.managed) == before
    assert "1.0.0 -> 1.1.0" in await done(node.managed, "update", Path(digest.source))
    older = made["older than 1.0.0, which runs"][0]
    assert "1.1.0 -> 0.9.0" in await done(node.managed, "update", Path(older.source), "--older")


def _lamp(directory: Path, version: str, code: str, **manifest: Any) -> BundleOrder:
    return glb_of(bundle(directory, "lamp", code, version=version, **manifest), version)


async def _refused(node: Running, kind: str, order: BundleOrder, why: str, what: str) -> None:
    ended = await asked(node.sender, f"appmanager@{node.file['node']}", kind, new(order))
    assert (ended.end, why in ended.reason) == ("refused", True), f"{what}: {ended}"
    await _as_before(node, what)


async def _as_before(node: Running, what: str) -> None:
    """Nothing is in progress, and what ran runs."""
    assert leftovers(node.managed) == [], what
    assert await node.sender.request("lamp", "ping", timeout_s=5) == "pong", what
    entry = next(entry for entry in node.registry.instances() if entry.name == "lamp")
    assert (entry.version, entry.state.value) == ("1.0.0", "RUNNING"), what


def _files(managed: Path) -> list[str]:
    """What lies in the managed directory, but for what a node writes by itself."""
    found = (path.relative_to(managed) for path in managed.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted(str(path) for path in found if path.parts[0] != ".gridlink" or path.parts[1] not in OWN)
