"""A part of `gridlink bench soak`: real nodes in a site of many simulated ones, and how soon one more knows all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gridlink.bench.errors import BenchFailed
from gridlink.bench.pages import mib
from gridlink.bench.run import SITE, environment, looking
from gridlink.bench.soak_figure import Figure
from gridlink.bench.soak_site import SoakNode, soak_site
from gridlink.clock import SiteClock
from gridlink.node.process import open_bus
from gridlink.registry import Registry

PSS_LIMIT_MIB = 25.0
CPU_LIMIT_PERCENT = 0.5
JOIN_LIMIT_S = 0.2
READY_WITHIN_S = 120.0
KNOWN_WITHIN_S = 30.0
SETTLE_S = 3.0  # the beats of the nodes fall into step
MEASURED = ("first", "second", "third")


async def registry(nodes: int, modules: int, seconds: float, joiners: int, say: Callable[[str], None]) -> list[Figure]:
    """What three real nodes take beside `nodes` simulated ones with `modules` each. Raises BenchFailed."""
    real = {name: {"soak_answers": "SoakAnswers", "soak_blocks": "SoakBlocks"} for name in MEASURED}
    async with soak_site(real) as (url, measured):
        say(f"{nodes} simulated nodes with {modules} modules each join")
        async with _crowd(url, nodes, modules):
            known = await _settled(url, nodes * modules)
            await asyncio.sleep(SETTLE_S)
            say(f"{known} instances are known; processor time is taken for {seconds:g} s")
            before = {name: node.cpu_s() for name, node in measured.items()}
            began_s = time.monotonic()
            await asyncio.sleep(seconds)
            took_s = time.monotonic() - began_s
            percent = {name: 100 * (node.cpu_s() - before[name]) / took_s for name, node in measured.items()}
            say(f"{joiners} nodes join, one after the other")
            joined_s = [await _joined_s(url, known) for _ in range(joiners)]
            taken = {name: _by_process(node) for name, node in measured.items()}
    return [
        Figure("instances in the registry", known, ""),
        *(
            Figure(f"the {name} node, {process}: PSS", pss_mib, "MiB", PSS_LIMIT_MIB)
            for name, processes in taken.items()
            for process, pss_mib in processes.items()
        ),
        *(
            Figure(f"the {name} node, all of its processes: processor", round(cpu, 3), "%", CPU_LIMIT_PERCENT)
            for name, cpu in percent.items()
        ),
        Figure(f"until a joiner knows all, the slowest of {joiners}", round(max(joined_s), 3), "s", JOIN_LIMIT_S),
    ]


def _by_process(node: SoakNode) -> dict[str, float]:
    names = {node.running.guardian: "guardian", node.process: "node"}
    return {names.get(pid, f"process {pid}"): mib(found.pss) for pid, found in node.footprints().items()}


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())


@asynccontextmanager
async def _crowd(url: str, nodes: int, modules: int) -> AsyncIterator[None]:
    """The simulated nodes, in two processes: in one they would answer a joiner one after the other."""
    shares = [(0, nodes // 2), (nodes // 2, nodes - nodes // 2)]
    processes = [
        _start("gridlink.bench.crowd", url, str(first), str(share), str(modules)) for first, share in shares if share
    ]
    try:
        for process in processes:
            async with asyncio.timeout(READY_WITHIN_S):
                line = await asyncio.to_thread(process.stdout.readline) if process.stdout else ""
            if line.strip() != "ready":
                raise BenchFailed(f"the simulated nodes ended with status {process.wait(5)}: their error is above")
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


async def _settled(url: str, simulated: int) -> int:
    """How many instances the site has, once all that are simulated are known."""
    async with looking(url) as (registry, _):
        deadline_s = time.monotonic() + KNOWN_WITHIN_S
        while True:
            known = registry.instances()
            if sum(entry.node.startswith("simulated-") for entry in known) == simulated:
                await registry.joined()
                return len(registry.instances())
            if time.monotonic() > deadline_s:
                raise BenchFailed(f"expected {simulated} simulated instances, {len(known)} are known")
            await asyncio.sleep(0.05)


async def _joined_s(url: str, known: int) -> float:
    """Seconds from a node's start to join until its registry has every instance; its connection is there before."""
    bus = await open_bus(SITE, "joiner", url)
    try:
        joining = Registry(bus, "bench", SiteClock())
        began_s = time.monotonic()
        async with joining, asyncio.timeout(KNOWN_WITHIN_S):
            while True:
                if len(joining.instances()) >= known:
                    return time.monotonic() - began_s
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise BenchFailed(f"a joiner didn't learn of {known} instances within {KNOWN_WITHIN_S:g} s") from error
    finally:
        await bus.aclose()
