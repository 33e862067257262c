"""An instance that gives way to another of its module, in this process or another one: held, and then over or back.

A part of `gridlink.module.instance`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from gridlink.address import Address
from gridlink.bus.protocol import Subscription
from gridlink.errors import Stopping
from gridlink.lifecycle import State, advance
from gridlink.message import Call, Message
from gridlink.module.held import Forward, Held
from gridlink.module.inbox import Inbox
from gridlink.module.module import Environment, Module
from gridlink.module.threads import Threads
from gridlink.tasks import ContainedTasks

LEAST_S = 0.2
HOLD_GRACE_S = 2.0  # for handlers in flight: whoever asks the module meanwhile waits so long
HAND_OVER_WITHIN_S = 5.0
Kept = dict[Address, dict[str, Call]]
"""The handlers of durable topics, by topic and type."""


class HandingOver:
    """The base of Instance for what follows when it is succeeded."""

    name: str
    state: State
    state_to_restore: bytes | None
    _cls: type[Module[Any]]
    _environment: Environment
    _threads: Threads
    _subscriptions: list[Subscription]
    _module: Module[Any] | None
    _inbox: Inbox | None
    _held: Held | None = None
    _forward: Forward | None = None
    follows = False  # it takes over from a former instance that waits for it
    _started: Callable[[Callable[[Module[Any]], Awaitable[None]]], Awaitable[None]]
    _calls: Callable[[Module[Any]], tuple[dict[str, Call], dict[Address, dict[str, Call]], Kept]]
    _read: Callable[[Address, dict[str, Call]], Awaitable[None]]
    _close_kept: Callable[[float], Awaitable[None]]
    _end_module: Callable[[float, float], Awaitable[None]]

    async def hold(self, keep: Callable[[Any], Awaitable[bytes | None]], forward: Forward) -> None:
        """Ends the module, but keeps what comes for it, until `go_on`, or `stop`, which has a successor handle it.

        Lets handlers finish, then calls `keep`, which takes the state. Where one of them fails the module goes on as it
        was, and the error is raised: Busy, StateInvalid, OSError. Asked twice, it minds the last `forward`.
        """
        inbox = self._inbox
        if self._held is not None:
            self._forward = forward  # it may be another one that follows now
            return
        if inbox is None or self.state is not State.RUNNING:
            raise Stopping(f"{self.name} is {self.state}: only a RUNNING module can be moved")
        held = self._held = Held(self.name)
        try:
            await self._close_kept(HOLD_GRACE_S)
            await inbox.hold(held, min(HOLD_GRACE_S, self._cls.stop_within_s))
            self.state_to_restore = await keep(self)
        except BaseException:
            self._held = None
            await self._reopen(inbox)
            raise
        self._forward = forward
        self.state = advance(self.state, State.STOPPING)
        await self._end_module(self._cls.stop_within_s, math.inf)
        self.state = advance(self.state, State.STOPPED)

    async def go_on(self) -> None:
        """Starts the module again after `hold`, from the state that was kept; what came meanwhile is handled.

        Raises StartFailed: what came is refused, and the instance is no more.
        """
        held, inbox = self._held, self._inbox
        if held is None or inbox is None:
            return
        self._environment = structs.replace(self._environment, tasks=ContainedTasks(self.name))
        self._threads = Threads(self.name)
        self.state, self._held = advance(self.state, State.STARTING), None
        try:
            await self._started(self._renewed)
        except BaseException:
            inbox.held = None
            raise
        finally:
            await held.hand_over(inbox.handle, HAND_OVER_WITHIN_S)  # a closed inbox refuses them

    async def _renewed(self, module: Module[Any]) -> None:
        if self._inbox is not None:
            requests, events, _ = self._calls(module)
            self._inbox.renew(requests, events)
            await self._reopen(self._inbox)

    async def _reopen(self, inbox: Inbox) -> None:
        held = inbox.held
        inbox.go_on()
        if self._module is not None:
            for where, handlers in self._calls(self._module)[2].items():
                await self._read(where, handlers)
        if held is not None:
            inbox.queue(held)
            self._environment.tasks.spawn(inbox.catch_up(HAND_OVER_WITHIN_S), name="held requests")

    @property
    def is_held(self) -> bool:
        """Whether it has ended for a successor and keeps what comes."""
        return self._held is not None

    async def handle(self, message: Message) -> bytes:
        """Handles a request that came to a former instance of the module. Raises what it was answered with."""
        if self._inbox is None:
            raise Stopping(f"{self.name} has no module any more: {message.type} was not begun, try again")
        return await self._inbox.handle(message)

    def waiting(self) -> list[Message]:
        """The events that came since `hold`."""
        return self._inbox.waiting() if self._inbox is not None else []

    def go_on_from(self, events: list[Message]) -> None:
        """Handles events, beginning with those that a former instance got and did not handle."""
        if self._inbox is not None:
            self._inbox.go_on(events)

    async def catch_up(self) -> None:
        """Handles what came since it connected: behind what a former instance had kept."""
        if self._inbox is not None:
            await self._inbox.catch_up(HAND_OVER_WITHIN_S)

    async def _hand_over(self, held: Held, within_s: float) -> None:
        """Leaves the bus, then has the successor handle what was kept."""
        by_s = time.monotonic() + within_s
        for subscription in reversed(self._subscriptions):
            await subscription.aclose()
        self._subscriptions.clear()
        self._held = None
        if self._forward is not None:
            await held.hand_over(self._forward, max(LEAST_S, by_s - time.monotonic()))
        if self._inbox is not None:
            await self._inbox.aclose(0.0, LEAST_S)
