"""The connection of a bus, for subjects that aren't Gridlink's own: requests to JetStream, and what it delivers.

Loaded where a topic is durable, and nowhere else. Requests share one reply subscription; all fail when the connection
is lost, and nothing is kept for later.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gridlink.bus import wire
from gridlink.errors import ConnectionLost, GridlinkError, RequestTimeout, StoreUnavailable

if TYPE_CHECKING:
    from gridlink.bus.client import Client, Listener

log = logging.getLogger("gridlink.bus")

NoReply = (ConnectionLost, RequestTimeout, StoreUnavailable)
"""What `request` raises: the outcome is unknown, but for StoreUnavailable, where nobody was there."""


class Raw:
    """Requests and subscriptions on a client's connection; lives as long as its bus."""

    def __init__(self, client: Client, inbox: str, connected: Callable[[], Awaitable[object]]) -> None:
        self._client = client
        self.connected = connected  # returns when there is a connection
        self.on_lost: set[Callable[[], None]] = set()  # called when the connection is lost
        self._inbox = inbox  # replies come below it; nobody else has it
        self._numbers = itertools.count(1)
        self._in_flight: dict[bytes, asyncio.Future[bytes]] = {}
        self._subscribed = False

    def new_inbox(self) -> str:
        """A subject that nobody else listens to."""
        return f"{self._inbox}-{next(self._numbers):x}"

    async def request(self, subject: str, body: bytes, headers: bytes = b"", *, timeout_s: float = 2.0) -> bytes:
        """Sends and returns the first reply. Raises one of NoReply."""
        if not self._subscribed:
            self._subscribed = True
            await self.listen(f"{self._inbox}.*", self._replied)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        token = f"{next(self._numbers):x}"
        self._in_flight[token.encode()] = future
        try:
            self.put(subject, body, headers, reply=f"{self._inbox}.{token}")
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            raise RequestTimeout(f"no answer from {subject} within {timeout_s:g} s") from error
        finally:
            self._in_flight.pop(token.encode(), None)

    def put(self, subject: str, body: bytes, headers: bytes = b"", *, reply: str = "") -> None:
        """Sends. Raises ConnectionLost while there is no connection."""
        from gridlink.bus.client import Error  # noqa: PLC0415 - loaded long ago: there is a client

        try:
            self._client.put(subject, reply, body, headers)
        except Error as error:
            raise ConnectionLost("the connection to the bus is down; it is being restored: try again") from error

    async def listen(self, subject: str, listener: Listener) -> Callable[[], Awaitable[None]]:
        """Hands what comes on a subject to `listener`, also after a reconnect; returns what ends it."""
        subscription = await self._client.listen(subject, listener)

        async def end() -> None:
            if not self._client.is_closed:
                await subscription.unsubscribe()

        return end

    def _replied(self, subject: bytes, _: bytes, body: bytes, headers: bytes | None) -> None:
        future = self._in_flight.get(subject.rpartition(b".")[2])
        if future is None or future.done():
            return
        if headers and (wire.parse_headers(headers) or {}).get("Status") == wire.NO_RESPONDERS:
            future.set_exception(StoreUnavailable("nobody is there to store it: is the site's JetStream server up?"))
        else:
            future.set_result(body)

    def fail(self, error: GridlinkError) -> None:
        """The connection is gone: whoever waits for a reply is told."""
        for future in self._in_flight.values():
            if not future.done():
                future.set_exception(error)
        for lost in tuple(self.on_lost):
            lost()
