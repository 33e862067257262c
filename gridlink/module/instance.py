"""One running copy of a module: starts it, connects its handlers to the bus, and ends it in reverse.

The state machine is gridlink.lifecycle. `start` either leaves a RUNNING instance, or nothing: a partial start is
rolled back, and the reason raised.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from gridlink import address
from gridlink.address import Address
from gridlink.bus.protocol import Bus, Subscription
from gridlink.contract import Contract, Served
from gridlink.errors import (
    ANYTHING,
    ConfigInvalid,
    ConnectionLost,
    GridlinkError,
    StartFailed,
    StateInvalid,
    Stopping,
    raised_at,
)
from gridlink.lifecycle import State, advance
from gridlink.message import Call
from gridlink.module import hooks
from gridlink.module.counters import Counters
from gridlink.module.handing_over import HAND_OVER_WITHIN_S, LEAST_S, HandingOver, Kept
from gridlink.module.held import Held
from gridlink.module.inbox import Inbox
from gridlink.module.module import Environment, Module, make
from gridlink.module.owner import owner
from gridlink.module.state import has_snapshot, restored, taken
from gridlink.module.steps import Tell, in_one_step, step_by_step
from gridlink.module.threads import Threads
from gridlink.proxies import Proxy, begin_trace, incoming, validate_incoming
from gridlink.tasks import is_cancelled

if TYPE_CHECKING:
    from gridlink.module.durable import DurableTopic

R = TypeVar("R")

CANCELLED_WITHIN_S = 5.0
SNAPSHOT_WITHIN_S = 2.0
CONNECTED_AGAIN_S = 0.05
START, RESTORE_AND_START = "start()", "restore() and start()"


class Instance(HandingOver):
    """Runs one module on a bus. `start` and `stop` are called once each, in this order."""

    def __init__(
        self,
        cls: type[Module[Any]],
        contract: Contract,
        environment: Environment,
        bus: Bus,
        proxies: Sequence[Proxy],
        counters: Counters,
        on_step: Tell,
        context: contextvars.Context,
    ) -> None:
        self.name = environment.instance
        self.state = State.STARTING
        self.counters = counters
        self.contract = contract
        self._cls, self._environment, self._bus, self._proxies = cls, environment, bus, proxies
        self._on_step = on_step
        self._threads = Threads(self.name)
        self._subscriptions: list[Subscription] = []
        self._kept: list[DurableTopic] = []
        self._context = context
        self._context.run(owner.set, self.name)
        self._module: Module[Any] | None = None
        self._inbox: Inbox | None = None
        self.state_to_restore: bytes | None = None
        self.start_within_s = 0.0  # restoring included, while a former instance waits; 0: as the module says
        self.before_stop: Callable[[Instance], Awaitable[None]] | None = None
        self.has_met_end_of_memory = False

    @property
    def has_snapshot(self) -> bool:
        """Whether the module has a state to keep."""
        return has_snapshot(self._cls)

    @property
    def module(self) -> str:
        """The module's name."""
        return self._environment.manifest.name

    @property
    def version(self) -> str:
        """The module's."""
        return self._environment.manifest.version

    async def snapshot(self) -> bytes:
        """The module's state as JSON. Raises StateInvalid, also where it takes longer than SNAPSHOT_WITHIN_S."""
        if self._module is None:
            raise StateInvalid(f"{self.name} doesn't run")
        try:
            state: bytes = await self._hook("snapshot()", taken(self._module), SNAPSHOT_WITHIN_S)
        except TimeoutError as error:
            raise StateInvalid(str(error)) from error
        return state

    @property
    def configurable(self) -> bool:
        """Whether it can take another configuration now: it runs, and isn't about to be followed by another."""
        return self._module is not None and self.state is State.RUNNING and self._held is None

    async def configure(self, new: Any) -> None:
        """Has the module take `new`, a value of its Config's type. Raises ConfigInvalid: the old values stay."""
        if not self.configurable:
            raise ConfigInvalid(f"{self.name} is {self.state}, or about to be: it takes a configuration while it RUNs")
        await hooks.configure(self, new)
        self._environment = structs.replace(self._environment, config=new)

    async def unhealthy(self) -> str:
        """Why the module isn't healthy; empty where it is. See gridlink.module.hooks."""
        return await hooks.unhealthy(self)

    async def busy(self) -> str:
        """Why the module would rather not be ended now; empty where it can be. See gridlink.module.hooks."""
        return await hooks.busy(self)

    async def ask(self, name: str, hook: Callable[[Module[Any]], Coroutine[Any, Any, R]], within_s: float) -> R:
        """What a hook of the running module returns. Raises what it raises, Stopping, TimeoutError."""
        if self._module is None:
            raise Stopping(f"{self.name} is {self.state}")
        answer: R = await self._hook(name, hook(self._module), within_s)
        return answer

    @property
    def environment(self) -> Environment:
        """What its node has given it."""
        return self._environment

    def roots(self) -> list[Any]:
        """What all Python objects of the module hang on: itself, and the coroutines of its tasks."""
        return [self._module, *(task.get_coro() for task in self._environment.tasks)]

    @property
    def thread_cpu_ns(self) -> int:
        """The CPU time of its handlers that run in threads, in nanoseconds."""
        return self._threads.cpu_ns

    async def start(self) -> None:
        """Makes and starts the module and connects it. Raises StartFailed with the reason, everything rolled back."""
        await self._started(self._connect)

    async def _started(self, connect: Callable[[Module[Any]], Awaitable[None]]) -> None:
        within_s = self.start_within_s or self._cls.start_within_s
        try:
            made = partial(self._context.run, make, self._cls, self._environment)
            module = in_one_step(self._on_step, self.name, made)
            for name, hook in self._first_hooks(module):
                await self._hook(name, step_by_step(self._on_step, self.name, hook), within_s)
            self._module, self.start_within_s = module, 0.0
            await connect(module)
        except BaseException as error:
            await self._end(grace_s=0.0)
            if not isinstance(error, ANYTHING):
                raise
            self.state = advance(self.state, State.FAILED)
            if not isinstance(error, GridlinkError | TimeoutError):
                self._environment.log.exception("%s does not start", self.name)
            raise _start_failed(self._cls, error, within_s) from error
        self.state = advance(self.state, State.RUNNING)
        for timed in self.contract.timed:
            handler = getattr(module, timed.handler)
            self._environment.tasks.spawn(
                self._repeat(handler, timed.seconds), name=timed.handler, context=self._context.copy()
            )

    def _first_hooks(self, module: Module[Any]) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What prepares the module, each with a time limit; one for both while a former instance waits."""
        if self.state_to_restore is None:
            yield START, module.start()
        elif self.start_within_s:
            yield RESTORE_AND_START, _both(module, self.state_to_restore)
        else:
            yield "restore()", restored(module, self.state_to_restore)
            yield START, module.start()

    async def _connect(self, module: Module[Any]) -> None:
        requests, events, kept = self._calls(module)
        inbox = self._inbox = Inbox(self.name, requests, events, self._context, self.counters, self._full)
        if self.follows:
            inbox.hold_events()
            inbox.queue(Held(self.name))
        for heard in self.contract.heard:
            where = address.topic(heard.topic)
            if where in kept:
                continue
            await self._register(partial(self._bus.subscribe, where, heard.type, inbox))
        for where in (address.instance(self.name), *map(address.role, self.contract.roles)):
            await self._register(partial(self._bus.serve, where, inbox))
        for where, handlers in kept.items():
            await self._read(where, handlers)

    async def _register(self, register: Callable[[], Awaitable[Subscription]]) -> None:
        """Registers once the bus is there: a connection that is lost meanwhile is no failure of the module's."""
        while True:
            try:
                self._subscriptions.append(await register())
                return
            except ConnectionLost as error:
                self._environment.log.warning("%s waits for the bus: %s", self.name, error)
            await asyncio.sleep(CONNECTED_AGAIN_S)  # while a loss isn't noticed yet, `connected` returns at once
            await self._bus.connected()

    def _calls(self, module: Module[Any]) -> tuple[dict[str, Call], dict[Address, dict[str, Call]], Kept]:
        """The module's handlers of requests by type, of events by topic and type, and those of durable topics."""
        requests = {served.type: self._request_call(module, served) for served in self.contract.requests.values()}
        events: dict[Address, dict[str, Call]] = {}
        for heard in self.contract.heard:
            handler = getattr(module, heard.handler)
            wrapped = incoming(self._proxies, validate_incoming(heard.payload, None, handler))
            events.setdefault(address.topic(heard.topic), {})[heard.type] = wrapped
        return requests, events, {where: events.pop(where) for where in self._durable if where in events}

    @property
    def _durable(self) -> list[Address]:
        """The topics that are read from JetStream."""
        environment = self._environment
        return [address.topic(name) for name in environment.manifest.durable] if environment.durable_topics else []

    async def _read(self, where: Address, handlers: dict[str, Call]) -> None:
        from gridlink.module.durable import DurableTopic  # noqa: PLC0415 - where a bundle declares one

        topics = self._environment.durable_topics
        if topics is not None:
            durable = DurableTopic(self.name, topics, where, handlers, self._context, self.counters)
            self._kept.append(durable)
            await durable.open()

    def _request_call(self, module: Module[Any], served: Served) -> Call:
        handler = getattr(module, served.handler)
        if served.thread:
            handler = _in_thread(self._threads, handler)
        return incoming(self._proxies, validate_incoming(served.payload, served.reply, handler))

    async def _hook(self, name: str, hook: Coroutine[Any, Any, Any], within_s: float) -> Any:
        """Runs a hook of the module in the module's context, with a time limit."""
        task = self._environment.tasks.spawn(hook, name=name, context=self._context.copy(), awaited=True)
        try:
            done, _ = await asyncio.wait({task}, timeout=within_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise TimeoutError(f"{name} did not return within {within_s:g} s")
        if task.cancelled():
            raise RuntimeError(f"CancelledError: {name} awaited something that was cancelled")
        return task.result()

    async def _repeat(self, handler: Callable[[], Any], seconds: float) -> None:
        clock, log = self._environment.clock, self._environment.log
        due_s = clock.now() + seconds
        while True:
            await clock.sleep(due_s - clock.now())
            if self._held is not None:
                return  # its successor's timers go on
            begin_trace()
            try:
                await handler()
            except GridlinkError as error:
                self.counters.errors += 1
                log.warning("%s: %s", handler.__name__, error)
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                self.counters.errors += 1
                log.exception("%s awaited something that was cancelled", handler.__name__)
            except ANYTHING as error:  # a handler is the author's code: it may raise anything
                self.counters.errors += 1
                if isinstance(error, MemoryError):
                    self._full()
                log.exception("%s raised", handler.__name__)
            now_s = clock.now()
            due_s = due_s + seconds if due_s <= now_s < due_s + seconds else now_s + seconds

    def _full(self) -> None:
        self.has_met_end_of_memory = True
        self._environment.hosting.on_full(self.name)

    async def stop(self, within_s: float = math.inf) -> None:
        """Disconnects the module, lets its handlers finish for a while, and runs its `stop`. Errors are logged.

        All of it ends in about `within_s`, also where the module would take longer.
        """
        if self._held is not None:
            await self._hand_over(self._held, min(within_s, HAND_OVER_WITHIN_S))
        if self.state is not State.RUNNING:
            return
        self.state = advance(self.state, State.STOPPING)
        await self._end(self._cls.stop_within_s, time.monotonic() + within_s)
        self.state = advance(self.state, State.STOPPED)

    async def _end(self, grace_s: float, by_s: float = math.inf) -> None:
        """Undoes a start, also a partial one: `stop` is called where `start` has returned."""
        self._threads.give_up_stuck(self._cls.stop_within_s)
        await self._disconnect(min(grace_s, _left_s(by_s) / 2), by_s)  # half of what is left is `stop`'s
        if self._module is not None and self.before_stop is not None:
            await self.before_stop(self)
        await self._end_module(grace_s, by_s)

    async def _end_module(self, grace_s: float, by_s: float) -> None:
        module, self._module = self._module, None
        if module is not None:
            within_s = min(max(grace_s, 1.0), _left_s(by_s))
            module._stop_by_s = time.monotonic() + within_s
            try:
                await self._hook("stop()", module.stop(), within_s)
            except ANYTHING:  # the module's own code; the stop goes on all the same
                self._environment.log.exception("stop() failed")
        await self._environment.tasks.aclose(min(CANCELLED_WITHIN_S, _left_s(by_s)))
        self._threads.close()

    async def _disconnect(self, grace_s: float, by_s: float) -> None:
        await self._close_kept(min(grace_s, _left_s(by_s)))
        for subscription in reversed(self._subscriptions):
            await subscription.aclose()
        self._subscriptions.clear()
        if self._inbox is not None:
            await self._inbox.aclose(grace_s, min(CANCELLED_WITHIN_S, _left_s(by_s)))

    async def _close_kept(self, grace_s: float) -> None:
        for durable in reversed(self._kept):
            await durable.aclose(grace_s)
        self._kept.clear()


def _left_s(by_s: float) -> float:
    """What is left of the time to end; never nothing, or an end that is late would be no end."""
    return max(LEAST_S, by_s - time.monotonic())


def _start_failed(cls: type, error: BaseException, within_s: float) -> StartFailed:
    if isinstance(error, TimeoutError) and str(error).startswith((START, RESTORE_AND_START)):
        return StartFailed(
            f"{error}: let start() return, and do long work in self.tasks.spawn(…); or declare start_within_s"
        )
    return StartFailed(f"{cls.__name__}: {type(error).__name__}: {error}{raised_at(error)}")


async def _both(module: Module[Any], state: bytes) -> None:
    await restored(module, state)
    await module.start()


def _in_thread(threads: Threads, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def in_thread(*arguments: Any) -> Any:
        return await threads.run(handler, *arguments)

    in_thread.__name__ = handler.__name__
    return in_thread


def is_module(candidate: object) -> bool:
    """Whether an entry names a module's class."""
    return inspect.isclass(candidate) and issubclass(candidate, Module)
