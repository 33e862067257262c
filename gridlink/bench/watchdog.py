"""`gridlink bench watchdog`: what the watchdog takes where nothing hangs, and whom it blames in busy minutes.

Real nodes with real modules. The cost is the difference of two nodes, with the watchdog and without, that are busy and
rest in turn; several pairs, as two processes differ by more than that in how their memory lies.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from gridlink import address
from gridlink.bench.busy import LONG_STEP_S, busy_bundles
from gridlink.bench.errors import BenchFailed
from gridlink.bench.run import SITE, Site, looking, node
from gridlink.bench.soak_figure import Figure
from gridlink.bench.soak_site import cpu_s
from gridlink.bus.protocol import Answer
from gridlink.codec import codec
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.message import Message
from gridlink.module.sender import Sender
from gridlink.node.process import open_bus

MODULES = 10
SETTLE_S = 1.0
SLICE_S, SLICES = 1.5, 2  # busy, of each node of a pair
REST_S = 3.0
LIMIT_PERCENT = 0.3
LOOK_EVERY_S = 5.0
NAMED_WITHIN_S = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """Processor time of two nodes, in per cent of one processor: without the watchdog and with it, slice by slice."""

    rest: tuple[float, float]
    busy: Sequence[tuple[float, float]]

    @property
    def costs(self) -> tuple[float, float]:
        """What the watchdog takes of one processor: at rest, and busy."""
        return self.rest[1] - self.rest[0], mean(on - off for off, on in self.busy)


@dataclass(slots=True)
class Alarms:
    """What was heard in the busy minutes. `replaced`: nodes; `named`: reports on topic `health`, with what they say."""

    minutes: float
    long_steps: int = 0
    burners: int = 0
    replaced: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)

    def take_event(self, message: Message) -> None:
        """A report on topic `health`."""
        self.named.append(codec(Any).decode(message.payload))

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """Nobody is to ask."""
        return NoSuchRole(f"nothing is answered here, {message.type} came")


async def watchdog(pairs: int, minutes: float, burners: int, say: Say) -> dict[str, Any]:
    """Measures; returns the report as plain JSON types. `pairs`, `minutes` of 0: not that part. Raises BenchFailed."""
    measured = []
    for number in range(pairs):
        say(f"pair {number + 1} of {pairs}: a node without the watchdog and one with it")
        measured.append(await pair(with_first=bool(number % 2)))
    heard = await alarms(minutes, burners, say) if minutes else None
    return report(measured, heard)


async def pair(*, with_first: bool) -> Pair:
    """Two nodes of the same modules, alternately busy; `with_first`: which of them begins."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary:
        directory = Path(temporary)
        names = busy_bundles(directory / "off", MODULES)
        busy_bundles(directory / "on", MODULES)
        off_options, on_options = ("--mode", "node", "--watchdog", "off"), ("--mode", "node")
        async with (
            node(directory / "off", off_options, names) as off,
            node(directory / "on", on_options, names) as on,
            looking(off.url) as (_, ask_off),
            looking(on.url) as (_, ask_on),
        ):
            await asyncio.sleep(SETTLE_S)
            rest = await _percent((off, on), REST_S)
            busy = []
            for _ in range(SLICES):
                used = {}
                for which in ("on", "off") if with_first else ("off", "on"):
                    used[which] = await (_busy(on, ask_on) if which == "on" else _busy(off, ask_off))
                busy.append((used["off"], used["on"]))
    return Pair((rest[0], rest[1]), busy)


async def _busy(site: Site, sender: Sender) -> float:
    await _order(site, sender, "steady")
    await asyncio.sleep(SLICE_S / 5)
    (percent,) = await _percent((site,), SLICE_S)
    await _order(site, sender, "rest")
    return percent


async def _percent(sites: Sequence[Site], seconds: float) -> list[float]:
    """What the nodes' own processes and their guardians take, in per cent of one processor."""
    began_s, before_s = time.monotonic(), [_cpu_s(site) for site in sites]
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - began_s
    return [(_cpu_s(site) - earlier_s) / took_s * 100 for site, earlier_s in zip(sites, before_s, strict=True)]


def _cpu_s(site: Site) -> float:
    return cpu_s(site.entries[0].pid) + cpu_s(site.guardian)


async def _order(site: Site, sender: Sender, what: str) -> int:
    """Tells all modules what to do; returns how many long steps they have taken."""
    return sum([await sender.request(e.name, "work", what, reply=int, timeout_s=30) for e in site.entries])


async def alarms(minutes: float, burners: int, say: Say) -> Alarms:
    """Busy minutes in which nothing hangs, on a machine whose processors others want too; then one real hang.

    Raises BenchFailed where that isn't named: then the silence before it says nothing.
    """
    heard = Alarms(minutes, burners=burners)
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as temporary, _burning(burners):
        names = busy_bundles(Path(temporary) / "managed", MODULES)
        async with (
            node(Path(temporary) / "managed", ("--mode", "node"), names) as site,
            _listening(site, heard),
            looking(site.url) as (_, sender),
        ):
            await _order(site, sender, "long")
            end_s = time.monotonic() + minutes * 60
            while (left_s := end_s - time.monotonic()) > 0:
                say(f"{left_s / 60:.1f} min left, {len(heard.named)} named, {heard.replaced} nodes replaced")
                await asyncio.sleep(min(LOOK_EVERY_S, left_s))
            heard.replaced += _is_gone(site.entries[0].pid)
            heard.long_steps = await _order(site, sender, "rest")
            named = len(heard.named)
            await _hang(site, sender, heard)
            del heard.named[named:]
    return heard


def _is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def _hang(site: Site, sender: Sender, heard: Alarms) -> None:
    before = len(heard.named)
    try:
        await sender.request(site.entries[0].name, "hang", timeout_s=NAMED_WITHIN_S)
    except GridlinkError:
        await asyncio.sleep(NAMED_WITHIN_S)
    if len(heard.named) == before:
        raise BenchFailed("expected a module that really hung at the end to be named, it was not: nobody else would be")


@asynccontextmanager
async def _listening(site: Site, heard: Alarms) -> AsyncIterator[None]:
    bus = await open_bus(SITE, "bench-ear", site.url)
    try:
        await bus.subscribe(address.topic("health"), "moduleHung", heard)
        yield
    finally:
        await bus.aclose()


@contextmanager
def _burning(burners: int) -> Iterator[None]:
    """So many processes that compute, for other programs of the machine."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(burners)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def report(pairs: Sequence[Pair], heard: Alarms | None) -> dict[str, Any]:
    """The report of what was found. `held`: whether every figure is within its limit. Pure."""
    figures: list[tuple[str, Figure]] = []
    if pairs:
        rest = [one.rest for one in pairs]
        busy = [each for one in pairs for each in one.busy]
        costs = [one.costs for one in pairs]
        figures += _cost("a node at rest", rest, [cost[0] for cost in costs])
        figures += _cost(
            f"busy: {MODULES} modules, 100 requests and 100 steps of 0.3 ms a second", busy, [c[1] for c in costs]
        )
    if heard is not None:
        where = f"{heard.minutes:g} busy minutes beside {heard.burners} processes that compute"
        figures += [
            (where, Figure(f"steps that held the loop for {LONG_STEP_S * 1000:.0f} ms", heard.long_steps, "")),
            (where, Figure("modules named, so blamed in error", len(heard.named), "", 0)),
            (where, Figure("nodes replaced", heard.replaced, "", 0)),
        ]
    rows = [{"part": part, **figure.row()} for part, figure in figures]
    blamed = [] if heard is None else heard.named
    return {"figures": rows, "blamed": blamed, "held": all(row["held"] is not False for row in rows)}


def _cost(part: str, slices: Sequence[tuple[float, float]], costs: Sequence[float]) -> list[tuple[str, Figure]]:
    """`slices`: without and with; `costs`: the difference of each pair of nodes."""
    error = stdev(costs) / len(costs) ** 0.5 if len(costs) > 1 else float("nan")
    figures = [
        Figure("one processor, without the watchdog", round(mean(off for off, _ in slices), 2), "%"),
        Figure("with it", round(mean(on for _, on in slices), 2), "%"),
        Figure(f"its cost, mean of {len(costs)} pairs", round(mean(costs), 3), "%", LIMIT_PERCENT),
        Figure("of the pairs, the least", round(min(costs), 3), "%"),
        Figure("of the pairs, the most", round(max(costs), 3), "%"),
    ]
    if len(costs) > 1:
        figures.append(Figure("standard error of the mean", round(error, 3), "%"))
    return [(part, figure) for figure in figures]
