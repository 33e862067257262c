"""The mode that an install was given is kept with the new version, and not without it, whenever the power is cut."""

from __future__ import annotations

import json
import random
from typing import Literal

import pytest
from msgspec import structs

from appmanager.provisioning.engine import Engine
from appmanager.provisioning.machine import End, Kind, Step
from appmanager.provisioning.plan import Order
from appmanager.provisioning.recovery import recover
from gridlink.errors import StartFailed
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, Bundles, is_new, story

FILE = LAYOUT.own / "modes.json"
OTHER = {"meter": {"mode": "process", "into": ""}}


def kept(disk: SimulatedDisk) -> dict[str, dict[str, str]]:
    """What the file says."""
    with disk.open(FILE) as file:
        found: dict[str, dict[str, str]] = json.loads(file.read())
    return found


@pytest.mark.parametrize("fails", [None, Step.START, Step.WATCH])
@pytest.mark.parametrize(("mode", "into"), [("fork", ""), ("", "node2")])
async def test_a_power_cut_at_every_operation_keeps_the_mode_with_the_version(
    fails: Step | None, mode: Literal["", "fork"], into: str, bundles: Bundles
) -> None:
    """Else a module that is to have a process of its own would come up in the node, at the start that follows."""
    it = await story(Kind.INSTALL, bundles)
    it.order = structs.replace(it.order, mode=mode, into=into)
    it.disk.put(FILE, json.dumps(OTHER).encode())
    host, chance = it.host(), random.Random(f"{fails} {mode}")
    if fails is not None:
        host.fails[fails] = StartFailed("it isn't healthy")
    cuts: list[tuple[str, SimulatedDisk]] = []
    it.disk.before = lambda operation: cuts.append((operation, it.disk.after_cut(chance)))
    outcome = await Engine(it.disk, LAYOUT, host).run(it.order)
    it.disk.before = lambda operation: None
    assert outcome.end is (End.DONE if fails is None else End.ROLLED_BACK)
    wanted = OTHER | {"lamp": {"mode": mode or "node", "into": into}}
    assert kept(it.disk) == (wanted if fails is None else OTHER)
    found = {True: 0, False: 0}
    for where, disk in cuts:
        new = is_new(disk, recover(disk, LAYOUT, 0.0), it, where)
        found[new] += 1
        assert kept(disk) == (wanted if new else OTHER), where
    assert found[False] > 20
    assert (found[True] > 3) == (fails is None)


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.CONFIGURE, Kind.ROLLBACK, Kind.UNINSTALL])
async def test_a_mode_goes_with_install_alone(kind: Kind, bundles: Bundles) -> None:
    """What is installed is moved."""
    it = await story(kind, bundles)
    outcome = await Engine(it.disk, LAYOUT, it.host()).run(structs.replace(it.order, mode="fork"))
    assert (outcome.end, "gridlink move" in outcome.reason) == (End.REFUSED, True)


@pytest.mark.parametrize("bad", [b"", b"[1]", b'{"lamp": {"mode": "elsewhere"}}', None], ids=str)
async def test_a_file_that_has_turned_bad_meanwhile_is_put_aside_and_begun_anew(
    bad: bytes | None, bundles: Bundles, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the install isn't tidied, and no command of that module is carried out any more. None: a directory."""
    it = await story(Kind.INSTALL, bundles)
    it.disk.put(FILE if bad is not None else FILE / "x", bad or b"")
    engine = Engine(it.disk, LAYOUT, it.host())
    outcome = await engine.run(structs.replace(it.order, mode="fork"))
    assert (outcome.end, outcome.reason) == (End.DONE, "")
    assert kept(it.disk) == {"lamp": {"mode": "fork", "into": ""}}
    aside = LAYOUT.own / "damaged" / "modes.json"
    assert it.disk.kind(aside) == ("file" if bad is not None else "directory")
    assert f"put aside as {aside}" in caplog.text
    assert (await engine.run(Order("y", Kind.CONFIGURE, "lamp", settings={"watt": 1}))).end is End.DONE
