"""`gridlink bench memory`: the seven modules of the use case in each mode, and what all processes of the run take.

Every mode gets the same input in a managed directory of its own, and is measured once it has settled. The figures are
those of `gridlink.bench.pages`: this process and others on the machine take nothing away from them.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridlink.bench import libraries, pages
from gridlink.bench.errors import BenchFailed
from gridlink.bench.pages import Footprint, mib
from gridlink.bench.run import Site, bundle_packages, site
from gridlink.bench.subsets import draw, fitted
from gridlink.registry import Entry

MODULES = (
    "appmanager",
    "dashboard_interface",
    "data_generator",
    "oltc_controller",
    "storage",
    "voltage_guard",
    "voltage_problem_handler",
)
MODES = {
    "process": ("--mode", "process", "--without-nodemanager"),
    "fork": ("--mode", "fork", "--without-nodemanager"),
    "node": ("--mode", "node"),
}
OURS = {"gridlink", "appmanager", "nodemanager", "__main__", "__mp_main__"}
SUBSET_SETTLE_S = 15.0
GUARDIAN, NODE, SERVER = "guardian", "node", "nats_server"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One mode's run: what each process is called, and what it takes."""

    names: Mapping[int, str]
    footprints: Mapping[int, Footprint]
    sharers: tuple[int, ...]
    libraries_pss: float | None = None
    running_after_s: float | None = None


async def memory(modes: Sequence[str], settle_s: float, say: Say, subsets: int = 0) -> dict[str, Any]:
    """Runs the modes one after the other; returns the report as plain JSON types. Raises BenchFailed.

    `subsets`: how many random ones, in mode process and in mode node, the paper's model is fitted to; 0: it isn't, nor
    where only one of these modes is asked for.
    """
    drawn = draw(subsets) if subsets and {"process", "node"} <= set(modes) else []
    measured = {}
    for mode in modes:
        say(f"{mode}: starts, and settles for {settle_s:g} s")
        measured[mode] = await run_mode(mode, settle_s)
    model = None
    if drawn:
        say(f"{subsets} random subsets of the modules and n = 1 to {len(MODULES)}, in mode process and in mode node")
        model = await fitted(drawn, min(settle_s, SUBSET_SETTLE_S))
    return report(measured, settle_s) | {"model": model}


async def run_mode(mode: str, settle_s: float) -> Measured:
    """Runs one mode of MODES and measures it `settle_s` seconds after all modules are RUNNING."""
    async with site(MODES[mode], MODULES) as run:
        await asyncio.sleep(settle_s)
        pids = run.pids()
        footprints = pages.measure(pids)
        sharers = tuple(pages.sharers(sys.executable, pids))
        names = named(pids, run.guardian, run.nats_server, run.entries)
        libraries_pss = await _libraries(run) if mode == "node" else None
    return Measured(names, footprints, sharers, libraries_pss, run.running_after_s)


def named(pids: Iterable[int], guardian: int, nats_server: int, entries: Iterable[Entry]) -> dict[int, str]:
    """What each process is called: `guardian`, `nats_server`, its module's name, `node` where it hosts several."""
    hosted: dict[int, list[str]] = {}
    for entry in entries:
        hosted.setdefault(entry.pid, []).append(entry.name)
    names = {pid: modules[0] if len(modules) == 1 else NODE for pid, modules in hosted.items()}
    names |= {guardian: GUARDIAN, nats_server: SERVER}
    return {pid: names.get(pid, f"process {pid}") for pid in pids}


def report(measured: Mapping[str, Measured], settle_s: float) -> dict[str, Any]:
    """The report. A ratio is null unless both its modes were measured, `libraries_pss_mib` without `node`."""
    modes = {mode: _mode(one) for mode, one in measured.items()}
    libraries_pss = [one.libraries_pss for one in measured.values() if one.libraries_pss is not None]
    return {
        "modules": len(MODULES),
        "settled_s": settle_s,
        "libraries_pss_mib": mib(libraries_pss[0]) if libraries_pss else None,
        "nats_server_pss_mib": mib(max(_server_pss(one) for one in measured.values())),
        "modes": modes,
        "ratio_process_to_node": _ratio(modes, "process", "node"),
        "ratio_fork_to_process": _ratio(modes, "fork", "process"),
        "diluted_by": max(len(one.sharers) for one in measured.values()),
        "diluted_by_pids": sorted({pid for one in measured.values() for pid in one.sharers} - {os.getpid()}),
    }


def _ratio(modes: Mapping[str, dict[str, Any]], of: str, to: str) -> float | None:
    if not {of, to} <= modes.keys():
        return None
    return round(float(modes[of]["pss_mib"]) / float(modes[to]["pss_mib"]), 2)


def _mode(one: Measured) -> dict[str, Any]:
    """One mode: all its Python processes, the guardian's too; nats-server is told apart."""
    python = {pid: found for pid, found in one.footprints.items() if one.names[pid] != SERVER}
    return {
        "pss_mib": mib(sum(found.pss for found in python.values())),
        "kernel_pss_mib": mib(sum(found.kernel_pss for found in python.values())),
        "uss_mib": mib(sum(found.uss for found in python.values())),
        "rss_mib": mib(sum(found.rss for found in python.values())),
        "processes": len(python),
        "running_after_s": one.running_after_s,
        "by_module": by_module({pid: one.names[pid] for pid in python}, python),
    }


def by_module(names: Mapping[int, str], footprints: Mapping[int, Footprint]) -> dict[str, float | None]:
    """PSS in MiB, a module; None for those in `node`, whose process is theirs together: no page says whose it is."""
    several = Counter(names.values())
    found: dict[str, float | None] = {
        name if several[name] == 1 else f"{name} {pid}": mib(footprints[pid].pss) for pid, name in names.items()
    }
    if NODE in found:
        found |= dict.fromkeys(MODULES)
    return found


def _server_pss(one: Measured) -> float:
    return sum(found.pss for pid, found in one.footprints.items() if one.names[pid] == SERVER)


def libraries_of(imports: Iterable[str], bundles: Iterable[str]) -> list[str]:
    """Of what a node has imported: the third-party and stdlib modules."""
    ours = OURS | set(bundles)
    return sorted(name for name in imports if name.partition(".")[0] not in ours)


async def _libraries(run: Site) -> float:
    """PSS in bytes of one bare process with the node's libraries, connected to the run's nats-server."""
    names = libraries_of(await run.imports(), bundle_packages())
    return await asyncio.to_thread(libraries_pss, run.url, names)


def libraries_pss(url: str, names: Sequence[str], settle_s: float = 3.0) -> float:
    """PSS in bytes of a bare process that has imported the names. Raises BenchFailed where it doesn't connect."""
    command = [sys.executable, "-P", str(Path(libraries.__file__)), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise BenchFailed("the process for the libraries has no pipes")
        process.stdin.write("\n".join((*names, "\n")))
        process.stdin.flush()
        if process.stdout.readline().strip() != "ready":
            raise BenchFailed(f"the process with the bare libraries didn't connect to {url}: see above for its words")
        try:
            process.wait(settle_s)
        except subprocess.TimeoutExpired:
            return pages.measure([process.pid])[process.pid].pss
        raise BenchFailed(f"the process with the bare libraries ended by itself: exit status {process.returncode}")
