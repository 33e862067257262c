"""Starts the modules of a managed directory in the order of their `uses`; for AppManager and NodeManager alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from gridlink.node.plan import Planned, startable
from gridlink.registry import Registry
from gridlink.tasks import Tasks

AT_ONCE = 32
"""How many are starting at most: fewer than a module takes requests at once, and than a small board has memory for."""


class Started(Protocol):
    """A module that was told to start. `settled` is set once it runs, or has failed for the first time."""

    settled: asyncio.Event


async def bring_up(
    planned: Sequence[Planned], start: Callable[[Planned], Started], registry: Registry, tasks: Tasks
) -> None:
    """Starts what isn't refused, each once the roles that it uses are served; returns when all have settled.

    At most AT_ONCE are starting at any time. `start` begins and returns at once. Cancelling it starts no more; what was
    started runs on.
    """
    waiting = {p.name: p for p in planned if p.manifest is not None and not p.refused}
    uses = {name: p.manifest.used_roles for name, p in waiting.items() if p.manifest is not None}
    starting: list[Started] = []
    while waiting or starting:
        available = frozenset(role for entry in registry.find() for role in entry.roles)
        for name in startable(uses, available, len(starting))[: AT_ONCE - len(starting)]:
            del uses[name]
            starting.append(start(waiting.pop(name)))
        await _one_settles(starting, tasks)
        starting = [one for one in starting if not one.settled.is_set()]


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
