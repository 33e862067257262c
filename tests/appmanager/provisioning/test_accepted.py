"""What a module took last goes out with its version where the one that comes back has no config.json."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind, Step
from appmanager.provisioning.plan import Order
from appmanager.provisioning.recovery import recover
from appmanager.store.layout import ABOUT
from gridlink.errors import StartFailed
from tests.appmanager.packed.making import files_of, packed
from tests.appmanager.provisioning.plain_host import PlainHost
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, PLACE

ACCEPTED = LAYOUT.accepted("lamp")


def taken(disk: SimulatedDisk) -> bytes | None:
    """What is known to have been taken last."""
    return disk.tree(ACCEPTED.parent).get(ACCEPTED.name)


async def disk_with(directory: Path) -> tuple[SimulatedDisk, PlainHost]:
    """2.0.0 with a configuration that it took, and 1.0.0 that never had one."""
    disk = SimulatedDisk()
    disk.put(LAYOUT.managed / ".keep", b"")
    plain = {name: body for name, body in files_of("1.0.0").items() if name != "config.json"}
    one, digest = packed(directory / "1", plain)
    two, digest_two = packed(directory / "2", files_of("2.0.0"))
    host = PlainHost(disk, LAYOUT, one)
    engine = Engine(disk, LAYOUT, host)
    assert (await engine.run(Order("1", Kind.INSTALL, "lamp", digest=digest))).end is End.DONE
    assert (disk.kind(PLACE / "config.json"), taken(disk)) == ("", None)
    host.receives = two
    assert (await engine.run(Order("2", Kind.UPDATE, "lamp", digest=digest_two, config={"watt": 7}))).end is End.DONE
    assert taken(disk) == b'{\n  "watt": 7\n}\n'
    return disk, host


@pytest.mark.parametrize("fails", [None, Step.START, Step.WATCH])
async def test_it_is_there_again_where_the_rollback_fails_or_is_cut_off(tmp_path: Path, fails: Step | None) -> None:
    """At every operation: with the newer version in place it is there, with the older one it isn't."""
    disk, host = await disk_with(tmp_path)
    before, chance = taken(disk), random.Random(f"{fails}")
    if fails is not None:
        host.fails[fails] = StartFailed("no")
    cuts: list[tuple[str, SimulatedDisk]] = []
    disk.before = lambda operation: cuts.append((operation, disk.after_cut(chance)))
    outcome = await Engine(disk, LAYOUT, host).run(Order("3", Kind.ROLLBACK, "lamp"))
    disk.before = lambda operation: None
    assert outcome.end is (End.DONE if fails is None else End.ROLLED_BACK), outcome
    assert taken(disk) == (None if fails is None else before)
    assert len(cuts) > 20
    for where, cut in cuts:
        recover(cut, LAYOUT, 0.0)
        newer = b"2.0.0" in cut.tree(PLACE)["module.json"]
        assert taken(cut) == (before if newer else None), where
        assert cut.kind(LAYOUT.version("lamp", "000002") / ABOUT) == ("" if newer else "file"), where
