"""Runs a module's handlers of durable topics: an event is acknowledged when its handler has returned.

One event of a topic at a time, in the stream's order. A handler that raises gets the event again, after a while; past
MAX_TRIES, or where the event can never be handled, it is given up, counted and logged, and the next one comes. What the
store counts are deliveries: those to a reader that is stopped or killed meanwhile, too; they are no failures.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from msgspec.structs import replace

from gridlink.address import Address, parse
from gridlink.bus import wire
from gridlink.bus.durable.document import Delivery
from gridlink.bus.durable.reading import ACK, NEXT, Reader, again
from gridlink.bus.durable.topics import DurableTopics
from gridlink.bus.raw import NoReply
from gridlink.errors import ANYTHING, AccessDenied, GridlinkError, PayloadInvalid, StoreRefused, Unreadable
from gridlink.message import Call, Message, current
from gridlink.module.counters import Counters
from gridlink.module.inbox import Events
from gridlink.tasks import Tasks, is_cancelled

log = logging.getLogger("gridlink.module")

MAX_TRIES = 5  # failures of its handler, counted by a reader as long as it lives
MAX_DELIVERIES = 50  # counted by the store over all restarts: then the event is what ends its reader each time
PAUSES_S = (0.2, 1.0, 5.0, 20.0)  # before the second try, and so on
OPEN_WITHIN_S = 5.0
NEVER = (PayloadInvalid, Unreadable, AccessDenied)  # the event itself is at fault: another try changes nothing


class DurableTopic:
    """One durable topic of one instance."""

    def __init__(
        self,
        name: str,
        topics: DurableTopics,
        where: Address,
        handlers: Events,
        context: Context,
        counters: Counters,
    ) -> None:
        self._name, self._handlers, self._context = name, handlers, context
        self._address, self._topic = where, where.removeprefix("topic.")
        self._counters = counters
        module = name.partition("@")[0].partition("-")[0]
        self._reader: Reader = topics.reader(self._topic, module, self._missed)
        self._tasks = Tasks(name)
        self._ending = asyncio.Event()
        self._current: Delivery | None = None
        self._failing: tuple[int, str, int] = (0, "", 0)  # place and id of the event that failed last, and how often

    async def open(self) -> None:
        """Begins to read. A store that isn't there within OPEN_WITHIN_S is waited for in the background."""
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                await self._reader.open()
        except (*NoReply, StoreRefused, TimeoutError) as error:
            log.warning("%s: the store of topic %s isn't there yet: %s", self._name, self._topic, error)
        self._tasks.spawn(self._run(), name=f"durable {self._topic}", context=self._context.copy())

    async def aclose(self, grace_s: float) -> None:
        """Lets the handler finish for `grace_s`, then cancels it: its event goes to whoever reads next."""
        self._ending.set()
        if self._current is not None:
            await self._tasks.wait(grace_s)
        await self._tasks.aclose()
        await self._reader.aclose()

    async def _run(self) -> None:
        while not self._ending.is_set():
            event = self._current = await self._reader.next()
            try:
                pause_s = await self._handled(event)
            except BaseException:
                self._reader.let_go(event)
                raise
            done = ACK if self._ending.is_set() else NEXT
            await self._reader.settle(event, done if pause_s is None else again(pause_s))
            self._current = None

    async def _handled(self, event: Delivery) -> float | None:
        """Runs the handler; returns after how many seconds it is to be tried again, None where it is done with."""
        _, where, type_name = parse(event.subject)
        handler = self._handlers.get(type_name)
        if handler is None or where != self._address:
            return None
        message = wire.message_of(where, type_name, event.body, event.headers, False)
        if event.count > 1:
            message = replace(message, redelivered=True)
            self._counters.redelivered_events += 1
        if event.count > MAX_DELIVERIES:
            self._give_up(message, f"it was delivered {MAX_DELIVERIES} times, and its reader ended or failed each time")
            return None
        self._counters.events += 1
        return await self._tried(handler, event, message)

    async def _tried(self, handler: Call, event: Delivery, message: Message) -> float | None:
        current.set(message)
        try:
            await handler(message)
        except NEVER as error:
            self._counters.errors += 1
            self._give_up(message, str(error))
        except GridlinkError as error:
            return self._failed(event, message, str(error))
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            return self._failed(event, message, "it awaited something that was cancelled")
        except ANYTHING as error:  # a handler is the author's code: it may raise anything
            log.exception("%s: the handler of %s raised", self._name, message.type)
            return self._failed(event, message, f"{type(error).__name__}: {error}")
        return None

    def _failed(self, event: Delivery, message: Message, why: str) -> float | None:
        self._counters.errors += 1
        sequence, identity, before = self._failing
        failures = before + 1 if (sequence, identity) == (event.sequence, message.id) else 1
        self._failing = event.sequence, message.id, failures
        if failures >= MAX_TRIES:
            self._give_up(message, why)
            return None
        pause_s = PAUSES_S[failures - 1]
        log.warning("%s: %s of topic %s: %s (again in %g s)", self._name, message.type, self._topic, why, pause_s)
        return pause_s

    def _give_up(self, message: Message, why: str) -> None:
        self._counters.given_up_events += 1
        log.error(
            "%s: event %s (%s) of %s is given up: %s",
            self._name, message.id or "without an id", message.type, message.source or "?", why,
        )  # fmt: skip

    def _missed(self, count: int) -> None:
        self._counters.dropped_events += count
        log.error("%s: topic %s discarded %d events before they were read", self._name, self._topic, count)
