"""Retry: a request that certainly wasn't begun, or may be done twice, is tried once more within its deadline.

Certainly not begun: the receiver was stopping. May be done twice: its receiver's manifest lists the type as
`idempotent`, and the connection broke while it was in flight. Anything else fails to its sender, who alone can know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gridlink.address import Address
from gridlink.errors import ConnectionLost, Stopping
from gridlink.message import Message


class Retry:
    """Decides. `idempotent` tells of an address and type; `connected` returns when the bus is there again."""

    def __init__(self, idempotent: Callable[[Address, str], bool], connected: Callable[[], Awaitable[None]]) -> None:
        self._idempotent, self._connected = idempotent, connected

    async def after(self, error: Stopping | ConnectionLost, message: Message) -> None:
        """Returns when `message` may be sent again; raises `error` where it may not, or not in time."""
        if isinstance(error, Stopping):
            return
        if not self._idempotent(message.address, message.type):
            raise error
        try:
            async with asyncio.timeout(message.time_left_s()):
                await self._connected()
        except TimeoutError:
            raise ConnectionLost(
                f"the connection to the bus was not restored before the deadline of {message.type}"
            ) from error
