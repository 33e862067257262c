"""Simulated nodes for `gridlink bench soak`: `python -m gridlink.bench.crowd URL FIRST NODES MODULES`, one process.

They are called simulated-FIRST and so on. Each has a connection and a Registry of its own, the very one of a real node,
and says that it hosts so many modules; it hosts none. Prints `ready` once all are announced, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from contextlib import AsyncExitStack

from gridlink.bench.run import SITE
from gridlink.clock import SiteClock
from gridlink.lifecycle import State
from gridlink.node.loop import run_loop
from gridlink.node.process import open_bus
from gridlink.registry import Entry, Registry
from gridlink.registry.pulse import BEAT_S


def entry(node: str, number: int) -> Entry:
    """A module as the use case has them: a role, three requests, three events; its schemas differ from its peers'."""
    name = f"module_{number}"
    return Entry(
        name=name,
        instance=f"{name}@{node}",
        node=node,
        machine=f"machine-{node}",
        pid=1000 + number,
        version="1.0.0",
        mode="node",
        state=State.RUNNING,
        roles=(f"role_{number}",),
        topics=(f"topic_{number}",),
        description=f"Watches the measured values of feeder {number}, and reports each crossing of a limit.",
        requests={kind: {"payload": _digest(name, kind), "reply": _digest(kind)} for kind in ("status", "get", "set")},
        publishes={f"topic_{number}": {kind: _digest(name, kind) for kind in ("begun", "ended")}},
        subscribes={"measurement": {"voltage": _digest("voltage")}},
        managed_by=(f"appmanager@{node}", f"nodemanager@{node}"),
    )


def _digest(*what: str) -> str:
    return hashlib.blake2b(" ".join(what).encode(), digest_size=12).hexdigest()


async def crowd(url: str, first: int, nodes: int, modules: int) -> int:
    """The simulated nodes, until stdin ends. Their heartbeats are spread over the second, as those of machines are."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ending.set)
    async with AsyncExitStack() as stack:
        for number in range(first, first + nodes):
            node = f"simulated-{number}"
            bus = await open_bus(SITE, node, url)
            stack.push_async_callback(bus.aclose)
            registry = await stack.enter_async_context(Registry(bus, f"machine-{node}", SiteClock()))
            for module in range(modules):
                await registry.put(entry(node, module))
            await asyncio.sleep(BEAT_S / nodes)
        print("ready", flush=True)
        await ending.wait()
    return 0


if __name__ == "__main__":
    sys.exit(run_loop(crowd(sys.argv[1], *map(int, sys.argv[2:]))))
