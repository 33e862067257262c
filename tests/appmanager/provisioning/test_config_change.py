"""A configuration that is taken back, where a module had no file before."""

from __future__ import annotations

import pytest

from appmanager.provisioning.config_change import ConfigChange
from appmanager.provisioning.machine import Kind, Step
from appmanager.provisioning.plan import Order, Plan
from tests.appmanager.provisioning.simulated_disk import SimulatedDisk
from tests.appmanager.provisioning.stories import LAYOUT, PLACE

ACCEPTED = LAYOUT.accepted("lamp")


@pytest.mark.parametrize("took", [b"", b'{"watt": 7}'], ids=["the defaults", "what it took last"])
def test_it_has_what_it_had_without_a_file(took: bytes) -> None:
    """Without a file a module has what it took last; that is the configuration which has to go."""
    disk = SimulatedDisk()
    disk.put(PLACE / "module.json", b"{}")
    disk.put(LAYOUT.own / "staged" / ".keep", b"")
    if took:
        disk.put(ACCEPTED, took)
    plan = Plan(Order("x", Kind.CONFIGURE, "lamp", settings={"watt": 100}), "lamp", had_config=False)
    change = ConfigChange(disk, LAYOUT, plan)
    change.stage()
    change.switch()
    assert disk.tree(PLACE)["config.json"] == b'{\n  "watt": 100\n}\n'
    for _ in range(2):  # a power cut may come in between
        ConfigChange(disk, LAYOUT, plan).undo(frozenset({Step.STAGE, Step.SWITCH}))
        assert disk.tree(PLACE)["config.json"] == (took or b"{}\n")
