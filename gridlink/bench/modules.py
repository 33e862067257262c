"""`gridlink bench modules`: many trivial modules in one node, and what one more costs in each mode.

The bundles are ordinary ones on disk (see gridlink.bench.trivial), run by an ordinary `gridlink-node`.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from gridlink.bench import pages
from gridlink.bench.pages import Footprint, mib
from gridlink.bench.run import Site, looking, node
from gridlink.bench.soak_figure import Figure
from gridlink.bench.soak_site import bench_server
from gridlink.bench.trivial import asker_bundle, trivial_bundles
from gridlink.lifecycle import State
from gridlink.module.sender import Sender
from gridlink.registry import Registry
from gridlink.tasks import Tasks

FEW = 10  # modules of the node with which the one with many is compared
SETTLE_S = 3.0
CHAIN, CHAINS = 5, 4  # as many as the use case has: each process that is there makes the next 0.7 ms later
ASK_ALL_WITHIN_S = 120.0
OPTIONS = {
    "node": ("--mode", "node"),
    "fork": ("--mode", "fork", "--without-nodemanager"),
    "process": ("--mode", "process", "--without-nodemanager"),
}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Crowd:
    """A node with many modules: what all its Python processes take, when all were RUNNING, how long requests took."""

    modules: int
    pss_bytes: float
    running_after_s: float
    from_within_ms: Sequence[float] = ()
    over_nats_ms: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class OneMore:
    """A mode: after how many milliseconds each further module was RUNNING, and what its process has for itself."""

    ready_ms: Sequence[float]
    private_bytes: Sequence[int] = ()


async def modules(count: int, requests: int, say: Say) -> dict[str, Any]:
    """Measures; returns the report as plain JSON types. Raises BenchFailed."""
    say(f"{count} trivial modules start in one node")
    many = await crowd(count, requests)
    few = await crowd(FEW, 0)
    one_more = {}
    for mode in OPTIONS:
        say(f"{CHAINS} times {CHAIN} modules start one after the other in mode {mode}")
        one_more[mode] = _joined([await chain(mode) for _ in range(CHAINS)])
    return report(many, few, one_more)


def _joined(chains: Sequence[OneMore]) -> OneMore:
    ready_ms = [took_ms for one in chains for took_ms in one.ready_ms]
    return OneMore(ready_ms, [taken for one in chains for taken in one.private_bytes])


async def crowd(count: int, requests: int) -> Crowd:
    """So many trivial modules in one node, and so many requests to any of them, each way."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        managed = Path(temporary) / "managed"
        names = trivial_bundles(managed, count)
        asker = asker_bundle(managed)
        async with node(managed, OPTIONS["node"], [*names, asker]) as run:
            await asyncio.sleep(SETTLE_S)
            pss_bytes = sum(found.pss for found in _python(run).values())
            if not requests:
                return Crowd(count, pss_bytes, run.running_after_s)
            within_ms, nats_ms = await _asked(run, requests)
    return Crowd(count, pss_bytes, run.running_after_s, within_ms, nats_ms)


async def _asked(run: Site, requests: int) -> tuple[list[float], list[float]]:
    """Milliseconds of requests to any module, each asked once before: from another in its node, and from outside."""
    asker = run.entries[-1].instance
    instances = [entry.instance for entry in run.entries[:-1]]
    drawn = random.Random(0).choices(instances, k=requests)
    async with looking(run.url) as (_, sender):
        await sender.request(asker, "ask_all", instances, timeout_s=ASK_ALL_WITHIN_S)
        within = await sender.request(asker, "ask_all", drawn, reply=list[float], timeout_s=ASK_ALL_WITHIN_S)
        return within, [await _request_ms(sender, instance) for instance in drawn]


async def _request_ms(sender: Sender, instance: str) -> float:
    began_s = time.perf_counter()
    await sender.request(instance, "ask", reply=int)
    return (time.perf_counter() - began_s) * 1000


async def chain(mode: str) -> OneMore:
    """CHAIN modules in a mode after a first one, each started when the one before it is RUNNING; seen from outside."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        directory = Path(temporary)
        names = trivial_bundles(directory / "managed", CHAIN + 1, chained=True)
        with bench_server(directory) as server:
            async with looking(server.url) as (registry, _), _running_s(registry) as running_s:
                options = (*OPTIONS[mode], "--nats", server.url)
                async with node(directory / "managed", options, names) as run:
                    await asyncio.sleep(SETTLE_S)
                    took = _python(run)
                    private = [] if mode == "node" else [took[entry.pid].uss for entry in run.entries]
                    ready_ms = [
                        (later - earlier) * 1000 for earlier, later in pairwise(running_s[name] for name in names)
                    ]
    return OneMore(ready_ms, private)


@asynccontextmanager
async def _running_s(registry: Registry) -> AsyncIterator[dict[str, float]]:
    """When modules were first seen RUNNING, by name; monotonic seconds."""
    seen: dict[str, float] = {}

    async def watch() -> None:
        async for change in registry.watch():
            if change.after is not None and change.after.state is State.RUNNING:
                seen.setdefault(change.after.name, time.monotonic())

    tasks = Tasks("bench")
    tasks.spawn(watch(), name="watch")
    try:
        yield seen
    finally:
        await tasks.aclose()


def _python(run: Site) -> dict[int, Footprint]:
    """The run's processes without nats-server."""
    return pages.measure(pid for pid in run.pids() if pid != run.nats_server)


def report(many: Crowd, few: Crowd, one_more: dict[str, OneMore]) -> dict[str, Any]:
    """The report of what was found. `held`: whether every figure is within its limit. Pure."""
    each_kib = (many.pss_bytes - few.pss_bytes) / max(many.modules - few.modules, 1) / 1024
    together, more, ready_after = f"{many.modules} in one node", "one more", "one more RUNNING after"
    figures = [
        (together, Figure("PSS of all Python processes", mib(many.pss_bytes), "MiB", 180.0)),
        (together, Figure("all RUNNING after", many.running_after_s, "s", 20.0)),
        *((together, figure) for figure in _requests("from their node", many.from_within_ms)),
        *((together, figure) for figure in _requests("over NATS", many.over_nats_ms)),
        (more, Figure("mode node, PSS", round(each_kib, 1), "KiB", 150.0)),
    ]
    for mode, limit_mib in (("fork", 5.0), ("process", None)):
        private = median(one_more[mode].private_bytes)
        figures.append((more, Figure(f"mode {mode}, private", mib(private), "MiB", limit_mib)))
    for mode, limit_ms in (("node", 10.0), ("fork", 25.0), ("process", None)):
        ready = round(median(one_more[mode].ready_ms), 1)
        figures.append((ready_after, Figure(f"mode {mode}, median of {CHAIN * CHAINS}", ready, "ms", limit_ms)))
    rows = [{"part": part, **figure.row()} for part, figure in figures]
    return {"modules": many.modules, "figures": rows, "held": all(row["held"] is not False for row in rows)}


def _requests(whence: str, took_ms: Sequence[float]) -> list[Figure]:
    cut = quantiles(took_ms, n=100)
    return [
        Figure(f"request {whence}, p50", round(median(took_ms), 3), "ms"),
        Figure(f"request {whence}, p99", round(cut[98], 3), "ms", 1.0),
    ]
