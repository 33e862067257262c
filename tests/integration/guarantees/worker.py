"""`python -m tests.integration.guarantees.worker URL NODE DONE`: a node of the site `test` with one module, `worker`.

What its module takes, ends and hears is a line each in the file DONE, written before anything else happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gridlink import Module, request, subscribe
from gridlink.bus.nats import NatsBus
from gridlink.manifest import Manifest
from gridlink.module.module import HostSpec, Loaded
from gridlink.node import Node


@dataclass(frozen=True)
class Config:
    """Where it writes."""

    done: str


@dataclass(frozen=True)
class Job:
    """What is to be done, and for how long."""

    number: str
    for_s: float = 0.0


class Worker(Module[Config]):
    """Works as long as it is told, and writes down what it does."""

    roles = ("worker",)

    async def start(self) -> None:
        """Opens the file."""
        self._file = os.open(self.config.done, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @request("work")
    async def work(self, job: Job) -> str:
        """Works; it may be done once."""
        return await self._do(job)

    @request("look")
    async def look(self, job: Job) -> str:
        """Works; it may be done twice."""
        return await self._do(job)

    @subscribe("news", "item")
    async def on_item(self, job: Job) -> None:
        """Hears."""
        self._note("heard", job)
        await asyncio.sleep(job.for_s)
        self._note("handled", job)

    async def _do(self, job: Job) -> str:
        self._note("begun", job)
        await asyncio.sleep(job.for_s)
        self._note("done", job)
        return job.number

    def _note(self, what: str, job: Job) -> None:
        os.write(self._file, f"{what} {job.number}\n".encode())


async def main(url: str, node_name: str, done: str) -> None:
    """Runs until SIGTERM, and ends cleanly."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    bus = NatsBus("test", node_name)
    await bus.connect(url)
    manifest = Manifest(name="worker", version="1.0.0", entry="worker:Worker", idempotent=("look",))
    with tempfile.TemporaryDirectory() as directory:
        async with Node(bus, node_name) as node:
            where = Path(directory)
            await node.host(HostSpec(manifest, lambda: Loaded(Worker), where, where / "data", "node", {"done": done}))
            print("ready", flush=True)
            await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
