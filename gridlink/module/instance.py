"""One running copy of a module: starts it, connects its handlers to the bus, and ends it in reverse.

The state machine is gridlink.lifecycle. `start` either leaves a RUNNING instance, or nothing: a partial start is
rolled back, and the reason raised.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from gridlink import address
from gridlink.address import Address
from gridlink.bus.protocol import Bus, Subscription
from gridlink.contract import Contract, Served
from gridlink.errors import ANYTHING, GridlinkError, StartFailed, raised_at
from gridlink.lifecycle import State, advance
from gridlink.message import Call, Message
from gridlink.module.counters import Counters
from gridlink.module.inbox import Inbox
from gridlink.module.module import Environment, Module, make
from gridlink.module.owner import owner
from gridlink.module.steps import Tell, in_one_step, step_by_step
from gridlink.module.threads import Threads
from gridlink.proxies import Proxy, begin_trace, incoming, validate_incoming
from gridlink.tasks import is_cancelled


class Instance:
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
        self._context = context
        self._context.run(owner.set, self.name)
        self._module: Module[Any] | None = None
        self._inbox: Inbox | None = None

    async def start(self) -> None:
        """Makes and starts the module and connects it. Raises StartFailed with the reason, everything rolled back."""
        within_s = self._cls.start_within_s
        try:
            made = partial(self._context.run, make, self._cls, self._environment)
            module = in_one_step(self._on_step, self.name, made)
            await self._hook("start()", step_by_step(self._on_step, self.name, module.start()), within_s)
            self._module = module
            await self._connect(module)
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

    async def _connect(self, module: Module[Any]) -> None:
        requests = {served.type: self._request_call(module, served) for served in self.contract.requests.values()}
        events: dict[Address, dict[str, Call]] = {}
        for heard in self.contract.heard:
            call = _event_call(getattr(module, heard.handler), heard.payload is not None)
            wrapped = incoming(self._proxies, validate_incoming(heard.payload, None, call))
            events.setdefault(address.topic(heard.topic), {})[heard.type] = wrapped
        inbox = self._inbox = Inbox(self.name, requests, events, self._context, self.counters)
        for heard in self.contract.heard:
            where = address.topic(heard.topic)
            self._subscriptions.append(await self._bus.subscribe(where, heard.type, inbox))
        for where in (address.instance(self.name), *map(address.role, self.contract.roles)):
            self._subscriptions.append(await self._bus.serve(where, inbox))

    def _request_call(self, module: Module[Any], served: Served) -> Call:
        handler = getattr(module, served.handler)
        if served.thread:
            handler = _in_thread(self._threads, handler)
        call = _event_call(handler, served.payload is not None)
        return incoming(self._proxies, validate_incoming(served.payload, served.reply, call))

    async def _hook(self, name: str, hook: Coroutine[Any, Any, None], within_s: float) -> None:
        """Runs a hook of the module in the module's context, with a time limit."""
        task = self._environment.tasks.spawn(hook, name=name, context=self._context.copy(), awaited=True)
        done, _ = await asyncio.wait({task}, timeout=within_s)
        if not done:
            task.cancel()
            raise TimeoutError(f"{name} did not return within {within_s:g} s")
        if task.cancelled():
            raise RuntimeError(f"CancelledError: {name} awaited something that was cancelled")
        task.result()

    async def _repeat(self, handler: Callable[[], Any], seconds: float) -> None:
        clock, log = self._environment.clock, self._environment.log
        due_s = clock.now() + seconds
        while True:
            await clock.sleep_until(due_s)
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
            except ANYTHING:  # a handler is the author's code: it may raise anything
                self.counters.errors += 1
                log.exception("%s raised", handler.__name__)
            now_s = clock.now()
            due_s = due_s + seconds if due_s <= now_s < due_s + seconds else now_s + seconds

    async def stop(self) -> None:
        """Disconnects the module, lets its handlers finish for a while, and runs its `stop`. Errors are logged."""
        if self.state is not State.RUNNING:
            return
        grace_s = self._cls.stop_within_s
        self.state = advance(self.state, State.STOPPING)
        await self._end(grace_s)
        self.state = advance(self.state, State.STOPPED)

    async def _end(self, grace_s: float) -> None:
        """Undoes a start, also a partial one: `stop` is called where `start` has returned."""
        await self._disconnect(grace_s)
        module, self._module = self._module, None
        if module is not None:
            try:
                await self._hook("stop()", module.stop(), max(grace_s, 1.0))
            except Exception:  # the module's own code; the stop goes on all the same
                self._environment.log.exception("stop() failed")
        await self._environment.tasks.aclose()
        self._threads.close()

    async def _disconnect(self, grace_s: float) -> None:
        for subscription in reversed(self._subscriptions):
            await subscription.aclose()
        self._subscriptions.clear()
        if self._inbox is not None:
            await self._inbox.aclose(grace_s)


def _start_failed(cls: type, error: BaseException, within_s: float) -> StartFailed:
    if isinstance(error, TimeoutError) and str(error).startswith("start()"):
        return StartFailed(f"{error}: let start() return, and do long work in self.tasks.spawn(…)")
    return StartFailed(f"{cls.__name__}: {type(error).__name__}: {error}{raised_at(error)}")


def _event_call(handler: Callable[..., Any], takes_payload: bool) -> Call:
    """The handler as a Call on the message."""
    if not takes_payload:

        async def without(_: Message) -> Any:
            return await handler()

        return without

    async def with_payload(message: Message) -> Any:
        return await handler(message.payload)

    return with_payload


def _in_thread(threads: Threads, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def in_thread(*arguments: Any) -> Any:
        return await threads.run(handler, *arguments)

    in_thread.__name__ = handler.__name__
    return in_thread


def is_module(candidate: object) -> bool:
    """Whether an entry names a module's class."""
    return inspect.isclass(candidate) and issubclass(candidate, Module)
