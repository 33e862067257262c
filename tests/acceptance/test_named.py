"""What the modules of one node leave undone is named after them: in the log, and by `gridlink stack`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridlink.testing import eventually
from tests.acceptance.running import Running, bundle, good, running
from tests.cli.conftest import run

MAKER = """
    @request("leave")
    async def leave(self) -> None:
        import asyncio, logging, threading, warnings, wired
        async def fails():
            raise ValueError("nobody awaits it")
        async def waits():
            await asyncio.Event().wait()
        def breaks():
            raise ValueError("nobody calls it")
        class Cycle: pass
        for coroutine in (fails(), waits()):
            cycle = Cycle()
            cycle.self, cycle.task = cycle, asyncio.create_task(coroutine)
        del cycle
        self.kept = asyncio.create_task(waits())
        asyncio.get_running_loop().call_soon(breaks)
        logging.getLogger("a.library").warning("from a library")
        warnings.warn("from its code")
        threading.Thread(target=lambda: logging.getLogger("a.library").warning("from its own thread")).start()
        threading.Thread(target=wired.say).start()
        extra = {"instance": "of a database"}
        threading.Thread(target=lambda: logging.getLogger("a.library").warning("with its extra", extra=extra)).start()
"""
COLLECTOR = """
    @request("collect")
    async def collect(self) -> int:
        import gc
        return gc.collect()
"""


def lines(node: Running, text: str) -> list[str]:
    """Whom the log's lines with that text name."""
    return [line.split(": ")[0].split()[-1] for line in node.output().splitlines() if text in line]


@pytest.mark.parametrize("brings", [False, True], ids=["plain", "with a lib/"])
async def test_what_a_module_leaves_undone_is_named_after_it(tmp_path: Path, brings: bool) -> None:
    """asyncio tells of a lost task where garbage is collected: in whatever module's name that happens."""
    managed = tmp_path / "managed"
    made = bundle(managed, "maker", good("maker") + MAKER)
    bundle(managed, "other", good("other") + COLLECTOR)
    directory = made / "lib" if brings else made
    directory.mkdir(exist_ok=True)
    wired = directory / "wired.py"
    wired.write_text("import logging\ndef say(): logging.getLogger('wired').warning('from a thread of its library')\n")
    async with running(managed) as node:
        (maker, other) = await node.all_running("maker", "other")
        assert maker.pid == other.pid
        await node.sender.request("maker", "leave")
        stack = await asyncio.to_thread(run, "-C", managed, "stack", "maker")
        for name in ("waits", "Probe.leave"):
            assert name in stack.out
        assert stack.out.startswith(f"{maker.instance}  2 tasks and threads")
        await node.sender.request("other", "collect")
        await eventually(lambda: lines(node, "Task was destroyed but it is pending!"))
        for text in (
            "Task exception was never retrieved",
            "Task was destroyed but it is pending!",
            "Exception in callback Probe.leave.<locals>.breaks()",
            "from a library",
            "UserWarning: from its code",
            "from its own thread",
            "from a thread of its library",
            "with its extra",
        ):
            assert lines(node, text) == [maker.instance], text
        assert "ValueError: nobody awaits it" in node.output()
