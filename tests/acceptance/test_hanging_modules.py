"""A module that hangs for ever in a node of a running site: the others run again, it goes to a process of its own.

Started by the real command; what can't be interrupted is met by the guardian, which replaces the node.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gridlink import address
from gridlink.bus.protocol import Answer
from gridlink.codec import codec
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.message import Message
from gridlink.node.process import open_bus
from gridlink.testing import eventually
from tests.acceptance.running import NODE, Running, bundle, good, running
from tests.acceptance.waiting import waited_s

pytestmark = pytest.mark.slow
HOG = Path(__file__).parents[1] / "nodemanager" / "watchdog" / "bundles" / "hog"
AGAIN_WITHIN_S = 3.0
COUNTER = good("innocent") + (
    "\n    def __init__(self): self.n = 0\n"
    "\n    @request('count')\n    async def count(self) -> int:\n        self.n += 1\n        return self.n\n"
    "\n    async def snapshot(self): return self.n\n"
    "\n    async def restore(self, state: int): self.n = state\n"
)


class Reports:
    """The events on topic `health`."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def take_event(self, message: Message) -> None:
        self.heard.append(codec(Any).decode(message.payload))

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        return NoSuchRole(f"nothing is answered, {message.type} came")


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A managed directory with a module that hangs and one that doesn't; both have a state."""
    target = tmp_path / "managed"
    target.mkdir()
    shutil.copytree(HOG, target / "hog", ignore=shutil.ignore_patterns("__pycache__"))
    bundle(target, "innocent", COUNTER)
    return target


@asynccontextmanager
async def site(managed: Path, *options: str) -> AsyncIterator[tuple[Running, Reports]]:
    """The node, both modules RUNNING and counted to 3."""
    async with running(managed, "--checkpoint-every", "0.3", *options) as node:
        await node.all_running("hog", "innocent")
        bus, reports = await open_bus("site", f"ear-{os.getpid()}", node.file["url"]), Reports()
        try:
            await bus.subscribe(address.topic("health"), "moduleHung", reports)
            for expected in (1, 2, 3):
                assert await node.sender.request("hog", "count") == expected
                assert await node.sender.request("innocent", "count") == expected
            yield node, reports
        finally:
            await bus.aclose()


async def checkpointed(managed: Path) -> None:
    """Returns when what was counted is on disk."""
    states = managed / ".gridlink" / "states"

    def kept() -> bool:
        files = [states / "hog", states / "innocent"]
        return all(file.exists() and file.read_bytes().endswith((b'{"counted":3}', b"\n3")) for file in files)

    await eventually(kept)


async def silent(node: Running) -> bool:
    """Whether the innocent module is kept from answering: the other one has begun to hang."""
    try:
        await node.sender.request("innocent", "ping", timeout_s=0.1)
    except GridlinkError:
        return True
    return False


async def answers_again(node: Running, since_s: float) -> float:
    """How long it took until the innocent module answered."""

    async def pings() -> bool:
        try:
            return bool(await node.sender.request("innocent", "ping", timeout_s=0.1) == "pong")
        except GridlinkError:
            return False

    await eventually(pings, timeout_s=15)
    return time.monotonic() - since_s


@pytest.mark.parametrize("how", ["long_c_call", "swallow_for_long", "callback_for_long"])
async def test_the_node_is_replaced_the_innocent_goes_on_the_offender_in_fork(managed: Path, how: str) -> None:
    """One call into C, `except:` around everything, and C that the loop calls: none of them can be interrupted."""
    async with site(managed) as (node, reports):
        await checkpointed(managed)
        pid = node.file["pids"]["node"]
        hanging = asyncio.ensure_future(node.sender.request("hog", "hang", how, timeout_s=1))  # noqa: TID251
        async with waited_s(node) as waited:
            began_s = time.monotonic()
            await eventually(partial(silent, node), timeout_s=5)
            took_s = await answers_again(node, began_s)
        print(f"{how}: the others again after {took_s:.2f} s, {waited.seconds:.2f} s of it waits for a processor")
        assert took_s - waited.seconds <= AGAIN_WITHIN_S
        with pytest.raises(GridlinkError):
            await hanging
        assert node.file["pids"]["node"] != pid
        assert await node.sender.request("innocent", "count") == 4
        entries = {entry.name: entry for entry in await node.all_running("hog", "innocent")}
        assert (entries["hog"].mode, entries["innocent"].mode) == ("fork", "node")
        assert await node.sender.request("hog", "count") == 4
        await eventually(lambda: reports.heard)
        report = reports.heard[0]
        assert (report["module"], report["action"]) == ("hog", "replaced")
        assert how == "callback_for_long" or f"_{how}" in report["stack"][0]


async def test_after_repeated_offence_it_moves_with_its_state_and_nobody_else_notices(managed: Path) -> None:
    """The node stays; what it had counted goes on in fork."""
    async with site(managed) as (node, reports):
        pid = node.file["pids"]["node"]
        for _ in range(3):
            with pytest.raises(GridlinkError, match="held the event loop"):
                await node.sender.request("hog", "hang", "sleep")
        await eventually(
            lambda: [entry for entry in node.registry.find(name="hog") if entry.mode == "fork"], timeout_s=10
        )
        assert await node.sender.request("hog", "count") == 4
        assert [report["action"] for report in reports.heard] == ["interrupted", "interrupted", "moved"]
        assert (await node.all_running("innocent"))[0].pid == pid == node.file["pids"]["node"]
        assert await node.sender.request("hog", "hang", "sleep") == "ended by itself"  # it harms nobody there


async def test_show_counts_the_hangs(managed: Path) -> None:
    """An operator who looks at a module sees that it has been slow."""
    async with site(managed, "--watchdog", "warn") as (node, _):
        assert await node.sender.request("hog", "hang", "sleep") == "ended by itself"
        program = Path(NODE).with_name("gridlink")
        arguments = [str(program), "-C", str(managed), "show", "hog"]
        shown = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
        out, _ = await shown.communicate()
        assert "hung 1" in out.decode()


async def test_limits_come_from_the_managed_directory_and_the_option_counts_more(managed: Path) -> None:
    """`watchdog.json` gives a module time; `--watchdog off` ends the watch."""
    (managed / "watchdog.json").write_text(json.dumps({"modules": {"hog": {"warn_s": 2.0, "interrupt_s": 3.0}}}))
    async with site(managed) as (node, reports):
        assert await node.sender.request("hog", "hang", "sleep") == "ended by itself"
        assert reports.heard == []
    (managed / "watchdog.json").unlink()
    async with running(managed, "--watchdog", "off") as node:
        await node.all_running("hog", "innocent")
        assert await node.sender.request("hog", "hang", "sleep") == "ended by itself"


def test_limits_that_can_not_be_kept_are_refused_before_anything_starts(managed: Path) -> None:
    """One line, with the file and the setting."""
    (managed / "watchdog.json").write_text('{"warn_s": 2.0, "interrupt_s": 1.0}')
    done = subprocess.run([NODE, "--manage", str(managed)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "watchdog.json: interrupt_s: expected warn_s (2.0) to 3600 seconds, got 1.0" in done.stderr


async def test_a_node_that_was_stopped_and_goes_on_is_not_replaced(managed: Path) -> None:
    """SIGSTOP for a while: nobody hung."""
    async with site(managed) as (node, reports):
        pid = node.file["pids"]["node"]
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(3)
        os.kill(pid, signal.SIGCONT)
        await answers_again(node, time.monotonic())
        await asyncio.sleep(1)
        assert node.file["pids"]["node"] == pid
        assert reports.heard == []


async def test_an_import_in_a_handler_has_more_time(managed: Path) -> None:
    """The first use of a large library on a slow board is no hang, for watchdog and guardian alike."""
    use = "\n    @request('use')\n    async def use(self) -> str:\n        import lazy.library\n        return 'used'\n"
    (bundle(managed, "lazy", good("lazy") + use) / "lazy" / "library.py").write_text("import time\ntime.sleep(2.5)\n")
    async with site(managed) as (node, reports):
        pid = node.file["pids"]["node"]
        await node.all_running("lazy")
        assert await node.sender.request("lazy", "use") == "used"
        assert node.file["pids"]["node"] == pid
        assert reports.heard == []


async def test_a_killed_node_goes_on_from_its_checkpoints(managed: Path) -> None:
    """kill -9: no state is older than its checkpoint."""
    async with site(managed) as (node, _):
        await checkpointed(managed)
        os.kill(node.file["pids"]["node"], signal.SIGKILL)
        await answers_again(node, time.monotonic())
        assert await node.sender.request("innocent", "count") == 4
        await node.all_running("hog")
        assert await node.sender.request("hog", "count") == 4


async def test_a_killed_process_of_a_module_goes_on_from_its_checkpoint(managed: Path) -> None:
    """Mode fork keeps states as mode node does."""
    async with site(managed, "--mode", "fork") as (node, _):
        await checkpointed(managed)
        (entry,) = await node.all_running("innocent")
        os.kill(entry.pid, signal.SIGKILL)

        async def is_another() -> bool:
            return any(e.pid not in (0, entry.pid) for e in await node.all_running("innocent"))

        await eventually(is_another, timeout_s=15)
        assert await node.sender.request("innocent", "count") == 4
