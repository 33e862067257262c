"""Whether events sent at each machine's server are heard at the others': what the mesh does, and not what nodes say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from gridlink import address
from gridlink.bus.nats import NatsBus
from gridlink.bus.protocol import Answer
from gridlink.errors import GridlinkError, NoSuchRole
from gridlink.message import Message

TOPIC = address.topic("reach")


class _Ear:
    """The number of the last event of each machine that was heard at one server."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def take_event(self, message: Message) -> None:
        name, _, number = message.payload.decode().partition(" ")
        self.last[name] = int(number)

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        return NoSuchRole(f"an ear answers nothing, {message.type} came")


class Reach:
    """The test's connection to the server of each machine, which sends and hears."""

    def __init__(self) -> None:
        self._buses: dict[str, NatsBus] = {}
        self._ears: dict[str, _Ear] = {}
        self._number = 0

    async def add(self, name: str, bus: NatsBus) -> None:
        """Hears with the connection to a machine's server from now on."""
        self._buses[name], self._ears[name] = bus, _Ear()
        await bus.subscribe(TOPIC, "mark", self._ears[name])

    async def all_ways(self, names: Iterable[str], within_s: float = 30.0) -> float:
        """How long it takes until an event sent after the call at each machine is heard at each other one."""
        ways = [(one, other) for one in names for other in names if one != other]
        before, began_s = self._number, time.monotonic()
        while silent := [way for way in ways if self._ears[way[1]].last.get(way[0], 0) <= before]:
            if time.monotonic() - began_s > within_s:
                raise AssertionError(f"events do not pass after {within_s} s: {silent}")
            self._number += 1
            for name, bus in self._buses.items():
                mark = f"{name} {self._number}".encode()
                await bus.publish(Message(address=TOPIC, type="mark", payload=mark))
            await asyncio.sleep(0.02)
        return time.monotonic() - began_s
