"""What `_node@NODE footprint` answers: the node's process, and each of its modules."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gridlink.node.footprint.process import ProcessFootprint, beside, process_footprint
from gridlink.node.footprint.steps import LoopTime, Steps

if TYPE_CHECKING:
    from gridlink.module.instance import Instance
    from gridlink.node.footprint.accounting import Accounting
    from gridlink.node.node import Node

_NOTHING = Steps().summed()
APPMANAGER = "appmanager"  # its node speaks for the processes that are no node


@dataclass(frozen=True, slots=True)
class Look:
    """The question. `for_s`: how long the loop's time is counted on; 0: it isn't. Ask again within it to go on."""

    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ModuleFootprint:
    """One instance. `loop` counts from the beginning of the look; the messages from the instance's start.

    `thread_cpu_s`: of its handlers that run in threads, since its start.
    """

    instance: str
    loop: LoopTime | None  # None while nobody looks
    thread_cpu_s: float
    messages: int  # that it was given and that it sent
    errors: int
    declared_mib: float | None  # resources.memory_mib of its manifest


@dataclass(frozen=True, slots=True)
class NodeFootprint:
    """A node. `looked_s`: how long the loop's time has been counted; `own`: the node's own part of it."""

    node: str
    looked_s: float
    own: LoopTime | None
    processes: tuple[ProcessFootprint, ...]  # the node's own first
    modules: tuple[ModuleFootprint, ...]


def footprint(node: Node, accounting: Accounting, look: Look) -> NodeFootprint:
    """Reads it all, now. Takes a millisecond or two of the loop; raises OSError where there is no /proc."""
    if look.for_s > 0:
        accounting.look(look.for_s)
    is_first = any(name.startswith(f"{APPMANAGER}@") for name in node.instances)
    others = beside() if is_first else []
    return NodeFootprint(
        node=node.node,
        looked_s=time.monotonic() - accounting.since_s if accounting.is_on else 0.0,
        own=_loop("", accounting),
        processes=(process_footprint(node.node, os.getpid()), *others),
        modules=tuple(_module(instance, accounting) for instance in node.instances.values()),
    )


def _module(instance: Instance, accounting: Accounting) -> ModuleFootprint:
    counters = instance.counters
    return ModuleFootprint(
        instance=instance.name,
        loop=_loop(instance.name, accounting),
        thread_cpu_s=instance.thread_cpu_ns / 1e9,
        messages=counters.requests + counters.events + counters.sent,
        errors=counters.errors,
        declared_mib=instance.environment.manifest.resources.memory_mib,
    )


def _loop(name: str, accounting: Accounting) -> LoopTime | None:
    if not accounting.is_on:
        return None
    steps = accounting.steps.get(name)
    return steps.summed() if steps is not None else _NOTHING
