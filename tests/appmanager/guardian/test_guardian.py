"""The guardian with real processes: what dies is replaced, what lives is kept, and nothing is left when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running, start
from tests.appmanager.guardian.processes import alive, answers, children_of, pid
from tests.gridlink.conftest import require_nats_server


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """Two bundles: one in the node, one in a process of its own."""
    require_nats_server()
    directory = tmp_path / "managed"
    bundle(directory, "inside", good("inside"))
    bundle(directory, "apart", good("apart"), mode="process")
    return directory


@pytest.fixture
async def node(managed: Path) -> AsyncIterator[Running]:
    """A node that runs both."""
    async with running(managed) as node:
        await node.all_running("appmanager", "nodemanager", "inside", "apart")
        yield node


async def test_a_killed_server_is_started_again_at_the_same_port_and_modules_answer(node: Running) -> None:
    """Nobody has to be told a new address, and no module is restarted for it."""
    before = {name: pid(node, name) for name in ("inside", "apart")}
    server = node.file["pids"]["nats_server"]
    os.kill(server, signal.SIGKILL)
    for role in before:
        await eventually(partial(answers, node, role), timeout_s=10)
    assert not alive(server)
    assert node.file["url"] == node.sender._bus.url
    await eventually(lambda: {name: pid(node, name) for name in before} == before, timeout_s=10)
    assert node.process.poll() is None


async def test_a_killed_node_is_replaced_and_processes_of_bundles_are_kept(node: Running) -> None:
    """The bundle in the node runs again; the one apart has never stopped, is adopted, and is there once."""
    first, apart, guardian = node.file["pids"]["node"], pid(node, "apart"), node.process.pid
    assert pid(node, "inside") == first
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: pid(node, "inside") not in (0, first), timeout_s=15)
    await eventually(lambda: answers(node, "inside"), timeout_s=5)
    await eventually(lambda: node.file["pids"]["node"] == pid(node, "inside"), timeout_s=5)
    await eventually(lambda: answers(node, "apart"), timeout_s=5)
    await node.all_running("appmanager", "nodemanager", "inside", "apart")
    assert pid(node, "apart") == apart
    assert alive(apart)
    server = node.file["pids"]["nats_server"]
    assert sorted(children_of(guardian)) == sorted([server, apart, node.file["pids"]["node"]])
    listed = await node.sender.request("appmanager", "list")
    assert {one["name"]: one["state"] for one in listed} == {"apart": "RUNNING", "inside": "RUNNING"}


async def test_an_adopted_process_that_dies_later_is_restarted(node: Running) -> None:
    """The new AppManager watches it as the former one did."""
    first, apart = node.file["pids"]["node"], pid(node, "apart")
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: pid(node, "inside") not in (0, first), timeout_s=15)
    os.kill(apart, signal.SIGKILL)
    await eventually(lambda: pid(node, "apart") not in (0, apart), timeout_s=15)
    assert await answers(node, "apart")


async def test_a_killed_process_of_a_bundle_is_restarted(node: Running) -> None:
    """Alone: the node goes on undisturbed."""
    first, apart = node.file["pids"]["node"], pid(node, "apart")
    os.kill(apart, signal.SIGKILL)
    await eventually(lambda: pid(node, "apart") not in (0, apart), timeout_s=15)
    await eventually(lambda: answers(node, "apart"))
    assert node.file["pids"]["node"] == first
    assert pid(node, "inside") == first


async def test_a_killed_guardian_takes_all_its_children_along(node: Running) -> None:
    """Whoever guards the guardian (systemd) can start it again at once: nothing of the former is in the way."""
    pids = [*node.file["pids"].values(), pid(node, "apart")]
    assert all(alive(one) for one in pids)
    node.process.kill()
    await eventually(lambda: not any(alive(one) for one in pids), timeout_s=10)


async def test_a_second_guardian_on_the_directory_is_refused_and_names_the_first(
    node: Running, managed: Path, tmp_path: Path
) -> None:
    """Two would write each other's files; and the refused one must not harm the first's."""
    output = tmp_path / "second.out"
    second = start(managed, output)
    assert await asyncio.to_thread(second.wait, 20) == 1
    said = output.read_text()
    assert f"is run by process {node.process.pid} already: stop that one, or use another directory" in said
    assert "Traceback" not in said
    assert (managed / ".gridlink" / "node.json").exists()
    assert await answers(node, "inside")
    assert await answers(node, "apart")
    os.kill(node.file["pids"]["nats_server"], signal.SIGKILL)  # its configuration file is still the first one's
    await eventually(lambda: answers(node, "inside"), timeout_s=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_told_guardian_ends_everything_in_order_with_status_zero(node: Running, number: int) -> None:
    """Modules in reverse of their start, then the node, then the server; no file says that it runs."""
    pids = [*node.file["pids"].values(), pid(node, "apart")]
    node.process.send_signal(number)
    assert await asyncio.to_thread(node.process.wait, 20) == 0
    assert not any(alive(one) for one in pids)
    assert not (node.managed / ".gridlink" / "node.json").exists()
    said = node.output()
    assert "Traceback" not in said
    order = [said.index(text) for text in ("inside@", "is STOPPED", "nodemanager@")]
    assert order[0] < order[1]
    stopped = [line for line in said.splitlines() if "is STOPPED" in line]
    names = [name for line in stopped for name in ("inside", "appmanager", "nodemanager") if f" {name}@" in line]
    assert names.index("inside") < names.index("nodemanager")
    assert names.index("inside") < names.index("appmanager")


async def test_the_directory_can_be_run_again_after_a_kill(node: Running, managed: Path) -> None:
    """A power cut leaves a lock file and node.json: neither is in the way of the next start."""
    first = [*node.file["pids"].values(), pid(node, "apart")]
    node.process.kill()
    await asyncio.to_thread(node.process.wait, 5)
    await eventually(lambda: not any(alive(one) for one in first), timeout_s=10)
    (managed / ".gridlink" / "node.json").unlink()  # the helper waits for the new one
    async with running(managed) as again:
        await again.all_running("appmanager", "nodemanager", "inside", "apart")
        assert again.file["pids"]["guardian"] != first[0]


async def test_an_idle_guardian_uses_next_to_no_processor_also_while_it_ends(managed: Path) -> None:
    """The AppManager closes its pipes before the node ends: their end of file must not become a busy loop."""
    slow = good("slow") + "\n    async def stop(self):\n        import asyncio\n        await asyncio.sleep(2)\n"
    bundle(managed, "slow", slow)
    async with running(managed) as node:
        await node.all_running("appmanager", "nodemanager", "inside", "apart", "slow")
        guardian = node.process.pid
        before_s = cpu_s(guardian)
        node.process.send_signal(signal.SIGTERM)
        used_s = before_s
        while node.process.poll() is None:
            used_s = cpu_s(guardian) or used_s
            await asyncio.sleep(0.02)
        assert node.process.returncode == 0
        assert used_s - before_s < 0.3


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


BLOCKS = """
import time
from gridlink import Module

class Probe(Module[None]):
    '''Never gives the loop back.'''
    async def start(self) -> None:
        while True:
            time.sleep(1)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_module_that_blocks_the_loop_in_its_start_is_failed_and_the_others_run(managed: Path) -> None:
    """It is interrupted, tried again by the policy, and FAILED with the reason; its node lives on."""
    bundle(managed, "blocker", BLOCKS)
    async with running(managed) as node:
        began_s = time.monotonic()
        await eventually(lambda: node.state("blocker")[0] == "FAILED", timeout_s=90)
        assert time.monotonic() - began_s > 5
        assert "held the event loop" in node.state("blocker")[1]  # interrupted each time, until it was given up
        await node.all_running("appmanager", "nodemanager", "inside", "apart", within_s=30)
        assert await answers(node, "inside")


async def test_node_json_names_the_processes_that_run(node: Running) -> None:
    """The commands find the site by it."""
    document = json.loads((node.managed / ".gridlink" / "node.json").read_text())
    assert document["site"] == "site"
    assert document["pids"]["guardian"] == node.process.pid
    assert all(alive(one) for one in document["pids"].values())
