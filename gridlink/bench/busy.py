"""Bundles that keep their node busy for `gridlink bench watchdog`: each tells the next what it does, and none hangs.

Their steady work is a fixed amount, so that two nodes can be compared: a step that lasted until so much processor time
was used would hide what a watchdog takes in it. Their long steps do last so long, and come near the watchdog's limit.
"""

from __future__ import annotations

import json
from pathlib import Path

from gridlink.bench.run import compiled

LONG_STEP_S = 0.1  # of its thread, and twice that from many short ones together; a module is named from 0.25 s on
BUSY = '''"""Works as it is told to, in steps that are its own business and none too long."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time

from gridlink import Module, Topic, request, subscribe

BEATS = {{"steady": (0.1, 5_000), "long": (0.05, 20_000)}}  # seconds from one to the next, and turns of its loop
LONG_EVERY_S, LONG_S = 4.0, {long_step_s}
ROWS = [{{"name": f"bus_{{n}}", "value": n / 7, "at": [n, n + 1]}} for n in range(2000)]
COUNT = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) SELECT sum(x) FROM n"


class Busy(Module[None]):
    """`work`: "rest", "steady" (the same amount each time), or "long" (long steps beside it)."""

    roles = ("{name}",)
    publishes = (Topic("busy", beat=int),)

    def __init__(self) -> None:
        self._doing, self._beats, self._heard, self._long = "rest", 0, 0, 0
        self._told = asyncio.Event()
        self._memory = sqlite3.connect(":memory:")

    async def start(self) -> None:
        self.tasks.spawn(self._go_on(), name="go on")

    @request("work")
    async def work(self, what: str) -> int:
        """Goes over to it; returns how many long steps it has taken so far."""
        self._doing = what
        self._told.set()
        return self._long

    @request("next")
    async def next(self, number: int) -> int:
        return number + 1

    @request("hang")
    async def hang(self) -> None:
        time.sleep(5)

    @subscribe("busy", "beat")
    async def on_beat(self, number: int) -> None:
        self._heard += number

    async def _go_on(self) -> None:
        due_s = 0.0
        long_s = time.monotonic() + {number} * LONG_EVERY_S / {count}
        while True:
            if self._doing == "rest":
                self._told.clear()
                await self._told.wait()
                due_s = time.monotonic() + {number} / {count} * 0.1
                continue
            every_s, turns = BEATS[self._doing]
            due_s = max(due_s + every_s, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())
            await self._beat(turns)
            if self._doing == "long" and time.monotonic() > long_s:
                long_s = max(long_s + LONG_EVERY_S, time.monotonic())
                self._long += 1
                kinds = (self._sleep, self._compute, self._json, self._regex, self._integers, self._query)
                kind = (self._long + {number}) % (len(kinds) + 2)
                if kind < len(kinds):
                    kinds[kind]()
                elif kind == len(kinds):
                    await asyncio.gather(*(self._short() for _ in range(20)))
                else:
                    await asyncio.to_thread(self._compute)

    async def _beat(self, turns: int) -> None:
        self._beats += 1
        total = 0
        for number in range(turns):
            total += number
        await self.bus.request("{next}", "next", self._beats, reply=int)
        if self._beats % 10 == 0:
            await self.bus.publish("busy", "beat", self._beats)

    async def _short(self) -> None:
        self._until(lambda: sum(range(1000)), LONG_S / 10)

    def _sleep(self) -> None:
        time.sleep(LONG_S)

    def _compute(self) -> None:
        self._until(lambda: sum(number * number for number in range(1000)))

    def _json(self) -> None:
        self._until(lambda: json.loads(json.dumps(ROWS)))

    def _regex(self) -> None:
        self._until(lambda: re.match("(a|b|ab)*c", "ab" * 10))

    def _integers(self) -> None:
        self._until(lambda: pow(3, 2**11, 10**2000))

    def _query(self) -> None:
        self._until(lambda: self._memory.execute(COUNT).fetchone())

    def _until(self, piece, seconds: float = LONG_S) -> None:
        """Again and again, until so much processor time of this thread is used."""
        end_s = time.thread_time() + seconds
        while time.thread_time() < end_s:
            piece()
'''


def busy_bundles(managed: Path, count: int) -> list[str]:
    """Writes so many bundles, and compiles them; returns their names."""
    names = [f"busy_{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        package = managed / name / name
        package.mkdir(parents=True)
        follows = names[(number + 1) % count]
        source = BUSY.format(name=name, number=number, count=count, next=follows, long_step_s=LONG_STEP_S)
        (package / "__init__.py").write_text(source)
        document = {"name": name, "version": "1.0.0", "entry": f"{name}:Busy"}
        (managed / name / "module.json").write_text(json.dumps(document))
    compiled(managed)
    return names
