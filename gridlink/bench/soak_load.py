"""Two parts of `gridlink bench soak`: a node's memory after many requests, and under events that nobody takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from gridlink.bench.errors import BenchFailed
from gridlink.bench.pages import mib
from gridlink.bench.run import looking
from gridlink.bench.soak_figure import Figure
from gridlink.bench.soak_site import SoakNode, soak_site
from gridlink.module.sender import Sender

CONCURRENCY = 16
AT_A_TIME = 20_000  # requests an order, so that progress is seen
ORDER_WITHIN_S = 300.0
SETTLED_WITHIN_S = 30.0
REQUESTS_LIMIT_MIB = 1.0
EVENTS_LIMIT_MIB = 8.0
ASKING = "soak_asks@asking"
BLOCKING = "soak_blocks@blocking"


async def requests(warm_up: int, number: int, say: Callable[[str], None]) -> list[Figure]:
    """What each of two nodes takes more after `number` typed requests between them than after the first `warm_up`."""
    nodes = {"answering": {"soak_answers": "SoakAnswers"}, "asking": {"soak_asks": "SoakAsks"}}
    async with soak_site(nodes) as (url, running), looking(url) as (_, sender):
        await _ask(sender, warm_up)
        before, took_s, done = _pss(running), 0.0, warm_up
        while done < number:
            share = min(AT_A_TIME, number - done)
            took_s += await _ask(sender, share)
            done += share
            say(f"{done:,} of {number:,} requests")
        more = {name: pss - before[name] for name, pss in _pss(running).items()}
    figures = [
        Figure(f"the {name} node after {number:,} requests, more than after {warm_up:,}", mib(bytes_), "MiB", limit)
        for (name, bytes_), limit in zip(more.items(), (REQUESTS_LIMIT_MIB, REQUESTS_LIMIT_MIB), strict=True)
    ]
    return [*figures, Figure("requests a second meanwhile", round((number - warm_up) / max(took_s, 1e-9)), "/s")]


async def _ask(sender: Sender, number: int) -> float:
    order = {"requests": number, "concurrency": CONCURRENCY}
    return await sender.request(ASKING, "ask", order, reply=float, timeout_s=ORDER_WITHIN_S)


async def events(number: int, say: Callable[[str], None]) -> list[Figure]:
    """What two nodes take more after `number` events from one to a handler in the other that never comes back.

    Raises BenchFailed where events are neither handled nor counted as dropped.
    """
    nodes = {"blocking": {"soak_blocks": "SoakBlocks"}, "publishing": {"soak_asks": "SoakAsks"}}
    async with soak_site(nodes) as (url, running), looking(url) as (_, sender):
        before = _pss(running)
        say(f"{number:,} events")
        publishes = "soak_asks@publishing"
        took_s = await sender.request(publishes, "flood", number, reply=float, timeout_s=ORDER_WITHIN_S)
        await _until(sender, lambda counted: counted["events"] > 0 and counted["dropped_events"] > 0)
        more = {name: pss - before[name] for name, pss in _pss(running).items()}
        await sender.request(BLOCKING, "release")
        counted = await _until(sender, lambda counted: counted["events"] + counted["dropped_events"] >= number)
    return [
        *(
            Figure(f"the {name} node after {number:,} events, more than before", mib(bytes_), "MiB", EVENTS_LIMIT_MIB)
            for name, bytes_ in more.items()
        ),
        Figure("events dropped, by the counters of `gridlink show`", counted["dropped_events"], "events"),
        Figure("events handled once the handler went on", counted["events"], "events"),
        Figure("events neither handled nor counted", number - counted["events"] - counted["dropped_events"], "", 0),
        Figure("events a second that were published", round(number / max(took_s, 1e-9)), "/s"),
    ]


async def _until(sender: Sender, enough: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """The counters of the module that blocks, once they say `enough`."""
    deadline_s = time.monotonic() + SETTLED_WITHIN_S
    while True:
        counted: Mapping[str, Any] = (await sender.request("_node@blocking", "counters"))[BLOCKING]
        if enough(counted):
            return counted
        if time.monotonic() > deadline_s:
            kept = {name: counted[name] for name in ("events", "dropped_events")}
            raise BenchFailed(f"not every event was handled or counted within {SETTLED_WITHIN_S:g} s: {kept}")
        await asyncio.sleep(0.05)


def _pss(nodes: Mapping[str, SoakNode]) -> dict[str, float]:
    return {name: node.pss_bytes() for name, node in nodes.items()}
