"""Retry: a request that certainly wasn't begun, or may be done twice, is tried once more within its deadline.

Certainly not begun: the receiver was stopping. May be done twice: its receiver's manifest lists the type as
`idempotent`. Such a one is tried again when the connection broke while it was in flight, and at half its time, since
its receiver may be dead: the first answer counts. Where the connection broke, its receiver's may have broken too, and
has a second to be there again. Anything else fails to its sender, who alone can know.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from gridlink.address import Address
from gridlink.errors import Busy, ConnectionLost, NoSuchInstance, NoSuchRole, RequestTimeout, Stopping
from gridlink.message import Call, Message
from gridlink.tasks import Tasks

RECEIVER_BACK_WITHIN_S = 1.0
_AGAIN_S = 0.05  # a node tries every 0.1 s to be connected


def _never(_: Address, __: str) -> bool:
    return False


class Retry:
    """Decides. `connected` returns when the bus is there again; the others tell of an address and type.

    `idempotent`: it may be done twice. `elsewhere`: that, and another node may have it.
    """

    def __init__(
        self,
        idempotent: Callable[[Address, str], bool],
        connected: Callable[[], Awaitable[None]],
        elsewhere: Callable[[Address, str], bool] = _never,
    ) -> None:
        self._idempotent, self._connected, self.elsewhere = idempotent, connected, elsewhere

    async def twice(self, call: Call, elsewhere: Call, message: Message, trace: Callable[[], str]) -> Any:
        """The first answer to `call`, or to `elsewhere`, which is made when half the time is over without one."""
        tasks = Tasks(message.type)
        first = tasks.spawn(_made(call, message), name=message.type, awaited=True)
        try:
            await asyncio.wait({first}, timeout=(message.time_left_s() or 0.0) / 2)
            if first.done():
                try:
                    return first.result()
                except (Stopping, ConnectionLost) as error:
                    return await self.again(elsewhere, error, message, trace)
            second = tasks.spawn(_made(elsewhere, replace(message, trace=trace())), name=message.type, awaited=True)
            tries = (first, second)
            while not any(map(_answered, tries)) and (pending := [one for one in tries if not one.done()]):
                await asyncio.wait(pending, return_when=FIRST_COMPLETED)
            return next(filter(_answered, tries), first).result()
        finally:
            await tasks.aclose()

    async def again(
        self, call: Call, error: Stopping | ConnectionLost, message: Message, trace: Callable[[], str]
    ) -> Any:
        """The answer to `call`, made once more after `error`; raises `error` where it may not be, or not in time."""
        await self._may_go_on(error, message)
        until_s = time.monotonic() + RECEIVER_BACK_WITHIN_S
        while True:
            try:
                return await call(replace(message, trace=trace()))
            except (NoSuchRole, NoSuchInstance):
                left_s = message.time_left_s() or 0.0
                if isinstance(error, Stopping) or left_s <= 0 or time.monotonic() > until_s:
                    raise
            await asyncio.sleep(min(_AGAIN_S, left_s))

    async def _may_go_on(self, error: Stopping | ConnectionLost, message: Message) -> None:
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


async def _made(call: Call, message: Message) -> Any:
    return await call(message)


def _answered(one: asyncio.Task[Any]) -> bool:
    """Whether somebody has answered, if only with a refusal."""
    return one.done() and not isinstance(one.exception(), _NO_ANSWER)


_NO_ANSWER = (NoSuchRole, NoSuchInstance, Stopping, Busy, ConnectionLost, RequestTimeout)
