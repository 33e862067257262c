"""A running node with a bundle that publishes on a durable topic and one that reads it, each in a process of its own.

Both write what they did to files with one `write` a line, so that a killed process has left all of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridlink.lifecycle import State
from gridlink.registry import Entry
from tests.acceptance.running import Running, bundle, running

SOURCE = """
import asyncio, os, time
from dataclasses import dataclass
from gridlink import GridlinkError, Module, Topic, request

@dataclass(frozen=True)
class Number:
    value: int

@dataclass(frozen=True)
class Order:
    first: int
    count: int
    per_s: float

class Probe(Module[None]):
    '''Publishes numbers, and notes each that was stored.'''
    roles = ("source",)
    publishes = (Topic("numbers", number=Number),)

    async def start(self):
        self.noted = os.open(self.data_dir / "stored", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @request("publish")
    async def publish(self, order: Order) -> None:
        self.tasks.spawn(self.run(order), name="run")

    async def run(self, order):
        began_s = time.monotonic()
        for number in range(order.count):
            wait_s = began_s + number / order.per_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            try:
                await self.bus.publish("numbers", "number", Number(order.first + number))
                os.write(self.noted, f"{order.first + number}\\n".encode())
            except GridlinkError as error:
                os.write(self.noted, f"failed {order.first + number} {error}\\n".encode())
        os.write(self.noted, b"done\\n")
"""

SINK = """
import os
from dataclasses import dataclass
from gridlink import Module, message, subscribe

@dataclass(frozen=True)
class Number:
    value: int

class Probe(Module[None]):
    '''Notes each number, whether it is a redelivered one, and its id.'''

    async def start(self):
        self.noted = os.open(self.data_dir / "seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @subscribe("numbers", "number")
    async def on_number(self, number: Number) -> None:
        current = message()
        os.write(self.noted, f"{number.value} {int(current.redelivered)} {current.id}\\n".encode())
"""


@dataclass(frozen=True)
class Seen:
    """One line of the sink."""

    value: int
    redelivered: bool
    identity: str


class DurableSite:
    """The node, and what its two bundles have noted."""

    def __init__(self, node: Running) -> None:
        self.node = node

    def _noted(self, module: str, name: str) -> list[str]:
        file = self.node.managed / ".gridlink" / "data" / module / name
        return file.read_text().split("\n")[:-1] if file.exists() else []

    @property
    def stored(self) -> list[int]:
        """The numbers whose publish has returned."""
        return [int(line) for line in self._noted("source", "stored") if line.isdigit()]

    @property
    def failed(self) -> list[str]:
        """The numbers whose publish has raised, and why."""
        return [line for line in self._noted("source", "stored") if line.startswith("failed")]

    @property
    def runs_done(self) -> int:
        """How many orders have been carried out."""
        return self._noted("source", "stored").count("done")

    @property
    def seen(self) -> list[Seen]:
        """What the sink has handled, in order."""
        lines = [line.split(" ") for line in self._noted("sink", "seen")]
        return [Seen(int(value), flag == "1", identity) for value, flag, identity in lines]

    async def publish(self, first: int, count: int, per_s: float) -> None:
        """Has the source publish; returns at once."""
        order = {"first": first, "count": count, "per_s": per_s}
        await self.node.sender.request("source", "publish", order)

    async def until(self, condition: Any, within_s: float) -> None:
        """Returns when the condition holds; fails with what the node has said."""
        deadline_s = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline_s:
                counted = f"{len(self.stored)} stored, {len(self.seen)} seen, failed: {self.failed[:3]}"
                raise AssertionError(f"not so within {within_s} s ({counted})\n{self.node.output()[-4000:]}")
            await asyncio.sleep(0.05)

    async def all_seen(self, within_s: float) -> None:
        """Returns when the sink has handled every number that was stored."""
        await self.until(lambda: {one.value for one in self.seen} >= set(self.stored), within_s)

    def entry(self, name: str) -> Entry | None:
        """The running instance of a module."""
        return next((e for e in self.node.registry.instances() if e.name == name and e.state is State.RUNNING), None)

    def kill(self, name: str) -> int:
        """kill -9 of a module's process, or of one of the servers; returns the process."""
        entry = self.entry(name)
        pid = entry.pid if entry is not None else self.node.file["pids"][name]
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    def check(self) -> None:
        """No event is lost, each comes first in its order, and what comes again says so or is known by its id."""
        first_seen = list(dict.fromkeys(one.value for one in self.seen))
        assert sorted(set(self.stored) - set(first_seen)) == []
        assert first_seen == sorted(first_seen)
        ids: dict[int, str] = {}
        for one in self.seen:
            assert ids.setdefault(one.value, one.identity) == one.identity


@asynccontextmanager
async def durable_site(directory: Path, *, back_after_s: float = 0.2) -> AsyncIterator[DurableSite]:
    """A node that runs both; a killed bundle is started again after `back_after_s`."""
    managed = directory / "managed"
    managed.mkdir()
    options: dict[str, Any] = {"mode": "process", "durable": ["numbers"]}
    bundle(managed, "source", SOURCE, **options)
    bundle(managed, "sink", SINK, restart={"backoff_s": [back_after_s, 30]}, **options)
    async with running(managed) as node:
        await node.all_running("source", "sink")
        yield DurableSite(node)
