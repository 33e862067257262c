"""A module with one handler of each kind, and one that asks it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

from gridlink import Module, Refused, Topic, message, request, subscribe
from gridlink.testing import Site


@dataclass(frozen=True)
class Number:
    """A payload."""

    value: int


class Probe(Module[None]):
    """One handler of each kind; what happened is in `seen`."""

    roles = ("probe",)
    publishes = (Topic("news", number=Number),)
    stop_within_s = 0.3

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.gate = asyncio.Event()
        self.thread_gate = threading.Event()
        self.cancelled = 0

    @request("double")
    async def double(self, number: Number) -> Number:
        return Number(number.value * 2)

    @request("wait")
    async def wait(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "waited"

    @request("fail")
    async def fail(self) -> None:
        raise ValueError("the pump is dry")

    @request("refuse")
    async def refuse(self) -> None:
        raise Refused("expected water, got none: fill it")

    @request("lie")
    async def lie(self) -> Number:
        return Number("many")  # type: ignore[arg-type]

    @request("who")
    async def who(self) -> list[Any]:
        now = message()
        return [now.source, now.type, bool(now.id), now.trace, round(now.time_left_s() or -1)]

    @request("thread", thread=True)
    def thread(self) -> str:
        self.thread_gate.wait(10)
        return threading.current_thread().name

    @request("publish")
    async def publish(self, number: Number) -> None:
        await self.bus.publish("news", "number", number)

    @request("gossip")
    async def gossip(self) -> None:
        await self.bus.publish("news", "rumour", 1)

    @request("ask")
    async def ask(self, to: str) -> list[Any]:
        return [message().trace, await self.bus.request(to, "who")]

    @request("spawn")
    async def spawn(self) -> None:
        self.tasks.spawn(self.clock.sleep(3600), name="background")

    @request("exit")
    async def exit(self) -> None:
        raise asyncio.CancelledError

    @subscribe("measurement", "number")
    async def on_number(self, number: Number) -> None:
        self.seen.append(number.value)
        if number.value < 0:
            raise ValueError("negative")
        if number.value == 999:
            raise asyncio.CancelledError
        if number.value == 1000:
            await self.gate.wait()

    @subscribe("measurement", "other")
    async def on_other(self, number: Number) -> None:
        await asyncio.sleep(0)
        self.seen.append(f"other {number.value}")

    @subscribe("second", "number")
    async def on_second(self, number: Number) -> None:
        self.seen.append(f"second {number.value}")


class Asker(Module[None]):
    """Asks the probe."""

    roles = ("asker",)

    @request("typed")
    async def typed(self, what: str) -> int:
        if what == "text":
            return await self.bus.request("probe", "double", Number(21), reply=int)
        return (await self.bus.request("probe", "double", Number(21), reply=Number)).value


class Probe2(Probe):
    """The same under another role."""

    roles = ("probe2",)


def probe(site: Site, name: str = "probe") -> Any:
    """The module itself."""
    return site.node.instances[f"{name}@test"]._module
