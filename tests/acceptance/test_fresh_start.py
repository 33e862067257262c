"""An operator's `start` of what was given up: it has all its restarts again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import bundle, good, running
from tests.cli.conftest import run

FAILS = """
    async def start(self) -> None:
        raise OSError("there is no lamp")
"""


@pytest.mark.parametrize("mode", ["node", "process"])
async def test_a_start_forgets_the_failures_before_it(tmp_path: Path, mode: str) -> None:
    """By one policy in all modes: one restart and no more within the minute, and again one after `start`."""
    managed = tmp_path / "managed"
    restart = {"intensity": 1, "period_s": 60, "backoff_s": [0.05, 0.1]}
    bundle(managed, "lamp", good("lamp") + FAILS, mode=mode, restart=restart)
    bundle(managed, "other", good("other"))
    given_up = "(failed more than 1 times in 60 s, given up)"
    async with running(managed) as node:
        await node.all_running("other")
        await eventually(lambda: given_up in node.state("lamp")[1], timeout_s=20)
        assert node.output().count("(again in 0.05 s)") == 1
        started = await asyncio.to_thread(run, "-C", managed, "start", "lamp")
        assert (started.status, "there is no lamp" in started.err) == (1, True), started
        await eventually(lambda: node.output().count(given_up) == 2, timeout_s=20)
        assert node.output().count("(again in 0.05 s)") == 2
