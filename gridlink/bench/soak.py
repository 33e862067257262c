"""`gridlink bench soak`: what holds after a long time, under too much load, and in a large site.

Every figure is of real nodes with a real nats-server, and a difference is taken in one run. The parts are in
soak_load.py and soak_registry.py; here are their order and the report.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gridlink.bench import soak_load, soak_registry
from gridlink.bench.soak_figure import Figure

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything."""

    requests: int = 1_000_000
    warm_up: int = 10_000  # requests before the memory is first measured
    events: int = 200_000
    nodes: int = 50  # simulated ones
    modules: int = 20  # that each says it hosts
    seconds: float = 20.0  # over which the processor time is taken
    joiners: int = 5  # one after the other


async def _requests(amounts: Amounts, say: Say) -> list[Figure]:
    return await soak_load.requests(amounts.warm_up, amounts.requests, say)


async def _events(amounts: Amounts, say: Say) -> list[Figure]:
    return await soak_load.events(amounts.events, say)


async def _registry(amounts: Amounts, say: Say) -> list[Figure]:
    return await soak_registry.registry(amounts.nodes, amounts.modules, amounts.seconds, amounts.joiners, say)


_RUN: dict[str, Callable[[Amounts, Say], Awaitable[list[Figure]]]] = {
    "requests": _requests,
    "events": _events,
    "registry": _registry,
}
PARTS = tuple(_RUN)


async def soak(parts: Sequence[str], amounts: Amounts, say: Say) -> dict[str, Any]:
    """Runs the parts one after the other; returns the report as plain JSON types. Raises BenchFailed."""
    found: dict[str, list[Figure]] = {}
    for part in parts:
        found[part] = await _RUN[part](amounts, say)
    return report(found, amounts)


def report(found: dict[str, list[Figure]], amounts: Amounts) -> dict[str, Any]:
    """The report of what was found, by part. `held`: whether every figure is within its limit. Pure."""
    rows = [{"part": part, **figure.row()} for part, figures in found.items() for figure in figures]
    return {
        "amounts": msgspec.to_builtins(amounts),
        "figures": rows,
        "held": all(row["held"] for row in rows if row["held"] is not None),
    }
