"""Modules with limits of their own beside those with the usual ones: each is met by its own. With real C calls.

A C call that never looks up is the guardian's to meet: no Python of the node runs meanwhile.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gridlink.errors import GridlinkError
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.acceptance.waiting import waited_s

AGAIN_WITHIN_S = 3.0
COMPUTES = """
    done = 0

    @request("compute")
    async def compute(self, seconds: float) -> None:
        import time
        began_s = time.thread_time()
        sum(range(1_000_000))
        took_s = time.thread_time() - began_s
        sum(range(int(1_000_000 * seconds / took_s)))
        self.done += 1

    @request("sleep")
    async def sleep(self, seconds: float) -> None:
        import time
        time.sleep(seconds)
        self.done += 1

    @request("how_many")
    async def how_many(self) -> int:
        return self.done
"""


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """A module that has time, one that hasn't, and one that suffers from both."""
    directory = tmp_path / "managed"
    for name in ("patient", "impatient"):
        bundle(directory, name, good(name) + COMPUTES)
    bundle(directory, "innocent", good("innocent"))
    modules = {name: {"warn_s": 4.0, "interrupt_s": 8.0} for name in ("patient", "nosuch")}
    (directory / "watchdog.json").write_text(json.dumps({"modules": modules}))
    return directory


async def begin(node: Running, role: str, how: str, seconds: float) -> None:
    """Has a module keep the loop for so long; its answer may be lost, as nobody hears from the node meanwhile."""
    with pytest.raises(GridlinkError):
        await node.sender.request(role, how, seconds, timeout_s=0.3)


async def answer(node: Running, role: str, question: str) -> Any:
    """What a module answers at once; None where it doesn't."""
    try:
        return await node.sender.request(role, question, timeout_s=0.1)
    except GridlinkError:
        return None


async def test_an_impatient_module_that_hangs_is_met_though_a_patient_one_is_beside_it(managed: Path) -> None:
    """It is named, the node replaced without it, and the others answer within three seconds."""
    async with running(managed) as node:
        await node.all_running("patient", "impatient", "innocent", "appmanager")
        assert "watchdog.json: modules.nosuch: no bundle has that name" in node.output()
        assert "modules.patient" not in node.output()
        pid, began_s = node.file["pids"]["node"], time.monotonic()
        async with waited_s(node) as waited:
            await begin(node, "impatient", "compute", 3600.0)
            await eventually(partial(answer, node, "innocent", "ping"), timeout_s=30)
        took_s = time.monotonic() - began_s
        print(f"the others again after {took_s:.2f} s, of which {waited.seconds:.2f} s were waits for a processor")
        assert took_s - waited.seconds <= AGAIN_WITHIN_S
        assert node.file["pids"]["node"] != pid
        entries = {e.name: e for e in await node.all_running("patient", "impatient", "innocent")}
        modes = [entries[name].mode for name in ("patient", "impatient", "innocent")]
        assert modes == ["node", "fork", "node"]
        assert "impatient held the event loop for " in entries["impatient"].reason
        counters = await node.sender.request(f"_node@{entries['impatient'].node}", "counters")
        assert counters[entries["impatient"].instance]["hung"] == 1


async def test_a_patient_module_uses_its_time_beside_impatient_ones(managed: Path) -> None:
    """Longer than the usual limit by far, and nothing is replaced; nobody is blamed."""
    async with running(managed) as node:
        await node.all_running("patient", "impatient", "innocent", "appmanager")
        pid = node.file["pids"]["node"]
        await begin(node, "patient", "compute", 2.5)
        await eventually(partial(answer, node, "patient", "how_many"), timeout_s=40)
        assert await node.sender.request("innocent", "ping") == "pong"
        assert node.file["pids"]["node"] == pid
        assert "held the event loop" not in node.output()


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", ["compute", "sleep"])
async def test_a_limit_beyond_the_guardians_patience_with_silence_is_kept(managed: Path, how: str) -> None:
    """Ten seconds without a heartbeat end a node, but not where a module with more time is known to hold it."""
    limits = {"modules": {"patient": {"warn_s": 13.0, "interrupt_s": 20.0}}}
    (managed / "watchdog.json").write_text(json.dumps(limits))
    async with running(managed) as node:
        await node.all_running("patient", "impatient", "innocent", "appmanager")
        pid = node.file["pids"]["node"]
        await begin(node, "patient", how, 12.0)
        await eventually(partial(answer, node, "patient", "how_many"), timeout_s=100)
        assert node.file["pids"]["node"] == pid
        assert "has said nothing" not in node.output()
        assert await node.sender.request("innocent", "ping") == "pong"
