"""What hangs instead of dying: a module under a killed guardian, nats-server, a module that won't stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from gridlink.errors import GridlinkError
from gridlink.node.lifeline import STUCK_CPU_S
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.appmanager.guardian.processes import alive, answers, pid
from tests.gridlink.conftest import require_nats_server

BLOCKING = """
    @request("block")
    async def block(self) -> None:
        CODE
"""
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text()
IN_PYTHON = "import time\n        time.sleep(600)"
IN_C = "import hashlib\n        hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"  # checks for no signal


def blocking(role: str, code: str) -> str:
    """A module that on request keeps the loop for good."""
    return good(role) + BLOCKING.replace("CODE", code)


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A module that blocks in Python and one that blocks in C, each in a process of its own."""
    require_nats_server()
    directory = tmp_path / "managed"
    bundle(directory, "sleeper", blocking("sleeper", IN_PYTHON), mode="process")
    bundle(directory, "number", blocking("number", IN_C), mode="process")
    return directory


async def block(node: Running, *roles: str) -> None:
    """Has the modules block, and returns when they do."""
    tasks = Tasks("test")
    for role in roles:
        tasks.spawn(_ask(node, role), name=role)
    for role in roles:
        await eventually(partial(_is_silent, node, role))


async def _is_silent(node: Running, role: str) -> bool:
    return not await answers(node, role)


async def _ask(node: Running, role: str) -> None:
    with pytest.raises(GridlinkError):
        await node.sender.request(role, "block", timeout_s=0.5)


async def test_what_survives_a_killed_guardian_is_ended_by_the_next_one(managed: Path) -> None:
    """Neither sees its lifeline's end in its loop, and one is deaf to signals: still nothing runs twice."""
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number")
        stuck = [pid(node, "sleeper"), pid(node, "number")]
        await block(node, "sleeper", "number")
        node.process.kill()
        await asyncio.to_thread(node.process.wait, 5)
        assert all(alive(one) for one in stuck)
        (managed / ".gridlink" / "node.json").unlink()  # the helper waits for the new one
    async with running(managed) as again:
        await again.all_running("appmanager", "sleeper", "number")
        assert not any(alive(one) for one in stuck)
        assert f"process {stuck[1]} has outlived a former guardian: it is killed" in again.output()
        assert await answers(again, "sleeper")


@pytest.mark.slow
async def test_a_module_that_blocks_in_python_does_not_outlive_a_killed_guardian_for_long(managed: Path) -> None:
    """Also where nobody starts another guardian: the end of the lifeline interrupts it."""
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number")
        sleeper = pid(node, "sleeper")
        await block(node, "sleeper")
        node.process.kill()
        await eventually(lambda: not alive(sleeper), timeout_s=12)
        assert "time.sleep(600)" in node.output() or 'File "' in node.output()  # the stack says where it hung


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_module_that_computes_in_c_ends_too_where_nobody_starts_another_guardian(managed: Path) -> None:
    """No Python runs there, so nothing of ours: the kernel ends it by a timer of its processor time."""
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number")
        number = pid(node, "number")
        await block(node, "number")
        node.process.kill()
        await asyncio.to_thread(node.process.wait, 5)
        assert alive(number)
        await eventually(lambda: not alive(number), timeout_s=STUCK_CPU_S * 3)


async def test_a_process_id_that_is_somebody_elses_by_now_is_left_alone(managed: Path) -> None:
    """The id alone proves nothing: the time of its start has to fit, too."""
    state = managed / ".gridlink"
    state.mkdir()
    other = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        (state / "children").write_text(f"{BOOT}{other.pid} 1\n")
        async with running(managed) as node:
            await node.all_running("appmanager", "sleeper", "number")
            assert alive(other.pid)
    finally:
        other.kill()
        await other.wait()


async def test_a_guardian_that_ends_in_order_leaves_no_list_of_children(managed: Path) -> None:
    """No leftover file, and while it runs every child is in it."""
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number")
        noted = (managed / ".gridlink" / "children").read_text().splitlines()[1:]
        pids = {int(line.split()[0]) for line in noted}
        assert pids == {pid(node, "sleeper"), pid(node, "number"), node.file["pids"]["node"]} | {
            node.file["pids"]["nats_server"]
        }
        assert node.stop() == 0
    assert not (managed / ".gridlink" / "children").exists()


@pytest.mark.slow
async def test_a_server_that_hangs_is_replaced_and_node_json_names_the_new_one(managed: Path) -> None:
    """A stopped nats-server still accepts connections, by the kernel; nobody is answered."""
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number")
        before = node.file["pids"]["nats_server"]
        os.kill(before, signal.SIGSTOP)
        await eventually(lambda: not alive(before), timeout_s=15)
        await eventually(partial(answers, node, "sleeper"), timeout_s=15)
        await eventually(lambda: node.file["pids"]["nats_server"] != before, timeout_s=5)
        assert alive(node.file["pids"]["nats_server"])
        assert "nats_server answers nobody: it is killed" in node.output()


async def test_node_json_names_a_killed_servers_successor(managed: Path) -> None:
    """Who looks at the site by its file must not be told of a process that was."""
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number")
        before = node.file["pids"]["nats_server"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: node.file["pids"]["nats_server"] != before, timeout_s=10)
        assert alive(node.file["pids"]["nats_server"])


SLOW_STOP = """
    stop_within_s = 300.0
    async def stop(self) -> None:
        import asyncio
        await asyncio.sleep(300)
"""


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_modules_that_never_stop_are_ended_within_the_guardians_own_time(tmp_path: Path) -> None:
    """One deadline for all of it: five that hang don't take five times as long, and none is left."""
    require_nats_server()
    directory = tmp_path / "managed"
    for number, mode in enumerate(("node", "node", "process", "fork", "process")):
        bundle(directory, f"slow_{number}", good(f"slow_{number}") + SLOW_STOP, mode=mode)
    async with running(directory) as node:
        names = [f"slow_{number}" for number in range(5)]
        await node.all_running("appmanager", *names)
        pids = [pid(node, name) for name in names]
        node.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        assert await asyncio.to_thread(node.process.wait, 40) == 0
        assert time.monotonic() - began_s < 24
        assert not any(alive(one) for one in pids)


VANDAL = """
    @request("scribble")
    async def scribble(self) -> None:
        import fcntl, os
        for name in os.listdir("/proc/self/fd"):
            try:
                is_pipe = os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
                if is_pipe and int(name) > 2 and fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_WRONLY:
                    os.write(int(name), b"\\nspawn\\n\\xff\\tx\\nstop\\tsleeper\\tnever\\n")
                    os.write(int(name), b"spawn\\ta\\tfork\\nend\\nstop\\tsleeper\\n")
            except OSError:
                continue
"""


async def test_what_a_module_scribbles_into_the_nodes_pipes_does_not_end_the_guardian(managed: Path) -> None:
    """The guardian outlives what its node does, also to the guardian itself."""
    bundle(managed, "vandal", good("vandal") + VANDAL)
    async with running(managed) as node:
        await node.all_running("appmanager", "sleeper", "number", "vandal")
        before = pid(node, "sleeper")
        await node.sender.request("vandal", "scribble")
        await eventually(lambda: node.output().count("was passed over") >= 4)
        assert await answers(node, "sleeper")
        assert await answers(node, "vandal")
        assert pid(node, "sleeper") == before
        assert node.stop() == 0
