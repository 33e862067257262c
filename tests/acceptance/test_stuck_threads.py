"""A handler in a thread that never returns: its module, and the process that it is in, end all the same."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from gridlink.errors import ConnectionLost, RequestTimeout
from gridlink.tasks import Tasks
from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, running
from tests.gridlink.conftest import require_nats_server

SLEEPER = """
import time
from gridlink import Module, request

class Probe(Module[None]):
    '''Sleeps in a thread.'''
    roles = ("sleeper",)
    stop_within_s = STOP_S

    @request("begun")
    async def begun(self) -> bool:
        return self.is_begun

    @request("sleep", thread=True)
    def sleep(self) -> None:
        self.is_begun = True
        time.sleep(60)

    is_begun = False
"""
LONG_S = 15.0  # a stop takes so long where a stuck thread is waited for
AT_ONCE_S = 8.0


async def ended_s(node: Running) -> float:
    """Ends the node as systemd would; returns how long that took."""
    began_s = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(node.process.wait, 40) == 0
    return time.monotonic() - began_s


@pytest.mark.parametrize("mode", ["node", "process", "fork"])
async def test_a_process_ends_though_a_thread_in_it_sleeps(tmp_path: Path, mode: str) -> None:
    """Python itself would wait for the thread as long as that takes."""
    require_nats_server()
    bundle(tmp_path / "managed", "sleeper", SLEEPER.replace("STOP_S", str(LONG_S)), mode=mode)
    async with running(tmp_path / "managed") as node:
        await node.all_running("sleeper")
        with pytest.raises(RequestTimeout):
            await node.sender.request("sleeper", "sleep", timeout_s=0.3)
        assert await ended_s(node) < AT_ONCE_S
        assert "its thread in sleep still runs; it is not waited for" in node.output()


async def test_a_sender_that_still_waits_for_a_stuck_thread_gets_its_error_at_a_stop(tmp_path: Path) -> None:
    """And not when its own time is over, a minute later."""
    require_nats_server()
    bundle(tmp_path / "managed", "sleeper", SLEEPER.replace("STOP_S", "0.5"))
    async with running(tmp_path / "managed") as node:
        await node.all_running("sleeper")
        asking = Tasks("test").spawn(node.sender.request("sleeper", "sleep", timeout_s=60), name="ask", awaited=True)
        await eventually(lambda: node.sender.request("sleeper", "begun"))
        began_s = time.monotonic()
        await eventually(lambda: time.monotonic() - began_s > 0.5)
        assert await ended_s(node) < AT_ONCE_S
        with pytest.raises(ConnectionLost):
            await asking
