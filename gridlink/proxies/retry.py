"""Retry: a request that certainly wasn't begun, or may be done twice, is tried once more within its deadline.

Certainly not begun: the receiver was stopping. May be done twice: its receiver's manifest lists the type as
`idempotent`, and the connection broke while it was in flight. Anything else fails to its sender, who alone can know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gridlink.address import Address
from gridlink.errors import ConnectionLost, Stopping
from gridlink.message import Call, Message
from gridlink.proxies.chain import Proxy


class Retry(Proxy):
    """Sends once more. `idempotent` tells of an address and type; `connected` returns when the bus is there again."""

    def __init__(self, idempotent: Callable[[Address, str], bool], connected: Callable[[], Awaitable[None]]) -> None:
        self._idempotent, self._connected = idempotent, connected

    def outgoing(self, call: Call) -> Call:
        """Wraps requests; what nobody waits for is never sent twice."""

        async def retried(message: Message) -> object:
            try:
                return await call(message)
            except Stopping:
                if not message.wants_reply:
                    raise
            except ConnectionLost:
                if not message.wants_reply or not self._idempotent(message.address, message.type):
                    raise
                await self._wait(message)
            return await call(message)

        return retried

    async def _wait(self, message: Message) -> None:
        try:
            async with asyncio.timeout(message.time_left_s()):
                await self._connected()
        except TimeoutError as error:
            raise ConnectionLost(
                f"the connection to the bus was not restored before the deadline of {message.type}"
            ) from error
