"""One instance of a module takes over from another in another process: nothing sent to it is lost or done twice.

The follower's node asks the former's (`_node@…`), in this order: `hold` (its handlers finish, its state is written
down, its `stop` runs; requests and events for it are kept), then the follower starts from that state and connects;
`waiting` (the events that the former has kept: the follower handles them first). Then whoever moves the module ends the
former: it leaves the bus and has the follower `take` the requests that it has kept. Where the follower doesn't start,
`resume` has the former go on; it does so by itself, too, if the follower ends, or nobody says anything for LEASE_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gridlink import address
from gridlink.address import Address
from gridlink.bus.protocol import Bus
from gridlink.codec import codec, encode
from gridlink.errors import GridlinkError, NoSuchInstance, StartFailed, StateInvalid
from gridlink.lifecycle import State
from gridlink.message import Message
from gridlink.module.sender import Sender
from gridlink.module.warrants import SHARED, Warrants
from gridlink.tasks import Tasks

if TYPE_CHECKING:
    from gridlink.module.instance import Instance
    from gridlink.node.node import Node

log = logging.getLogger("gridlink.node")

LEASE_S = 20.0
HOLD_WITHIN_S = 15.0
TAKEN_WITHIN_S = 5.0
PAGE = 64  # events in an answer


@dataclass(frozen=True, slots=True)
class Hold:
    """The instance that is to be held, and the one that follows it."""

    instance: str
    follower: str


@dataclass(frozen=True, slots=True)
class Page:
    """Asks for events that an instance has kept, from the first one that wasn't told yet."""

    instance: str
    first: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A message on its way from one instance of a module to another; `left_s` of its time is left."""

    instance: str
    address: str
    type: str
    payload: bytes
    source: str
    id: str
    left_s: float | None
    trace: str
    wants_reply: bool

    def message(self) -> Message:
        """The message, as the first instance got it."""
        return Message(
            address=Address(self.address),
            type=self.type,
            payload=self.payload,
            source=self.source,
            id=self.id,
            deadline_s=None if self.left_s is None else time.monotonic() + self.left_s,
            trace=self.trace,
            wants_reply=self.wants_reply,
        )


def carried(instance: str, message: Message) -> Carried:
    """A message as it travels."""
    return Carried(
        instance,
        message.address,
        message.type,
        message.payload,
        message.source,
        message.id,
        message.time_left_s(),
        message.trace,
        message.wants_reply,
    )


def _node_of(instance: str) -> str:
    return f"{address.NODE}@{instance.partition('@')[2]}"


async def resume(bus: Bus, instance: str, warrants: Warrants) -> None:
    """Has an instance go on that was held for a follower; one that wasn't does anyhow."""
    sender = Sender(bus, f"{address.NODE}@{bus.node}")
    to = _node_of(instance)
    warrant = warrants.of(SHARED, to, "resume", encode(instance))
    await sender.request(to, "resume", instance, timeout_s=HOLD_WITHIN_S, id=warrant)


class Following:
    """The side of the instance that follows `former` (`name@node`)."""

    def __init__(self, bus: Bus, former: str, instance: Instance, warrants: Warrants) -> None:
        self._sender = Sender(bus, f"{address.NODE}@{bus.node}")
        self._former, self._instance, self._warrants = former, instance, warrants
        self._is_there = False

    async def begin(self) -> None:
        """Has the former held. One that is gone is none to wait for. Raises StartFailed: it can't be held now."""
        order = Hold(self._former, self._instance.name)
        try:
            warrant = self._warrant("hold", order)
            await self._sender.request(_node_of(self._former), "hold", order, timeout_s=HOLD_WITHIN_S, id=warrant)
        except NoSuchInstance:
            return
        except GridlinkError as error:
            raise StartFailed(str(error)) from error
        self._is_there = self._instance.follows = True

    async def go_on(self, instance: Instance) -> None:
        """Handles the events that came meanwhile; without those of the former where it is gone by now."""
        events: list[Message] = []
        try:
            while self._is_there:
                asked = Page(self._former, len(events))
                page = await self._sender.request(
                    _node_of(self._former),
                    "waiting",
                    asked,
                    reply=tuple[Carried, ...],
                    timeout_s=2.0,
                    id=self._warrant("waiting", asked),
                )
                events += [one.message() for one in page]
                if len(page) < PAGE:
                    break
        except GridlinkError as error:
            log.warning("%s: events that %s has kept are lost: %s", instance.name, self._former, error)
        if self._is_there:
            instance.go_on_from(events)
            await instance.catch_up()

    def _warrant(self, what: str, payload: Hold | Page) -> str:
        return self._warrants.of(SHARED, _node_of(self._former), what, encode(payload))


class Succession:
    """The side of a node that has the former instance, and of one that has the follower: answers what is asked."""

    def __init__(self, node: Node, find: Callable[[str], Instance]) -> None:
        self._node, self._find = node, find
        self._tasks = Tasks("succession")
        self._steps = asyncio.Lock()
        self._leases: dict[str, Hold] = {}  # the last one of each instance

    async def aclose(self) -> None:
        """Waits for nobody any more."""
        await self._tasks.aclose()

    async def answer(self, what: str, body: bytes) -> bytes:
        """Answers `hold`, `resume`, `waiting` or `take`. Raises GridlinkError."""
        if what == "take":
            one = codec(Carried).decode(body)
            return await self._find(one.instance).handle(one.message())
        if what == "waiting":
            page = codec(Page).decode(body)
            events = self._find(page.instance).waiting()[page.first : page.first + PAGE]
            return encode([carried(page.instance, event) for event in events])
        async with self._steps:
            if what == "hold":
                return await self._hold(codec(Hold).decode(body))
            return await self._resume(codec(str).decode(body))

    async def _hold(self, order: Hold) -> bytes:
        instance = self._find(order.instance)
        forward = partial(self._forward, order.follower)
        try:
            await instance.hold(self._keep, forward)
        except OSError as error:
            raise StateInvalid(f"{order.instance}: its state can't be written: {error}") from error
        await self._node.registry.put_state(order.instance, State.STOPPING)
        self._leases[order.instance] = order
        self._tasks.spawn(self._lease(order), name=f"{order.instance} is held")
        return encode(None)

    async def _keep(self, instance: Instance) -> bytes | None:
        keeper = self._node.keeper
        if keeper is not None:
            return await keeper.kept(instance)
        if instance.has_snapshot:
            raise StateInvalid(f"{instance.name}: its node keeps no checkpoints, so its state can't be moved")
        return None

    async def _resume(self, name: str) -> bytes:
        instance = self._find(name)
        if not instance.is_held:
            return encode(None)
        try:
            await instance.go_on()
        except BaseException:
            self._node.instances.pop(name, None)
            await self._node.registry.drop(name)
            raise
        await self._node.registry.put_state(name, State.RUNNING)
        log.info("%s goes on where it was", name)
        return encode(None)

    async def _gone(self, follower: str) -> None:
        """Returns when the follower, which is starting, is no more: its process has ended."""
        async for change in self._node.registry.watch():
            if change.instance == follower and not self._node.registry.knows(follower):
                return

    async def _lease(self, order: Hold) -> None:
        """Its follower, or whoever moved it, may be gone: then it goes on, unless its follower runs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEASE_S):
                await self._gone(order.follower)
        instance = self._node.instances.get(order.instance)
        if instance is None or not instance.is_held or self._leases.get(order.instance) is not order:
            return
        if self._node.registry.find(instance=order.follower):
            log.warning("%s is held, and its follower %s runs: it ends", order.instance, order.follower)
            await self._node.release(order.instance)
            return
        log.error("%s was held for %s, which doesn't run: it goes on", order.instance, order.follower)
        await self.answer("resume", encode(order.instance))

    async def _forward(self, follower: str, message: Message) -> bytes:
        to, payload = _node_of(follower), encode(carried(follower, message))
        asked = Message(
            address=address.instance(to),
            type="take",
            payload=payload,
            id=self._node.warrants.of(SHARED, to, "take", payload),
            source=f"{address.NODE}@{self._node.node}",
            deadline_s=message.deadline_s or time.monotonic() + TAKEN_WITHIN_S,
            wants_reply=True,
        )
        return await self._node.bus.request(asked)
