"""What a module can't take is counted, and `gridlink show` tells."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nats

from gridlink.testing import eventually
from tests.acceptance.running import bundle, running

STUCK = '''
"""Never comes back."""

import asyncio

from gridlink import Module, request, subscribe


class Probe(Module[None]):
    """Waits for nothing."""

    roles = ("stuck",)
    stop_within_s = 0.1

    @request("hold")
    async def hold(self) -> None:
        """Waits."""
        await asyncio.Event().wait()

    @subscribe("readings", "reading")
    async def reading(self, value: int) -> None:
        """Waits."""
        await asyncio.Event().wait()
'''
EVENTS, REQUESTS = 3000, 70
WAITING, IN_FLIGHT = 1024, 64


def show(managed: Path, *options: str) -> str:
    """What `gridlink show` prints of the module."""
    program = str(Path(sys.executable).with_name("gridlink"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NATS_", "GRIDLINK_"))}
    command = [program, "-C", str(managed), "show", "stuck", *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout


async def test_dropped_events_and_busy_requests_are_counted_and_shown(tmp_path: Path) -> None:
    """A module that hangs must be seen from outside, and what it cost the others."""
    managed = bundle(tmp_path / "managed", "stuck", STUCK).parent
    async with running(managed, "--mode", "node") as node:
        await node.all_running("stuck")
        plain = await nats.connect(node.file["url"])
        refused: list[dict[str, Any]] = []

        async def answered(message: Any) -> None:
            refused.append(json.loads(message.data))

        await plain.subscribe("answers", cb=answered)
        for number in range(EVENTS):
            await plain.publish("gl.site.topic.readings.reading", str(number).encode())
        for _ in range(REQUESTS):
            await plain.publish("gl.site.role.stuck.hold", b"", reply="answers")
        await eventually(lambda: len(refused) == REQUESTS - IN_FLIGHT)
        assert {one["error"] for one in refused} == {"Busy"}
        shown, told = await asyncio.gather(asyncio.to_thread(show, managed), asyncio.to_thread(show, managed, "--json"))
        await plain.close()
    counters = json.loads(told)["modules"][0]["counters"]
    assert counters["dropped_events"] == EVENTS - WAITING - 1
    assert counters["busy"] == REQUESTS - IN_FLIGHT
    last = shown.splitlines()[-1]
    assert f"dropped_events {EVENTS - WAITING - 1}" in last
    assert f"busy {REQUESTS - IN_FLIGHT}" in last
