"""Nobody but the AppManager has a NodeManager or a node do what an operator must sign: a real node, over NATS."""

from __future__ import annotations

import json
import os
import re
import signal
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from gridlink.errors import AccessDenied
from gridlink.module.sender import Sender
from gridlink.node.process import open_bus
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.test_provisioning import done, gridlink
from tests.appmanager.operators.keys import Person, person

NODE2 = {"name": "node2", "version": "1.0.0", "entry": "nodemanager:NodeManager", "mode": "process"}
MODES = {"lamp": "node", "forked": "fork", "apart": "process"}
NAMES = (*MODES, "node2", "nodemanager", "appmanager")


@pytest.fixture
def maria(tmp_path: Path) -> Person:
    """An operator."""
    return person(tmp_path, "maria")


@pytest.fixture
def managed(tmp_path: Path, maria: Person) -> Path:
    """Modules in each mode, a NodeManager of its own process (Figure 7), and a list of operators."""
    directory = tmp_path / "managed"
    for name, mode in MODES.items():
        bundle(directory, name, good(name), mode=mode)
    (directory / "node2").mkdir()
    (directory / "node2" / "module.json").write_text(json.dumps(NODE2))
    operators = [{"name": maria.operator.name, "nkey": maria.operator.nkey}]
    (directory / "site.json").write_text(json.dumps({"operators": operators}))
    return directory


async def instances(node: Running) -> dict[str, tuple[str, str, int]]:
    """What runs where, by name, once all of it does."""
    return {entry.name: (entry.instance, entry.mode, entry.pid) for entry in await node.all_running(*NAMES)}


async def denied(node: Running, to: str, type: str, payload: Any) -> str:
    """Why it was refused."""
    with pytest.raises(AccessDenied) as refused:
        await node.sender.request(to, type, payload, timeout_s=10)
    return str(refused.value)


async def test_a_stranger_is_refused_with_the_reason_and_nothing_changes(managed: Path, tmp_path: Path) -> None:
    """Each order that would stop, start, hold or change a module, at each kind of node; also from `gridlink call`."""
    marker = tmp_path / "it_ran"
    evil = bundle(tmp_path, "evil", f"open({str(marker)!r}, 'w').close()\n" + good("evil"))
    order = {"directory": str(evil), "data_dir": str(tmp_path / "x"), "managed_by": [], "note": "", "follows": ""}
    async with running(managed) as node:
        before = await instances(node)
        for manager, module in (("nodemanager", "lamp"), ("node2", "lamp")):
            to = before[manager][0]
            assert "use `gridlink install FILE`" in await denied(node, to, "host", order)
            assert "use `gridlink stop`" in await denied(node, to, "release", module)
            status, _, err = await gridlink(managed, "call", to, "release", f'"{module}"')
            assert (status, "from the AppManager and the nodes of its own guardian alone" in err) == (1, True), err
        for name in MODES:
            instance = before[name][0]
            at = f"_node@{instance.partition('@')[2]}"
            carried = {"instance": instance, "address": f"role.{name}", "type": "ping", "payload": "", "source": ""}
            more = {"id": "", "left_s": 1.0, "trace": "", "wants_reply": True}
            assert "use `gridlink configure`" in await denied(node, at, "configure", instance)
            assert "use `gridlink move`" in await denied(node, at, "hold", {"instance": instance, "follower": "x@x"})
            assert "use `gridlink move`" in await denied(node, at, "resume", instance)
            assert "use `gridlink move`" in await denied(node, at, "waiting", {"instance": instance, "first": 0})
            assert "use a request to the module" in await denied(node, at, "take", {**carried, **more})
            assert await node.sender.request(name, "ping") == "pong"
            for question in ("counters", "who", "imports"):
                assert await node.sender.request(at, question)
            assert (await node.sender.request(at, "health", instance))["unhealthy"] == ""
        assert await instances(node) == before
        assert not marker.exists()


async def test_a_move_by_force_under_the_name_of_a_nodemanager_is_an_unsigned_command(managed: Path) -> None:
    """A program says in the header what it likes."""
    async with running(managed) as node:
        before = await instances(node)
        bus = await open_bus("site", f"stranger-{os.getpid()}", node.file["url"])
        try:
            stranger = Sender(bus, before["nodemanager"][0])
            order = {"name": "lamp", "mode": "fork", "reason": "it hangs", "force": True}
            with pytest.raises(AccessDenied, match="isn't signed"):
                await stranger.request(before["appmanager"][0], "move", order, timeout_s=10)
        finally:
            await bus.aclose()
        assert await instances(node) == before


async def test_the_site_goes_on_as_it_did_also_after_its_node_was_replaced(managed: Path, maria: Person) -> None:
    """Moves, configurations and stops, of modules that the new AppManager has taken over too; into a NodeManager."""
    key = ("--operator-key", maria.seed_file)
    async with running(managed) as node:
        before = await instances(node)
        os.kill(node.file["pids"]["node"], signal.SIGKILL)
        await eventually(partial(is_replaced, node, before["appmanager"][2]), timeout_s=20)
        after = await instances(node)
        assert (after["forked"], after["apart"]) == (before["forked"], before["apart"])
        for module, to in (("forked", "process"), ("apart", "fork"), ("lamp", "fork"), ("forked", "node")):
            await done(node.managed, *key, "move", module, "--mode", to)
        await done(managed, *key, "move", "apart", "--into", "node2")
        now = await instances(node)
        assert (now["apart"][1:], now["forked"][1], now["lamp"][1]) == (("node", after["node2"][2]), "node", "fork")
        for module in MODES:
            assert await node.sender.request(module, "ping") == "pong"
        await done(managed, *key, "stop", "apart")
        assert node.state("apart")[0] == "STOPPED"


async def test_the_keys_are_on_no_command_line_in_no_environment_and_in_no_log(managed: Path) -> None:
    """Those are what others can read of a process."""
    digits = re.compile(rb"[0-9a-f]{64}")
    async with running(managed) as node:
        await instances(node)
        guardian = psutil.Process(node.file["pids"]["guardian"])
        processes = (guardian, *guardian.children(recursive=True))
        shown = [Path(f"/proc/{process.pid}/{name}") for process in processes for name in ("cmdline", "environ")]
        logs = list((managed / ".gridlink" / "logs").rglob("*.log"))
        assert len(logs) > 3
        files = (*shown, *logs, managed / ".gridlink" / "node.json", managed.parent / f"{managed.name}.out")
        assert [path for path in files if digits.search(path.read_bytes())] == []


def is_replaced(node: Running, former: int) -> bool:
    """Whether the node's process is another one than that, and its AppManager runs."""
    return any(e.name == "appmanager" and e.state == "RUNNING" and e.pid != former for e in node.registry.instances())
