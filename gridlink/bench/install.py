"""`gridlink bench install`: how long a small bundle takes from the command to RUNNING, as a site sees it.

Real: a node, its AppManager, a packed bundle, each time anew. The first install loads what carries commands out.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from appmanager.orders import BundleOrder, Ended, UninstallOrder
from gridlink.bench.errors import BenchFailed
from gridlink.bench.run import compiled, looking, node
from gridlink.bench.update import NAME, packed, written
from gridlink.errors import ConnectionLost
from gridlink.module.sender import Sender
from gridlink.registry import Registry
from gridlink.tasks import Tasks

WITHIN_S, AGAIN_S = 60.0, 0.1
FIRST = "lamp"  # that the node has something to run
Say = Callable[[str], None]


async def install(mode: str, rounds: int, say: Say) -> dict[str, Any]:
    """Measures one mode; returns the report as plain JSON types. Raises BenchFailed, RequestTimeout."""
    took_s = []
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        directory = Path(temporary)
        managed = directory / "managed"
        written(managed / FIRST, "1.0.0", "node", FIRST)
        compiled(managed)
        order = packed(directory, "1.0.0", mode)
        async with node(managed, (), ("appmanager", FIRST)) as run, looking(run.url) as (registry, sender):
            manager = run.entries[0].instance
            for number in range(rounds):
                say(f"mode {mode}: install {number + 1} of {rounds}")
                took_s.append(await _installed(registry, sender, manager, order))
                gone = UninstallOrder(secrets.token_hex(8), NAME)
                await _asked(sender, manager, "uninstall", gone)
    return report(mode, took_s)


def report(mode: str, took_s: list[float]) -> dict[str, Any]:
    """Times from the command to RUNNING: of the first install, the median of all, the longest. Pure."""
    found = {"first_ms": took_s[0], "median_ms": statistics.median(took_s), "longest_ms": max(took_s)}
    return {"mode": mode, "installs": len(took_s), **{name: round(s * 1000, 1) for name, s in found.items()}}


async def _installed(registry: Registry, sender: Sender, manager: str, order: BundleOrder) -> float:
    """Seconds until the module is RUNNING; returns once the command has ended, which is a health window later."""
    order = msgspec.structs.replace(order, id=secrets.token_hex(8))
    began_s = time.perf_counter()
    tasks = Tasks("bench install")
    try:
        asked = tasks.spawn(_asked(sender, manager, "install", order), name="install", awaited=True)
        runs = tasks.spawn(registry.wait_for(name=NAME, timeout_s=WITHIN_S), name="RUNNING", awaited=True)
        await asyncio.wait({asked, runs}, return_when=asyncio.FIRST_COMPLETED)
        took_s = time.perf_counter() - began_s
        await asked
        await runs
    finally:
        await tasks.aclose()
    return took_s


async def _asked(sender: Sender, manager: str, word: str, order: BundleOrder | UninstallOrder) -> None:
    """Has it done, once: where the link is lost it asks again with the same id. Raises BenchFailed, ConnectionLost."""
    by_s = time.monotonic() + WITHIN_S
    while True:
        try:
            ended = await sender.request(manager, word, msgspec.to_builtins(order), reply=Ended, timeout_s=WITHIN_S)
        except ConnectionLost:
            if time.monotonic() > by_s:
                raise
            await asyncio.sleep(AGAIN_S)
            continue
        if ended.end != "done":
            raise BenchFailed(f"an {word} was {ended.end} in step {ended.step}: {ended.reason}")
        return
