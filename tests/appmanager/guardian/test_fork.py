"""Mode `fork`: processes forked from the guardian, which has loaded what they share."""

from __future__ import annotations

import _heapq
import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from appmanager.guardian.log import Log
from appmanager.guardian.zygote import Zygote
from gridlink.node import warm
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.appmanager.guardian.processes import alive, answers, children_of, pid, zombies_of
from tests.gridlink.conftest import require_nats_server

INSIDE = """
    from typing import Any
    @request("look")
    async def look(self) -> dict[str, Any]:
        import os, random, signal, threading
        open_files = {}
        for fd in os.listdir("/proc/self/fd"):
            try:
                open_files[fd] = os.readlink(f"/proc/self/fd/{fd}")
            except OSError:
                continue
        return {
            "parent": os.getppid(),
            "name": open("/proc/self/comm").read().strip(),
            "random": random.random(),
            "files": sorted(open_files.values()),
            "threads": threading.active_count(),
            "alarm": signal.getsignal(signal.SIGALRM) is signal.SIG_DFL,
            "timer": signal.getitimer(signal.ITIMER_REAL)[0],
            "session": os.getsid(0) == os.getpid(),
        }

    @request("leave")
    async def leave(self) -> None:
        import os
        os._exit(3)
"""


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """Two forked bundles, one in the node, one in an interpreter of its own."""
    require_nats_server()
    directory = tmp_path / "managed"
    bundle(directory, "forked", good("forked") + INSIDE, mode="fork")
    bundle(directory, "second", good("second") + INSIDE, mode="fork")
    bundle(directory, "inside", good("inside"))
    bundle(directory, "apart", good("apart"), mode="process")
    return directory


ALL = ("appmanager", "nodemanager", "inside", "apart", "forked", "second")


@pytest.fixture
async def node(managed: Path) -> AsyncIterator[Running]:
    """A node that runs them."""
    async with running(managed) as node:
        await node.all_running(*ALL)
        yield node


async def test_a_forked_module_is_a_process_of_its_own_with_nothing_of_its_guardian(node: Running) -> None:
    """Same parent, another session, other random numbers; no file, signal handler or thread is shared."""
    one, two = [await node.sender.request(role, "look") for role in ("forked", "second")]
    modes = {entry.name: entry.mode for entry in node.registry.instances()}
    assert (modes["forked"], modes["apart"], modes["inside"]) == ("fork", "process", "node")
    assert one["parent"] == two["parent"] == node.process.pid
    assert (one["name"], two["name"]) == ("forked", "second")
    assert one["random"] != two["random"]
    for look in (one, two):
        assert (look["threads"], look["alarm"], look["timer"], look["session"]) == (1, True, 0.0, True)
        assert not any("/lock" in file or "guardian" in file for file in look["files"])
        assert sum(file.startswith("pipe:") for file in look["files"]) <= 2  # its lifeline
    assert (node.managed / ".gridlink" / "logs" / f"{node.file['node']}-forked.log").exists()


async def test_a_killed_node_leaves_forked_and_own_processes_running_and_the_next_takes_them_over(
    node: Running,
) -> None:
    """The AppManager died with its node; the innocent aren't restarted, and are managed again."""
    first = node.file["pids"]["node"]
    before = {name: pid(node, name) for name in ("forked", "second", "apart")}
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: pid(node, "inside") not in (0, first), timeout_s=15)
    await node.all_running(*ALL)
    assert {name: pid(node, name) for name in before} == before

    async def states() -> bool:
        listed = await node.sender.request("appmanager", "list")
        return {one["name"]: one["state"] for one in listed} == dict.fromkeys((*before, "inside"), "RUNNING")

    await eventually(states)
    os.kill(before["forked"], signal.SIGKILL)
    await eventually(lambda: pid(node, "forked") not in (0, before["forked"]), timeout_s=15)
    await eventually(partial(answers, node, "forked"))
    assert pid(node, "second") == before["second"]
    assert zombies_of(node.process.pid) == []


async def test_a_forked_module_that_ends_itself_is_restarted_and_leaves_no_zombie(node: Running) -> None:
    """`os._exit` in a module of its own process ends that one alone."""
    before = {name: pid(node, name) for name in ALL}
    await node.sender.send("forked", "leave")
    await eventually(lambda: pid(node, "forked") not in (0, before["forked"]), timeout_s=15)
    assert {name: pid(node, name) for name in ALL if name != "forked"} == {
        name: found for name, found in before.items() if name != "forked"
    }
    assert zombies_of(node.process.pid) == []
    assert len(children_of(node.process.pid)) == 5  # nats-server, the node, three bundles' processes


async def test_forked_modules_end_in_order_with_a_killed_guardian(node: Running) -> None:
    """Their lifeline ends with it."""
    pids = [
        pid(node, "forked"),
        pid(node, "second"),
        *node.file["pids"].values(),
    ]  # all: the next test's server is near
    node.process.kill()
    await asyncio.to_thread(node.process.wait, 5)
    await eventually(lambda: not any(alive(one) for one in pids), timeout_s=10)
    stopped = [line for line in node.output().splitlines() if line.endswith("is STOPPED")]
    assert sum(" forked@" in line or " second@" in line for line in stopped) == 2


VENDORED = """
from lxml import _heapq
"""


async def test_a_bundle_whose_native_library_cannot_live_twice_is_forked_and_the_operator_told(tmp_path: Path) -> None:
    """Two bundles bring the same library that keeps its state outside of its file: the second goes to a process."""
    require_nats_server()
    native = getattr(_heapq, "__file__", None)
    if native is None:
        pytest.skip("this Python has _heapq built in")
    directory = tmp_path / "managed"
    for name in ("first_one", "second_one"):
        library = bundle(directory, name, VENDORED + good(name)) / "lib" / "lxml"
        library.mkdir(parents=True)
        (library / "__init__.py").touch()
        shutil.copy(native, library / "_heapq.so")
    async with running(directory) as node:
        await node.all_running("appmanager", "first_one", "second_one")
        entries = {entry.mode: entry for entry in node.registry.instances() if entry.name.endswith("_one")}
        assert entries.keys() == {"node", "fork"}
        forked = entries["fork"]
        assert forked.pid not in (0, entries["node"].pid)
        why = "lxml keeps per-thread state under a fixed key, and this process has a copy of it already"
        assert forked.reason == f"it can't live in a node: {why}"
        assert f"{forked.name} runs in mode fork: {why}" in node.output()
        assert await answers(node, forked.name)
        listed = await node.sender.request("appmanager", "list")
        assert {one["name"]: one["mode"] for one in listed} == {
            forked.name: "fork",
            entries["node"].name: "node",
        }
        before = forked.pid, node.file["pids"]["node"]
        os.kill(before[1], signal.SIGKILL)
        await eventually(lambda: node.file["pids"]["node"] != before[1], timeout_s=15)
        await node.all_running("appmanager", "first_one", "second_one")
        assert pid(node, forked.name) == before[0]
        assert node.stop() == 0


def test_a_guardian_that_cannot_load_what_is_shared_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A broken package of the host, even one that calls sys.exit, must not end the guardian."""
    (tmp_path / "broken_of_host.py").write_text("import sys; sys.exit('no')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(warm, "NEEDED", ("broken_of_host",))
    zygote = Zygote(Log(str(tmp_path / "log"), as_json=False))
    zygote.warm_up()
    assert not zygote.is_warm
    assert "run in mode process: loading what they share failed: SystemExit: no" in capfd.readouterr().err
