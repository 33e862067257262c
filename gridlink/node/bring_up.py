"""Starts the modules of a managed directory in the order of their `uses`; for AppManager and NodeManager alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from gridlink.node.plan import Planned, startable
from gridlink.registry import Registry
from gridlink.tasks import Tasks


class Started(Protocol):
    """A module that was told to start. `settled` is set once it runs, or has failed for the first time."""

    settled: asyncio.Event


async def bring_up(
    planned: Sequence[Planned], start: Callable[[Planned], Started], registry: Registry, tasks: Tasks
) -> None:
    """Starts what isn't refused, each once the roles that it uses are served; returns when all have settled.

    `start` begins and returns at once. Cancelling it starts no more; what was started runs on.
    """
    waiting = {p.name: p for p in planned if p.manifest is not None and not p.refused}
    started: list[Started] = []
    while waiting:
        uses = {name: p.manifest.used_roles for name, p in waiting.items() if p.manifest is not None}
        available = frozenset(role for entry in registry.find() for role in entry.roles)
        unsettled = [one for one in started if not one.settled.is_set()]
        started += [start(waiting.pop(name)) for name in startable(uses, available, len(unsettled))]
        await _one_settles([one for one in started if not one.settled.is_set()], tasks)
    for one in started:
        await one.settled.wait()


async def _one_settles(unsettled: Sequence[Started], tasks: Tasks) -> None:
    """Returns when one of them has settled; what it serves is in the registry by then."""
    waits = [tasks.spawn(one.settled.wait(), name="settled") for one in unsettled]
    if not waits:
        return
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
