"""`gridlink install --mode` and `--into`: where a new module runs, from its first start on and after a restart."""

from __future__ import annotations

import json
from pathlib import Path

from appmanager.provisioning.machine import STEPS, Kind
from appmanager.provisioning.plan import Order, Plan, spelled
from appmanager.store.disk import RealDisk
from appmanager.store.journal import Journal
from appmanager.store.layout import Layout
from tests.acceptance.running import LONG, bundle, good, running
from tests.acceptance.test_provisioning import done, gridlink, packed


def chosen(managed: Path) -> dict[str, dict[str, str]]:
    """What operators have decided; nothing where there is no file."""
    file = managed / ".gridlink" / "modes.json"
    found: dict[str, dict[str, str]] = json.loads(file.read_text()) if file.exists() else {}
    return found


async def test_a_module_is_installed_where_the_operator_says_and_stays_there(tmp_path: Path) -> None:
    """In a NodeManager of its own, or a process; refused where a move would be, with nothing left of it."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    bundle(managed, "node2", "", entry="nodemanager:NodeManager", mode="process")
    counter = await packed(tmp_path, "1.0.0")
    other, bad = bundle(tmp_path, "other", good("other")), bundle(tmp_path, "bad", good("bad"))
    code = bad / "bad" / "__init__.py"
    code.write_text(code.read_text() + "\n    async def start(self):\n        raise ValueError('the pump is dry')\n")
    for made in (other, bad):
        await done(tmp_path, "pack", made, "-o", f"{made}.glb")
    async with running(managed, *LONG) as node:
        await node.all_running("lamp", "node2")
        refused = {
            ("--into", "node3"): "no NodeManager node3 is RUNNING",
            ("--mode", "fork", "--into", "node2"): "--into names a NodeManager, so it goes with mode node",
        }
        for options, why in refused.items():
            for more in ((), ("--dry-run",)):
                status, _, err = await gridlink(managed, "install", counter, *options, *more)
                assert (status, why in err) == (1, True), err
        status, _, err = await gridlink(managed, "install", f"{bad}.glb", "--mode", "fork")
        assert (status, "rolled back" in err) == (1, True), err
        assert chosen(managed) == {}
        await done(managed, "install", counter, "--into", "node2")
        await done(managed, "install", f"{other}.glb", "--mode", "fork")
        assert chosen(managed) == {
            "counter": {"mode": "node", "into": "node2"},
            "other": {"mode": "fork", "into": ""},
        }
        entries = {entry.name: entry for entry in await node.all_running("counter", "node2", "other")}
        assert (entries["counter"].node, entries["other"].mode) == (entries["node2"].node, "fork")
    async with running(managed) as node:
        entries = {entry.name: entry for entry in await node.all_running("counter", "node2", "other")}
        assert (entries["counter"].node, entries["other"].mode) == (entries["node2"].node, "fork")


async def test_a_move_counts_more_than_an_install_that_is_not_tidied_yet(tmp_path: Path) -> None:
    """Its mode would be written down once more at the next start, over what the operator has said since."""
    managed = tmp_path / "managed"
    bundle(managed, "lamp", good("lamp"))
    layout = Layout(managed)
    async with running(managed) as node:
        await node.all_running("lamp")
        journal = Journal(RealDisk(), layout)
        order = Order("x", Kind.INSTALL, "lamp", digest="d", mode="process")
        journal.begin("lamp", spelled(Plan(order, "lamp", digests={"to": "d"})))
        for step in STEPS[Kind.INSTALL]:
            journal.write("lamp", step)
        await done(managed, "move", "lamp", "--mode", "fork")
        assert journal.modules() == []
    async with running(managed) as node:
        (lamp,) = await node.all_running("lamp")
        assert lamp.mode == "fork"
        assert chosen(managed) == {"lamp": {"mode": "fork", "into": ""}}
