"""Runs subsets of the use case's modules in both of the paper's modes, and an empty node, for gridlink.bench.model.

A few sites run at the same time: what is measured is what each set of processes takes, whatever runs beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gridlink.bench import pages
from gridlink.bench.errors import BenchFailed
from gridlink.bench.model import EMPTY, NEW, OLD, Model, Run, determined, fit, spread
from gridlink.bench.pages import MIB
from gridlink.bench.run import SITE, environment, looking, node, prepare
from gridlink.bench.soak_site import bench_server
from gridlink.errors import NoSuchInstance
from gridlink.node.settings import LogSetting, NodeSettings

MANAGER = "appmanager"
BUNDLES = (  # as the data flows: the first n of these, after the AppManager, are the use case with n + 1 modules
    "data_generator",
    "storage",
    "voltage_guard",
    "voltage_problem_handler",
    "oltc_controller",
    "dashboard_interface",
)
OPTIONS = {OLD: ("--mode", "process", "--without-nodemanager"), NEW: ("--mode", "node")}
AT_ONCE = 3
WITHIN_PERCENT = 5.0
UP_WITHIN_S = 10.0


async def fitted(drawn: Sequence[tuple[str, ...]], settle_s: float) -> dict[str, Any]:
    """Fits the model to those subsets in each mode; predicts and measures n = 1 ... 7. Raises BenchFailed."""
    steps = [(MANAGER, *BUNDLES[:count]) for count in range(len(BUNDLES) + 1)]
    turns = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        bundles = Path(temporary) / "bundles"
        prepare(bundles)
        async with asyncio.TaskGroup() as group:
            wanted = [(mode, modules) for modules in (*drawn, *steps) for mode in OPTIONS]
            running = [
                group.create_task(_measured(bundles, mode, modules, settle_s, turns)) for mode, modules in wanted
            ]
            empty = group.create_task(_empty(settle_s, turns))
    runs = [task.result() for task in running]
    fitted_to = [empty.result(), *runs[: len(drawn) * len(OPTIONS)]]
    return report(fit(fitted_to), fitted_to, runs[len(drawn) * len(OPTIONS) :], settle_s)


def draw(subsets: int, seed: int = 1) -> list[tuple[str, ...]]:
    """Random subsets of the bundles, each with the AppManager; their sizes go round. Pure.

    They are drawn until they determine every term. Raises BenchFailed where there are too few for that.
    """
    if subsets <= len(BUNDLES):
        raise BenchFailed(f"{subsets} subsets can't tell {len(BUNDLES)} bundles apart: take {len(BUNDLES) + 1} or more")
    chance = random.Random(seed)
    sizes = [1 + number % (len(BUNDLES) - 1) for number in range(subsets)]
    while True:
        drawn = [(MANAGER, *chance.sample(BUNDLES, size)) for size in sizes]
        if determined([(EMPTY, ()), *((mode, modules) for modules in drawn for mode in OPTIONS)]):
            return drawn


def report(model: Model, fitted_to: Sequence[Run], steps: Iterable[Run], settle_s: float) -> dict[str, Any]:
    """The report as plain JSON types: the terms, each run with its residual, and each n predicted and measured."""
    predicted = [_step(model, run) for run in steps]
    return {
        "settled_s": settle_s,
        "terms_mib": {name: round(term, 2) for name, term in model.terms.items()},
        "guardian_mib": {mode: round(found, 2) for mode, found in model.guardian.items()},
        "runs": [_row(run) | {"residual_mib": round(model.residual(run), 2)} for run in fitted_to],
        "residuals_rms_mib": round(spread(model, fitted_to), 2),
        "by_n": predicted,
        "crossing_n": round(model.crossing(), 2),
        "worst_error_percent": max(abs(step["error_percent"]) for step in predicted),
        "within_percent": WITHIN_PERCENT,
    }


def _row(run: Run) -> dict[str, Any]:
    return {"mode": run.mode, "modules": list(run.modules), "measured_mib": round(run.measured, 2)}


def _step(model: Model, run: Run) -> dict[str, Any]:
    measured, predicted = run.measured + run.guardian, model.total(run.mode, run.modules)
    return {
        "n": len(run.modules),
        "mode": run.mode,
        "predicted_mib": round(predicted, 2),
        "measured_mib": round(measured, 2),
        "error_percent": round(100 * (predicted - measured) / measured, 2),
    }


async def _measured(
    bundles: Path, mode: str, modules: tuple[str, ...], settle_s: float, turns: asyncio.Semaphore
) -> Run:
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        managed = Path(temporary) / "managed"
        async with turns:
            await asyncio.to_thread(_copy, bundles, managed, modules)
            async with node(managed, OPTIONS[mode], modules) as run:
                await asyncio.sleep(settle_s)
                found = pages.measure(pid for pid in run.pids() if pid != run.nats_server)
                own = found[run.guardian].uss
    return Run(mode, modules, (sum(one.pss for one in found.values()) - own) / MIB, own / MIB)


def _copy(bundles: Path, managed: Path, modules: Sequence[str]) -> None:
    managed.mkdir()
    chosen = [name for name in modules if name != MANAGER]
    for name in chosen:
        shutil.copytree(bundles / name, managed / name)  # with the times of its files: its bytecode holds
    if not chosen:  # the AppManager alone: an empty directory would be refused as a mistake
        (managed / "none").mkdir()
        (managed / "none" / "module.json").write_text(json.dumps({"name": "none"}))


async def _empty(settle_s: float, turns: asyncio.Semaphore) -> Run:
    """A node that hosts nothing: an interpreter with Gridlink that has joined its site."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        directory = Path(temporary)
        async with turns:
            with bench_server(directory) as server, _empty_node(server.url, directory) as process:
                await _known(server.url, process)
                await asyncio.sleep(settle_s)
                found = pages.measure([process.pid])[process.pid]
    return Run(EMPTY, (), found.pss / MIB)


@contextmanager
def _empty_node(url: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = LogSetting(str(directory / "log"))
    settings = NodeSettings(site=SITE, node="empty", machine="bench", url=url, log=log)
    said, say = os.pipe()
    held, holding = os.pipe()
    command = [sys.executable, "-m", "gridlink.node", msgspec.json.encode(settings).decode(), str(say), str(held)]
    process = subprocess.Popen(command, pass_fds=(say, held), env=environment(), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        for descriptor in (said, say, held, holding):
            os.close(descriptor)


async def _known(url: str, process: subprocess.Popen[bytes]) -> None:
    async with looking(url) as (_, sender), asyncio.timeout(UP_WITHIN_S):
        while process.poll() is None:
            try:
                await sender.request("_node@empty", "counters")
            except NoSuchInstance:
                await asyncio.sleep(0.02)
            else:
                return
    raise BenchFailed(f"the empty node ended with status {process.returncode}")
