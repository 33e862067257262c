"""The closed loop of the use case: the real modules in one node on the in-process bus, at high speed, day after day."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gridlink.bench.errors import BenchFailed
from gridlink.bus.local import LocalBus
from gridlink.module.module import HostSpec
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.node.bundle import load_alone, read_bundle, read_config
from gridlink.node.shipped import shipped_bundles

LOOP = ("data_generator", "storage", "voltage_guard", "oltc_controller", "voltage_problem_handler")  # by their `uses`
DAY_S = 86_400.0
LOOK_EVERY_S = 300.0  # of site time


@dataclass(frozen=True, slots=True)
class Look:
    """The grid at a moment of site time, in seconds since the first midnight."""

    elapsed_s: float
    lowest_pu: float
    highest_pu: float
    tap: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What the loop came to: the data generator's counters a finished day, and how the grid went."""

    days: tuple[dict[str, Any], ...]
    looks: tuple[Look, ...]
    real_s: float


async def run_loop(speed: float, days: tuple[str, ...], until_s: float | None = None) -> Ran:
    """Runs the days at `speed` site seconds a second; up to `until_s` of site time if given. Raises BenchFailed."""
    started_s = time.monotonic()
    end_s = len(days) * DAY_S if until_s is None else until_s
    looks: list[Look] = []
    async with _node(speed, days) as (node, sender):
        first = await sender.request("grid", "getState")
        start_s = first["timestamp_s"] - first["timestamp_s"] % DAY_S
        state = first
        while (elapsed_s := state["timestamp_s"] - start_s) < end_s:
            looks.append(Look(elapsed_s, state["lowest_pu"], state["highest_pu"], state["tapPosition"]))
            await node.clock.sleep(min(LOOK_EVERY_S, end_s - elapsed_s + 1.0))
            state = await sender.request("grid", "getState")
    finished = tuple(state["days"][: len(days)])
    if until_s is None and [day["day"] for day in finished] != list(days):
        raise BenchFailed(f"expected the days {', '.join(days)} to be finished, came {finished}: a bug; report it")
    return Ran(finished, tuple(looks), time.monotonic() - started_s)


@asynccontextmanager
async def _node(speed: float, days: tuple[str, ...]) -> AsyncIterator[tuple[Node, Sender]]:
    path = sys.path[:]
    try:
        with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
            async with Node(LocalBus("bench", "bench"), "bench") as node:
                for name in LOOP:
                    changes = {"speed": speed, "days": list(days)} if name == "data_generator" else {}
                    await node.host(_spec(name, changes, Path(temporary) / name))
                yield node, Sender(node.bus, "bench@bench")
    finally:
        sys.path[:] = path


def _spec(name: str, changes: dict[str, Any], data_dir: Path) -> HostSpec:
    bundle = read_bundle(shipped_bundles() / name)
    config = {**read_config(bundle.directory), **changes}
    return HostSpec(bundle.manifest, partial(load_alone, bundle), bundle.directory, data_dir, "node", config)
