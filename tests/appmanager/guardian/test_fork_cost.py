"""What one more trivial module costs in a process of its own, forked and fresh, on a machine that may be busy."""

from __future__ import annotations

import asyncio
import compileall
import json
import sys
from pathlib import Path
from statistics import median

import pytest

from gridlink.bus.server import Server, configuration
from tests.acceptance.running import bundle, good
from tests.gridlink.conftest import require_nats_server

ROOT = Path(__file__).parents[3]


async def cost(url: str, directory: Path, mode: str, count: int) -> dict[str, float]:
    """Medians of what `fork_cost` measures."""
    command = [sys.executable, "-m", "tests.appmanager.guardian.fork_cost", url, str(directory), mode, str(count)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return {name: median(numbers) for name, numbers in json.loads(output).items()}


@pytest.mark.slow
async def test_a_forked_module_is_ready_sooner_and_takes_less_than_a_fresh_interpreter(tmp_path: Path) -> None:
    """What mode `fork` is for."""
    require_nats_server()
    directory = bundle(tmp_path, "trivial", good("trivial"))
    compileall.compile_dir(directory, quiet=1)
    file = tmp_path / "nats-server.conf"
    file.write_text(configuration("cost", -1, str(tmp_path)))
    with Server(str(file)) as server:
        forked = await cost(server.url, directory, "fork", 20)
        fresh = await cost(server.url, directory, "process", 5)
    print(forked, fresh)
    assert forked["ready_ms"] < min(100.0, fresh["ready_ms"] / 2)
    assert forked["private_kib"] < min(9 * 1024, fresh["private_kib"] * 0.65)
