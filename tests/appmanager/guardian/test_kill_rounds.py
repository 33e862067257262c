"""kill -9 of whatever runs, again and again: all run again soon, and nothing is left over."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.appmanager.guardian.processes import alive, answers, children_of, pid, zombies_of
from tests.gridlink.conftest import require_nats_server

MODES = {"inside": "node", "forked": "fork", "second": "fork", "apart": "process"}
ROUNDS = 16
WITHIN_S = 8.0  # the aim is 3 s, on a machine that does nothing else


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A bundle in each mode. They may end often: what is tested is not when they are given up."""
    require_nats_server()
    directory = tmp_path / "managed"
    for name, mode in MODES.items():
        restart = {"intensity": 100, "backoff_s": [0.05, 0.2]}
        bundle(directory, name, good(name), mode=mode, restart=restart, resources={"memory_mib": 16})
    return directory


def pids(node: Running) -> dict[str, int]:
    """The process of each module, of the node and of nats-server."""
    named = {name: pid(node, name) for name in MODES}
    return named | {name: node.file["pids"][name] for name in ("node", "nats_server")}


async def whole(node: Running, killed: int) -> bool:
    """Whether all run and answer, none of them in the process that was killed."""
    found = pids(node)
    if killed in found.values() or not all(alive(one) for one in found.values()):
        return False
    return all([await answers(node, name) for name in MODES])


@pytest.mark.slow
@pytest.mark.timeout(ROUNDS * 12)
async def test_whatever_is_killed_all_run_again_soon_and_nothing_is_left_over(managed: Path) -> None:
    """Random victims from a seed that is printed; those that weren't hit keep their processes."""
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    async with running(managed) as node:
        await node.all_running("appmanager", *MODES)
        for number in range(ROUNDS):
            before = pids(node)
            victim = chance.choice(sorted(before))
            if victim in ("node", "inside", "nats_server") and number > 8:
                victim = "forked"  # the node and the server have an intensity of 5 a minute, which holds
            os.kill(before[victim], signal.SIGKILL)
            began_s = time.monotonic()
            await eventually(partial(whole, node, before[victim]), timeout_s=WITHIN_S)
            print(f"{victim}: {time.monotonic() - began_s:.2f} s")
            after = pids(node)
            spared = {"forked", "second", "apart"} - {victim}
            assert {name: after[name] for name in spared} == {name: before[name] for name in spared}
            assert zombies_of(node.process.pid) == []
            assert sorted(children_of(node.process.pid)) == sorted(set(after.values()))
        assert node.stop() == 0
    left = {path.name for path in (managed / ".gridlink").iterdir()}
    assert left <= {"lock", "logs", "nats", "data", "states"}


@pytest.mark.slow
async def test_a_killed_guardian_that_is_started_again_at_once_has_all_running_soon(managed: Path) -> None:
    """As systemd would: it doesn't wait for the children of the former, which are still ending."""
    async with running(managed) as node:
        await node.all_running("appmanager", *MODES)
        former = pids(node)
        node.process.kill()
        await asyncio.to_thread(node.process.wait, 5)
        (managed / ".gridlink" / "node.json").unlink()
        began_s = time.monotonic()
        async with running(managed) as again:
            await eventually(lambda: whole(again, 0), timeout_s=WITHIN_S)
            print(f"guardian: {time.monotonic() - began_s:.2f} s")
            assert not any(alive(one) for one in former.values())
