"""Disks on which a command is about to be carried out, and what may be found after it was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appmanager.packed.unpack import unpack
from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind
from appmanager.provisioning.outcome import Recovered
from appmanager.provisioning.plan import Order
from appmanager.store.layout import Layout
from appmanager.store.record import Record
from appmanager.store.versions import Versions
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk

LAYOUT = Layout(Path("/managed"))
PLACE = LAYOUT.place("lamp")
NEWER = b"newer"  # the state that a PlainHost's module has once it has run
Bundles = dict[str, tuple[bytes, str]]


@dataclass
class Story:
    """A command, the disk before it, and what may be found after a cut: files in place, and the state with them."""

    order: Order
    disk: SimulatedDisk
    receives: bytes
    old: tuple[dict[str, bytes], bytes | None]
    new: tuple[dict[str, bytes], frozenset[bytes | None]]

    def host(self) -> PlainHost:
        """What runs on that disk."""
        host = PlainHost(self.disk, LAYOUT, self.receives)
        host.boot()
        return host


async def story(kind: Kind, bundles: Bundles) -> Story:
    """The disk on which a command of that kind begins, made by the commands before it."""
    disk = SimulatedDisk()
    disk.put(LAYOUT.managed / ".keep", b"")
    (one, digest), (two, digest_two) = bundles["1.0.0"], bundles["2.0.0"]
    newer = frozenset({NEWER})
    if kind is Kind.INSTALL:
        order = Order("x", kind, "lamp", digest=digest)
        return Story(order, disk, one, ({}, None), (placed(one), frozenset({None, NEWER})))
    await _done(disk, one, Order("1", Kind.INSTALL, "lamp", digest=digest, config={"watt": 60}))
    old = disk.tree(PLACE)
    if kind is Kind.UPDATE:
        await _done(disk, one, Order("2", kind, "lamp", digest=digest))  # what is kept of it has to go
        order = Order("x", kind, "lamp", digest=digest_two)
        new = placed(two) | {"config.json": old["config.json"]}
        return Story(order, disk, two, (old, NEWER), (new, newer))
    if kind is Kind.ROLLBACK:
        await _done(disk, two, Order("2", Kind.UPDATE, "lamp", digest=digest_two, config={"watt": 7}))
        return Story(Order("x", kind, "lamp"), disk, b"", (disk.tree(PLACE), NEWER), (old, newer))
    if kind is Kind.CONFIGURE:
        order = Order("x", kind, "lamp", settings={"watt": 100})
        new = old | {"config.json": b'{\n  "watt": 100\n}\n'}
        return Story(order, disk, b"", (old, NEWER), (new, newer))
    return Story(Order("x", kind, "lamp"), disk, b"", (old, NEWER), ({}, frozenset({None})))


async def _done(disk: SimulatedDisk, receives: bytes, order: Order) -> None:
    host = PlainHost(disk, LAYOUT, receives)
    host.boot()
    assert (await Engine(disk, LAYOUT, host).run(order)).end is End.DONE


def placed(glb: bytes) -> dict[str, bytes]:
    """What unpacking a bundle gives."""
    disk = SimulatedDisk()
    disk.put(Path("/x.glb"), glb)
    unpack(disk, Path("/x.glb"), Path("/there"))
    return disk.tree(Path("/there"))


def is_new(found: SimulatedDisk, recovered: list[Recovered], it: Story, where: str) -> bool:
    """Whether it is the new version. Fails where it is neither, where something is left, or where that isn't said."""
    place, state = found.tree(PLACE), found.tree(LAYOUT.own / "states").get("lamp")
    new = place == it.new[0] and state in it.new[1]
    assert new or (place, state) == it.old, f"{where}: {sorted(place)}, state {state!r}"
    resumes = any(one.resume is not None for one in recovered)
    for name in ("staged", *(() if resumes else ("incoming", "journal"))):
        left = {path for path in found.tree(LAYOUT.own / name) if not path.startswith(".")}
        assert not left, f"{where}: left in {name}: {left}"
    if not place:
        assert "lamp.json" not in found.tree(LAYOUT.own / "accepted"), f"{where}: its configuration is left"
    chain = Record(found, LAYOUT.record).verify()
    outcomes = [one.outcome for one in recovered if one.outcome is not None]
    assert len(outcomes) <= 1
    for outcome in outcomes:
        assert outcome.end is not End.BROKEN, f"{where}: {outcome}"
        assert (outcome.end is End.DONE) == new, f"{where}: {outcome}"
        assert chain is not None, where
        assert (chain.last.id, chain.last.outcome) == ("x", outcome.end), where
    for kept in Versions(found, LAYOUT).kept("lamp"):
        assert found.kind(LAYOUT.version("lamp", kept.number) / "bundle" / "lamp" / "__init__.py"), where
    return new
