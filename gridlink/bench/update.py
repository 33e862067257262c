"""`gridlink bench update`: a module is updated while it is asked; what is lost, done twice, and how long it waits.

Real: a node, its AppManager, packed bundles. The module's state is which numbers it has been sent, so that at the end
it is known of each request whether it was handled never, once, or more often, by whichever version.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from appmanager.orders import BundleOrder, Ended
from appmanager.packed.contents import Header
from appmanager.packed.writer import Source, pack
from gridlink.bench.errors import BenchFailed
from gridlink.bench.run import compiled, looking, node
from gridlink.errors import GridlinkError
from gridlink.module.sender import Sender
from gridlink.tasks import Tasks

LONGEST_GAP_MS = {"node": 50.0, "fork": 150.0, "process": 500.0}
"""The most that is wanted, on a quiet machine."""
MODES = tuple(LONGEST_GAP_MS)
BATCH = 10
ASK_WITHIN_S = 10.0
UPDATE_WITHIN_S = 60.0
NAME = "counting"
CODE = '''
from gridlink import Module, request


class Counting(Module[None]):
    """Counts what it is sent."""

    roles = ("counting",)

    def __init__(self):
        self.seen = []

    @request("add")
    async def add(self, number: int) -> int:
        self.seen.append(number)
        return len(self.seen)

    @request("all")
    async def all_seen(self) -> list[int]:
        return self.seen

    async def snapshot(self):
        return self.seen

    async def restore(self, state: list[int]):
        self.seen = state
'''
Say = Callable[[str], None]


@dataclass(slots=True)
class Asked:
    """What became of the requests. Times in seconds of `time.perf_counter`."""

    sent: int = 0
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    longest_wait_s: float = 0.0
    longest_gap_s: float = 0.0
    last_answer_s: float = 0.0

    def answer(self, began_s: float, now_s: float) -> None:
        """A request was answered."""
        self.answered += 1
        self.longest_wait_s = max(self.longest_wait_s, now_s - began_s)
        if self.last_answer_s:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_answer_s)
        self.last_answer_s = now_s


async def update(mode: str, rate_per_s: int, updates: int, seconds: float, say: Say) -> dict[str, Any]:
    """Measures one mode; returns the report as plain JSON types. Raises BenchFailed."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        directory = Path(temporary)
        managed = directory / "managed"
        written(managed / NAME, "1.0.0", mode)
        compiled(managed)
        orders = [packed(directory, f"1.{number}.0", mode) for number in range(1, updates + 1)]
        async with node(managed, (), ("appmanager", NAME)) as run, looking(run.url) as (_, sender):
            manager, asked, tasks = run.entries[0].instance, Asked(), Tasks("bench update")
            asking = tasks.spawn(_ask(sender, asked, rate_per_s, seconds, tasks), name="asking", awaited=True)
            began_s = time.perf_counter()
            for number, order in enumerate(orders):
                due_s = began_s + seconds / updates * (number + 0.2)
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                say(f"mode {mode}: update {number + 1} of {updates}")
                await _updated(sender, manager, order)
            await asking
            await tasks.wait(ASK_WITHIN_S)
            seen: list[int] = await sender.request(NAME, "all", reply=list[int], timeout_s=ASK_WITHIN_S)
            await tasks.aclose()
    return report(mode, rate_per_s, updates, asked, seen)


def report(mode: str, rate_per_s: int, updates: int, asked: Asked, seen: list[int]) -> dict[str, Any]:
    """What was found. Pure.

    `lost`: not answered, or not in the module's state; `duplicated`: in it more than once. `held`: whether each figure
    is within its limit, where it has one.
    """
    once = set(seen)
    lost, duplicated = max(asked.sent - asked.answered, asked.sent - len(once)), len(seen) - len(once)
    gap_ms = round(asked.longest_gap_s * 1000, 1)
    measured, limits = (lost, duplicated, gap_ms), (0, 0, LONGEST_GAP_MS[mode])
    names = ("lost", "duplicated", "longest_gap_ms")
    return {
        "mode": mode,
        "rate_per_s": rate_per_s,
        "updates": updates,
        "sent": asked.sent,
        "answered": asked.answered,
        **dict(zip(names, measured, strict=True)),
        "longest_wait_ms": round(asked.longest_wait_s * 1000, 1),
        "failed": asked.failed[:5],
        "at_most": dict(zip(names, limits, strict=True)),
        "held": {name: found <= most for name, found, most in zip(names, measured, limits, strict=True)},
    }


async def _ask(sender: Sender, asked: Asked, rate_per_s: int, seconds: float, tasks: Tasks) -> None:
    """Sends at a steady rate, whatever is answered; what is late is sent at once."""
    due_s = began_s = time.perf_counter()
    while due_s < began_s + seconds:
        for _ in range(BATCH):
            asked.sent += 1
            tasks.spawn(_one(sender, asked, asked.sent), name="request")
        due_s += BATCH / rate_per_s
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))


async def _one(sender: Sender, asked: Asked, number: int) -> None:
    began_s = time.perf_counter()
    try:
        await sender.request(NAME, "add", number, reply=int, timeout_s=ASK_WITHIN_S)
    except GridlinkError as error:
        asked.failed.append(f"{type(error).__name__}: {error}")
        return
    asked.answer(began_s, time.perf_counter())


async def _updated(sender: Sender, manager: str, order: BundleOrder) -> None:
    ended = await sender.request(manager, "update", msgspec.to_builtins(order), reply=Ended, timeout_s=UPDATE_WITHIN_S)
    if ended.end != "done":
        raise BenchFailed(f"an update was {ended.end} in step {ended.step}: {ended.reason}")


def written(directory: Path, version: str, mode: str, name: str = NAME) -> list[Source]:
    """The bundle of a version in a directory, and its files."""
    (directory / name).mkdir(parents=True)
    manifest = {"name": name, "version": version, "entry": f"{name}:Counting", "mode": mode}
    texts = {"module.json": json.dumps(manifest), f"{name}/__init__.py": CODE}
    for path, text in texts.items():
        (directory / path).write_text(text)
    return [Source(path, directory / path) for path in texts]


def packed(directory: Path, version: str, mode: str) -> BundleOrder:
    """The same as a file, and the order that brings it."""
    file = directory / f"{version}.glb"
    with file.open("w+b") as out:
        digest = pack(out, Header(1, NAME, version), written(directory / version, version, mode))
    return BundleOrder(secrets.token_hex(8), NAME, digest, str(file))
