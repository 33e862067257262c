"""Publishes events of durable topics: each is on disk when `publish` returns, or it raises NotStored.

What a module publishes is stored in the order of its calls: one event of a source is on its way at a time. Nothing is
kept here for later: whoever publishes waits, and that is what bounds the memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gridlink.bus import wire
from gridlink.bus.durable.document import STORE_WITHIN_S, store_subject, stream_name, topic_subject, with_id
from gridlink.bus.durable.jetstream import JetStream, checked
from gridlink.bus.raw import NoReply
from gridlink.errors import Busy, ConnectionLost, GridlinkError, NotStored, StoreRefused
from gridlink.message import Message

if TYPE_CHECKING:
    from gridlink.bus.nats import NatsBus

log = logging.getLogger("gridlink.bus")

ATTEMPT_S = 1.5
PAUSE_S = 0.1
MAX_WAITING = 256  # events of one source


class Storing:
    """Stores one node's events of a topic. `ensure` makes the stream where it has gone."""

    def __init__(self, bus: NatsBus, jetstream: JetStream, topic: str, ensure: Callable[[], Awaitable[object]]) -> None:
        self._bus, self._jetstream, self._topic, self._ensure = bus, jetstream, topic, ensure
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def publish(self, message: Message) -> None:
        """Returns when the event is stored. Raises NotStored, Busy, PayloadTooLarge.

        Live subscribers get it at most once, whatever becomes of it. Cancelled, or after NotStored, it may be stored.
        """
        self._bus.local.check(message)
        source = message.source
        waiting = self._waiting.get(source, 0)
        if waiting >= MAX_WAITING:
            raise Busy(
                f"{source} has {waiting} events of topic {self._topic} waiting to be stored: wait for publish to "
                "return before the next one"
            )
        self._waiting[source] = waiting + 1
        try:
            async with self._turns.setdefault(source, asyncio.Lock()):
                await self._store(message)
        finally:
            self._waiting[source] -= 1

    async def _store(self, message: Message) -> None:
        self._bus.local.deliver(message)
        headers = with_id(wire.headers_of(message), f"{message.source}/{message.id}")
        subject = topic_subject(self._bus.site, self._topic, message.type)
        until_s = time.monotonic() + STORE_WITHIN_S
        while True:
            try:
                return await self._try(subject, message.payload, headers)
            except (*NoReply, StoreRefused) as error:
                if time.monotonic() + PAUSE_S > until_s:
                    raise self._failed(message, error) from error
                reason = error
            subject = store_subject(self._bus.site, self._topic, message.type)
            await self._pause(until_s)
            if not isinstance(reason, ConnectionLost):
                await self._mend()

    async def _try(self, subject: str, body: bytes, headers: bytes) -> None:
        reply = await self._jetstream.raw.request(subject, body, headers, timeout_s=ATTEMPT_S)
        found = checked(reply, f"storing on {self._topic}")
        if found.get("stream") != stream_name(self._topic):
            raise StoreRefused(f"expected the stream's acknowledgement on {subject}, got {reply[:80]!r}")

    async def _pause(self, until_s: float) -> None:
        """Waits until another try makes sense: there is a connection, and a moment has passed."""
        await asyncio.sleep(PAUSE_S)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until_s - time.monotonic()):
                await self._jetstream.raw.connected()
        except TimeoutError:
            log.debug("no connection within the time for an event of %s", self._topic)  # the next try says so

    async def _mend(self) -> None:
        """Makes the stream anew, if it is gone; a server that isn't there yet is left to the next try.

        That nobody was there is said only where nobody at all listens: who looks at the whole site (`nats sub 'gl.>'`)
        makes silence of it.
        """
        try:
            await self._ensure()
        except (*NoReply, StoreRefused) as error:
            log.debug("the stream of topic %s can't be had yet: %s", self._topic, error)

    def _failed(self, message: Message, error: GridlinkError) -> NotStored:
        return NotStored(
            f"{message.type} of {message.source} was not acknowledged by the store of topic {self._topic} within "
            f"{STORE_WITHIN_S:g} s ({error}): publish it again when the site's JetStream server is back (see "
            "docs/durable.md)"
        )
