"""The other side of `gridlink bench messages`: `python -m gridlink.bench.echo raw|gridlink URL`, a process of its own.

`raw`: plain nats-py, as its documentation shows. `gridlink`: a node with an echo module and seven that count. Both
count what seven subscribers get of `count`, and answer `counted` once they have got as much as was announced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gridlink import Module, Topic, request, subscribe
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.node import Node
from gridlink.node.loop import run_loop
from gridlink.node.process import open_bus

if TYPE_CHECKING:
    from nats.aio.msg import Msg

SITE = "bench"
SUBSCRIBERS = 7


@dataclass(frozen=True)
class Measured:
    """Six fields, 100 bytes of JSON: what a meter says."""

    meter: str
    value_pu: float
    active_kw: float
    phases: list[int]
    valid: bool
    timestamp_s: float


EXAMPLE = Measured("bus_10", 1.0123, 12.25, [1], True, 1779235920)


class Echo(Module[None]):
    """Answers with what it got."""

    roles = ("echo",)

    @request("echo")
    async def echo(self, measured: Measured) -> Measured:
        """The payload, checked on the way in and out."""
        return measured


class Count(Module[None]):
    """Counts events until there are as many as was announced."""

    publishes = (Topic("counted", done=int),)

    def __init__(self) -> None:
        self._left = -1

    @subscribe("announce", "expect")
    async def expect(self, number: int) -> None:
        """How many will come."""
        self._left = number

    @subscribe("count", "measured")
    async def measured(self, _: Measured) -> None:
        """One of them."""
        self._left -= 1
        if self._left == 0:
            await self.bus.publish("counted", "done", 1)


async def host(node: Node, target: type[Module[None]], name: str, directory: Path) -> None:
    """Hosts a class of this file under a name."""
    manifest = Manifest(name=name, version="1.0.0", entry=f"{target.__module__}:{target.__name__}")
    await node.host(HostSpec(manifest, lambda: Loaded(target), directory, directory / name, "node", {}))


async def gridlink_side(url: str) -> int:
    """A node that echoes and counts, until it is killed."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as directory:
        async with Node(await open_bus(SITE, "echo", url), "bench") as node:
            await host(node, Echo, "echo", Path(directory))
            for number in range(SUBSCRIBERS):
                await host(node, Count, f"count_{number}", Path(directory))
            print("ready", flush=True)
            await asyncio.Event().wait()
    return 0


async def raw_side(url: str) -> int:
    """The same with nats-py alone, until it is killed."""
    import nats  # noqa: PLC0415 - as a user of nats-py imports it

    client = await nats.connect(url)
    left = [-1] * SUBSCRIBERS

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    async def expect(message: Msg) -> None:
        left[:] = [json.loads(message.data)] * SUBSCRIBERS
        await message.respond(b"")

    def counting(number: int) -> Callable[[Msg], Awaitable[None]]:
        async def count(_: Msg) -> None:
            left[number] -= 1
            if left[number] == 0:
                await client.publish("raw.counted", b"")

        return count

    await client.subscribe("raw.echo", cb=echo)
    await client.subscribe("raw.expect", cb=expect)
    for number in range(SUBSCRIBERS):
        await client.subscribe("raw.count", cb=counting(number))
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run_loop({"raw": raw_side, "gridlink": gridlink_side}[sys.argv[1]](sys.argv[2]))
