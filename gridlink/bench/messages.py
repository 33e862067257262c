"""`gridlink bench messages`: requests and events through Gridlink and through nats-py alone, alternately in one run.

Three processes as in a real site: nats-server, the side that answers, and this one. A ratio is the median of the
rounds' ratios, each of two measurements right after one another, so that a noisy machine disturbs both.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gridlink import address
from gridlink.bench.echo import EXAMPLE, SITE, SUBSCRIBERS, Echo, Measured, host
from gridlink.bench.errors import BenchFailed
from gridlink.bus.protocol import Answer
from gridlink.bus.server import Server, configuration
from gridlink.errors import GridlinkError, NoSuchType
from gridlink.message import Message
from gridlink.module.retry import Retry
from gridlink.module.sender import Sender
from gridlink.node import Node
from gridlink.node.process import open_bus
from gridlink.proxies import Tracing

Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: medians over the rounds. For events a `second` is one in which so many were delivered."""

    path: str  # raw-nats, gridlink-nats, gridlink-local
    pattern: str  # request, publish
    payload_bytes: int
    concurrency: int
    p50_us: float | None
    p99_us: float | None
    per_s: float


@dataclass(frozen=True, slots=True)
class Timed:
    """One round of one path."""

    p50_us: float
    p99_us: float
    per_s: float


async def messages(requests: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs it all; returns the report as plain JSON types. `requests` of each kind a round."""
    with tempfile.TemporaryDirectory(prefix="gridlink-bench-") as directory:
        file = Path(directory) / "nats-server.conf"
        file.write_text(configuration(SITE, -1, directory))
        with Server(str(file)) as server:
            async with _sides(server.url), _Requesters(server.url, Path(directory)) as sides:
                return await _measure(sides, requests, rounds, say)


async def _measure(sides: _Requesters, requests: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    calls: dict[tuple[str, int], list[Timed]] = {}
    events: dict[str, list[float]] = {"raw-nats": [], "gridlink-nats": []}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for concurrency in (1, 16):
            for path, call in sides.calls.items():
                timed = await time_calls(call, requests * (1 if concurrency == 1 else 4), concurrency)
                calls.setdefault((path, concurrency), []).append(timed)
        for path, publish in sides.publishers.items():
            events[path].append(await publish(requests * 2))
    return report(calls, events)


def report(calls: dict[tuple[str, int], list[Timed]], events: dict[str, list[float]]) -> dict[str, Any]:
    """The rows and ratios of all rounds. Pure."""
    size = len(msgspec.json.encode(EXAMPLE))
    rows = [
        Row(path, "request", size, concurrency, *(_median(timed, name) for name in ("p50_us", "p99_us", "per_s")))
        for (path, concurrency), timed in calls.items()
    ]
    rows += [Row(path, "publish", size, 1, None, None, statistics.median(found)) for path, found in events.items()]

    def ratio(of: str, to: str, concurrency: int, name: str) -> float:
        pairs = zip(calls[of, concurrency], calls[to, concurrency], strict=True)
        return round(float(statistics.median(getattr(a, name) / getattr(b, name) for a, b in pairs)), 3)

    published = zip(events["gridlink-nats"], events["raw-nats"], strict=True)
    ratios = {
        "nats_p50": ratio("gridlink-nats", "raw-nats", 1, "p50_us"),
        "nats_throughput_16": ratio("gridlink-nats", "raw-nats", 16, "per_s"),
        "local_speedup_p50": ratio("gridlink-nats", "gridlink-local", 1, "p50_us"),
        "publish_7": round(statistics.median(ours / raw for ours, raw in published), 3),
    }
    return {"rows": [msgspec.to_builtins(row) for row in rows], "ratios": ratios}


def _median(timed: list[Timed], name: str) -> float:
    return round(float(statistics.median(getattr(one, name) for one in timed)), 1)


async def time_calls(call: Call, number: int, concurrency: int) -> Timed:
    """Makes `number` calls from so many requesters; each waits for its answer before it asks again."""
    took_ns: list[int] = []

    async def requester(share: int) -> None:
        for _ in range(share):
            began_ns = time.perf_counter_ns()
            await call()
            took_ns.append(time.perf_counter_ns() - began_ns)

    began_ns = time.perf_counter_ns()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(requester(number // concurrency))
    whole_s = (time.perf_counter_ns() - began_ns) / 1e9
    took_ns.sort()
    p50, p99 = (took_ns[int(len(took_ns) * part)] / 1e3 for part in (0.5, 0.99))
    return Timed(p50, p99, len(took_ns) / whole_s)


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@asynccontextmanager
async def _sides(url: str) -> AsyncIterator[None]:
    """The processes that answer; killed at the end."""
    command = [sys.executable, "-m", "gridlink.bench.echo"]
    processes = [_start([*command, side, url]) for side in ("raw", "gridlink")]
    try:
        for process in processes:
            line = await asyncio.to_thread(process.stdout.readline) if process.stdout else ""
            if line.strip() != "ready":
                raise BenchFailed(f"the side that answers ended with status {process.wait(5)}: its error is above")
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


class _Requesters:
    """This process's share: a plain client and a node, each with the ways to ask and to publish."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url, self._directory = url, directory
        self.calls: dict[str, Call] = {}
        self.publishers: dict[str, Callable[[int], Awaitable[float]]] = {}

    async def __aenter__(self) -> _Requesters:
        import nats  # noqa: PLC0415 - as a user of nats-py imports it

        self._client = await nats.connect(self._url)
        self._node = Node(await open_bus(SITE, "requester", self._url), "bench")
        await self._node.__aenter__()
        await host(self._node, Echo, "here", self._directory)
        far = (await self._node.registry.wait_for(instance="echo@echo")).instance
        bus = self._node.bus
        registry = self._node.registry
        retry = Retry(registry.reach.idempotent, bus.connected, registry.reach.twice_elsewhere)
        sender = Sender(bus, "bench@requester", (Tracing(),), retry=retry)  # as every module has it
        body = msgspec.json.encode(EXAMPLE)
        self.calls = {
            "raw-nats": lambda: self._client.request("raw.echo", body),
            "gridlink-nats": lambda: sender.request(far, "echo", EXAMPLE, reply=Measured),
            "gridlink-local": lambda: sender.request("here@requester", "echo", EXAMPLE, reply=Measured),
        }
        self.publishers = {"raw-nats": self._publish_raw, "gridlink-nats": self._publish}
        self._sender, self._body = sender, body
        self._done = _Done()
        await self._node.bus.subscribe(address.topic("counted"), "done", self._done)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._node.aclose()
        await self._client.close()

    async def _publish(self, number: int) -> float:
        """Deliveries a second to the seven modules of the other node."""
        self._done.expect(SUBSCRIBERS)
        await self._sender.publish("announce", "expect", number)
        began_s = time.perf_counter()
        for _ in range(number):
            await self._sender.publish("count", "measured", EXAMPLE)
        await self._done.wait()
        return SUBSCRIBERS * number / (time.perf_counter() - began_s)

    async def _publish_raw(self, number: int) -> float:
        """Deliveries a second to seven callbacks of nats-py."""
        done = await self._client.subscribe("raw.counted")
        await self._client.request("raw.expect", msgspec.json.encode(number))
        began_s = time.perf_counter()
        for _ in range(number):
            await self._client.publish("raw.count", self._body)
        for _ in range(SUBSCRIBERS):
            await done.next_msg(timeout=60)
        per_s = SUBSCRIBERS * number / (time.perf_counter() - began_s)
        await done.unsubscribe()
        return per_s


class _Done:
    """Keeps gridlink.bus.Receiver: waits until so many have said that they are done."""

    def __init__(self) -> None:
        self._left = 0
        self._all = asyncio.Event()

    def expect(self, number: int) -> None:
        self._left = number
        self._all.clear()

    async def wait(self) -> None:
        async with asyncio.timeout(60):
            await self._all.wait()

    def take_event(self, _: Message) -> None:
        self._left -= 1
        if self._left == 0:
            self._all.set()

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        return NoSuchType(f"a benchmark answers no {message.type}")
