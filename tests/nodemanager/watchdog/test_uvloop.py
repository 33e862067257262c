"""The same on uvloop, whose handles and loop are C: who holds it is found all the same. Where it is installed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from gridlink.errors import HandlerFailed
from tests.acceptance.running import bundle
from tests.nodemanager.watchdog.test_hanging import BUSY, hang, host, watched

uvloop = pytest.importorskip("uvloop")
pytestmark = pytest.mark.timeout(60, method="thread")  # by signal, SIGALRM would be taken


def run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop, in this thread: signals are handled in the process's main one alone."""
    assert threading.current_thread() is threading.main_thread()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@pytest.mark.parametrize("how", ["sleep", "loop", "regex", "query"])
def test_it_is_named_and_interrupted(tmp_path: Path, how: str) -> None:
    """As on asyncio's loop."""

    async def main() -> None:
        async with watched(tmp_path) as site:
            assert isinstance(await hang(site, how), HandlerFailed)
            report = await site.event("health", "moduleHung")
            assert (report["module"], report["action"]) == ("hog", "interrupted")
            assert any(line.endswith(f" Hog._{how}") for line in report["stack"])
            assert await site.request("hog", "count") == 1

    run(main())


def test_a_callback_of_c_is_named_by_its_context(tmp_path: Path) -> None:
    """No frame of the module is on the stack."""

    async def main() -> None:
        async with watched(tmp_path) as site:
            assert await hang(site, "callback") == "ended by itself"
            assert (await site.event("health", "moduleHung"))["module"] == "hog"

    run(main())


def test_many_short_steps_are_no_hang(tmp_path: Path) -> None:
    """Each step answers for itself."""

    async def main() -> None:
        async with watched(tmp_path, warn_s=0.1, interrupt_s=0.2) as site:
            await host(site, bundle(tmp_path, "busy", BUSY))
            await asyncio.gather(*(site.request("busy", "burn", timeout_s=20) for _ in range(60)))
            assert site.counters("busy").hung == 0

    run(main())
