"""The use case runs in each of the ways a user can choose, started by the real command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nats
import psutil
import pytest

from gridlink.errors import Refused
from gridlink.testing import eventually
from tests.acceptance.running import BUNDLES, NODE, SEVEN, running, start


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with the six bundles; the AppManager is the seventh module. Any port for the dashboard."""
    target = tmp_path / "managed"
    shutil.copytree(BUNDLES, target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "dashboard_interface" / "config.json").write_text(json.dumps({"port": 0}))
    return target


async def test_in_mode_node_all_seven_share_one_process_and_a_plain_client_gets_an_answer(managed: Path) -> None:
    """M_new, and what the issue promises to programs that have never heard of Gridlink."""
    async with running(managed, "--mode", "node") as node:
        entries = await node.all_running(*SEVEN)
        assert {entry.pid for entry in entries} == {node.file["pids"]["node"]}
        assert {entry.mode for entry in entries} == {"node"}
        query = {"dataPoint": "bus_3.voltage_pu"}

        async def newest() -> dict[str, float]:
            try:
                return dict(await node.sender.request("storage", "getMostRecentValue", query))
            except Refused:
                return {}

        answer = await eventually(newest, timeout_s=10)
        client = await nats.connect(node.file["url"])
        plain = await client.request("gl.site.role.storage.getMostRecentValue", json.dumps(query).encode())
        await client.close()
        assert json.loads(plain.data).keys() == answer.keys()
        assert 0.9 < json.loads(plain.data)["value"] < 1.1
        assert node.stop() == 0
        assert not (managed / ".gridlink" / "node.json").exists()


async def test_in_mode_process_each_bundle_has_an_interpreter_of_its_own(managed: Path) -> None:
    """M_old, the paper's old solution."""
    async with running(managed, "--mode", "process", "--without-nodemanager") as node:
        entries = await node.all_running(*SEVEN)
        assert len({entry.pid for entry in entries}) == 7
        assert node.state("nodemanager") == ("", "")
        state = await eventually(lambda: node.sender.request("grid", "getState"), timeout_s=10)
        assert 0.9 < state["lowest_pu"] <= state["highest_pu"] < 1.1
        pids = [entry.pid for entry in entries]
        assert node.stop() == 0
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def test_in_mode_fork_each_bundle_has_a_process_that_is_forked_from_the_guardian(managed: Path) -> None:
    """The third way, in neither paper: a process each, for half of what an interpreter of its own takes."""
    async with running(managed, "--mode", "fork") as node:
        entries = await node.all_running(*SEVEN)
        assert len({entry.pid for entry in entries}) == 7
        guardian = node.process.pid
        assert {psutil.Process(entry.pid).ppid() for entry in entries} == {guardian}
        assert {entry.mode for entry in entries if entry.name != "appmanager"} == {"fork"}
        state = await eventually(lambda: node.sender.request("grid", "getState"), timeout_s=10)
        assert 0.9 < state["lowest_pu"] <= state["highest_pu"] < 1.1
        assert (await node.sender.request("oltc", "getTapPosition"))["position"] == 0
        pids = [entry.pid for entry in entries]
        assert node.stop() == 0
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def test_figure_7_a_second_nodemanager_hosts_four_of_them_in_its_own_process(managed: Path) -> None:
    """The paper's Figure 7: a NodeManager that is itself managed."""
    inner = managed / "node2" / "managed"
    inner.mkdir(parents=True)
    manifest = {"name": "node2", "version": "1.0.0", "entry": "nodemanager:NodeManager", "mode": "process"}
    (managed / "node2" / "module.json").write_text(json.dumps(manifest))
    moved = ("voltage_guard", "voltage_problem_handler", "oltc_controller", "dashboard_interface")
    for name in moved:
        (managed / name).rename(inner / name)
    async with running(managed) as node:
        entries = {entry.name: entry for entry in await node.all_running(*SEVEN, "node2", "nodemanager")}
        assert {entries[name].pid for name in moved} == {entries["node2"].pid}
        assert entries["node2"].pid != entries["storage"].pid == entries["appmanager"].pid
        assert entries["voltage_guard"].managed_by == (entries["node2"].instance,)
        assert (await node.sender.request("oltc", "getTapPosition"))["position"] == 0
        assert node.stop() == 0


def test_on_the_local_bus_the_seven_run_without_any_server(managed: Path, tmp_path: Path) -> None:
    """`--bus local`: one process, which no other program can reach but through the dashboard."""
    output = tmp_path / "local.out"
    process = start(managed, output, "--bus", "local", "--for", "4")
    assert process.wait(timeout=40) == 0
    text = output.read_text()
    assert "6 of 6 bundles are RUNNING" in text
    assert "nats-server" not in text
    for name in SEVEN[1:]:
        assert f"{name}@" in text


@pytest.mark.parametrize("mode", ["process", "fork"])
def test_local_bus_and_processes_of_their_own_exclude_each_other(managed: Path, mode: str) -> None:
    """Two options that can't both be had are wrong usage: exit status 2."""
    done = subprocess.run(
        [NODE, "--manage", str(managed), "--bus", "local", "--mode", mode], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--bus local is one process" in done.stderr
