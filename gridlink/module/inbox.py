"""An instance's inbox: takes messages from the bus and runs the handlers, each in a task of the instance's own.

Nothing in it is unbounded: past `max_in_flight` a request is answered Busy, past `max_waiting` events the oldest is
dropped and counted. Events of one topic are handled one after the other, in order of arrival.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context

from gridlink.address import Address
from gridlink.bus.protocol import Answer
from gridlink.errors import (
    ANYTHING,
    Busy,
    ConnectionLost,
    GridlinkError,
    HandlerFailed,
    NoSuchType,
    RequestTimeout,
    Stopping,
)
from gridlink.message import Call, Message, current
from gridlink.module.counters import Counters, RequestCounters
from gridlink.module.held import Held
from gridlink.tasks import Tasks, is_cancelled

log = logging.getLogger("gridlink.module")

MAX_IN_FLIGHT = 64
MAX_WAITING = 1024  # events of a topic
MAX_WAITING_BYTES = 2 * 1024 * 1024  # of their payloads; one larger than this is kept all the same
TURN_S = 0.005  # events that wait are handled so long before others have the event loop, whether handlers await or not
WARN_EVERY_S = 1.0

Events = Mapping[str, Call]  # event type -> handler


class Inbox:
    """Keeps gridlink.bus.Receiver for one instance."""

    def __init__(
        self,
        name: str,
        requests: Mapping[str, Call],
        events: Mapping[Address, Events],
        context: Context,
        counters: Counters,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._requests, self._context, self._counters = name, requests, context, counters
        self._topics = {topic: _Topic(handlers) for topic, handlers in events.items()}
        self._tasks = Tasks(name)
        self._counters.by_type = {name: RequestCounters() for name in requests}
        self._on_full = on_full  # a handler has met the end of memory
        self._in_flight = 0
        self._closed = False
        self.held: Held | None = None  # what comes while the module is on its way to another process
        self._queue: Held | None = None  # what comes while earlier requests are still handed over
        self._events_wait = False
        self._warn_again_s = 0.0
        self._unsaid = 0

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """See gridlink.bus.Receiver."""
        if self.held is not None:
            return self.held.keep(message, answer)
        if self._queue is not None:
            return self._queue.keep(message, answer)
        return self._begin_request(message, answer)

    def _begin_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        call = self._requests.get(message.type)
        if call is None:
            known = ", ".join(sorted(self._requests)) or "no requests"
            return NoSuchType(f"{self._name} doesn't serve {message.type!r}; it serves {known}")
        if self._closed:
            return Stopping(f"{self._name} is stopping: {message.type} was not begun, try again")
        if self._in_flight >= MAX_IN_FLIGHT:
            self._counters.busy += 1
            return Busy(f"{self._name} has {MAX_IN_FLIGHT} requests in flight: {self._advice(message)}")
        if message.deadline_s is not None and message.deadline_s <= time.monotonic():
            return RequestTimeout(f"{message.type} reached {self._name} after its time: it was not begun")
        self._in_flight += 1
        self._counters.requests += 1
        own: list[asyncio.Task[None]] = []  # asking asyncio which task runs costs more
        serving = self._serve(call, message, answer, own)
        own.append(self._tasks.spawn_briefly(serving, message.type, self._context.copy()))
        return None

    def _advice(self, message: Message) -> str:
        from gridlink.module.circle import advice  # noqa: PLC0415 - for those who are busy

        return advice(self._tasks, message)

    async def _serve(self, call: Call, message: Message, answer: Answer, own: list[asyncio.Task[None]]) -> None:
        current.set(message)
        counters, began_ns = self._counters.by_type[message.type], time.perf_counter_ns()
        try:
            result = await call(message)
        except GridlinkError as error:
            result = error
        except asyncio.CancelledError:
            if is_cancelled():
                text = f"{self._name} was stopped while it handled {message.type}: it may still be done"
                answer(ConnectionLost(text))
                raise
            self._counters.errors += 1
            result = HandlerFailed(f"{self._name}, {message.type}: it awaited something that was cancelled")
        except ANYTHING as error:  # a handler is the author's code: it may raise anything
            self._counters.errors += 1
            if isinstance(error, MemoryError):
                self._on_full()
            log.exception("%s: the handler of %s raised", self._name, message.type)
            result = HandlerFailed(f"{self._name}, {message.type}: {type(error).__name__}: {error}".removesuffix(": "))
        finally:
            self._tasks.leave(own.pop())
            self._in_flight -= 1
            counters.requests += 1
            counters.processing_ns += time.perf_counter_ns() - began_ns
        if isinstance(result, GridlinkError):
            counters.errors += 1
            counters.last_error = f"{result.code}:{result}"
        answer(result)

    def take_event(self, message: Message) -> None:
        """See gridlink.bus.Receiver."""
        topic = self._topics.get(message.address)
        if topic is None or message.type not in topic.handlers or self._closed:
            return
        topic.waiting.append(message)
        topic.waiting_bytes += len(message.payload)
        while len(topic.waiting) > MAX_WAITING or (topic.waiting_bytes > MAX_WAITING_BYTES and len(topic.waiting) > 1):
            topic.next()
            self._counters.dropped_events += 1
        if not topic.running and not self._events_wait:
            self._begin(topic, f"{message.address}.{message.type}")

    def _begin(self, topic: _Topic, name: str) -> None:
        topic.running = True
        self._tasks.spawn(self._drain(topic), name=name, context=self._context.copy())

    async def _drain(self, topic: _Topic) -> None:
        try:
            turn_ends_s = time.monotonic() + TURN_S
            while topic.waiting and not self._events_wait:
                await self._handle(topic.handlers, topic.next())
                if time.monotonic() > turn_ends_s:
                    await asyncio.sleep(0)
                    turn_ends_s = time.monotonic() + TURN_S
        finally:
            topic.running = False

    async def _handle(self, handlers: Events, message: Message) -> None:
        self._counters.events += 1
        current.set(message)
        try:
            await handlers[message.type](message)
        except GridlinkError as error:
            self._counters.errors += 1
            self._warn(message, error)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            self._counters.errors += 1
            log.exception("%s: the handler of %s awaited something that was cancelled", self._name, message.type)
        except ANYTHING as error:  # a handler is the author's code: it may raise anything
            self._counters.errors += 1
            if isinstance(error, MemoryError):
                self._on_full()
            log.exception("%s: the handler of %s raised", self._name, message.type)

    def _warn(self, message: Message, error: GridlinkError) -> None:
        """Logs the first event that fails, and at most one each second: senders must not fill a board's flash."""
        now_s = time.monotonic()
        if now_s < self._warn_again_s:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        self._warn_again_s, self._unsaid = now_s + WARN_EVERY_S, 0
        log.warning("%s: an event %s of %s: %s%s", self._name, message.type, message.source or "?", error, more)

    async def hold(self, held: Held, grace_s: float) -> None:
        """Begins nothing more and keeps what comes, until `go_on`; returns when all that was begun has ended.

        Raises Busy where that takes longer than `grace_s`.
        """
        self.held, self._events_wait = held, True
        await self._tasks.wait(grace_s)
        if count := len(self._tasks):
            names = ", ".join(sorted({task.get_name() for task in self._tasks}))
            raise Busy(f"{self._name} still handles {count} messages ({names}) after {grace_s:g} s: try again later")

    def hold_events(self) -> None:
        """Lets events wait, until `go_on`: those of a former instance come first."""
        self._events_wait = True

    def waiting(self) -> list[Message]:
        """The events that wait, in order of arrival by topic."""
        return [message for topic in self._topics.values() for message in topic.waiting]

    def go_on(self, earlier: Iterable[Message] = ()) -> None:
        """Takes requests again and handles events that wait: first those that came `earlier`, elsewhere; none twice."""
        self.held, self._events_wait = None, False
        known: set[tuple[str, str]] = set()
        for message in reversed(list(earlier)):
            topic = self._topics.get(message.address)
            if topic is not None and message.type in topic.handlers:
                known.add((message.source, message.id))
                topic.earlier.appendleft(message)
        for where, topic in self._topics.items():
            own = (m for m in topic.waiting if not m.id or (m.source, m.id) not in known)
            topic.waiting = deque((*topic.earlier, *own))
            topic.waiting_bytes = sum(len(message.payload) for message in topic.waiting)
            topic.earlier.clear()
            if topic.waiting and not topic.running:
                self._begin(topic, f"{where}, which waited")

    async def handle(self, message: Message) -> bytes:
        """Handles a request that another inbox has kept, and returns its reply. Raises what it was answered with."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answer(result: bytes | GridlinkError) -> None:
            if reply.done():
                return
            if isinstance(result, GridlinkError):
                reply.set_exception(result)
            else:
                reply.set_result(result)

        refused = self._begin_request(message, answer) if self.held is None else self.held.keep(message, answer)
        if refused is not None:
            raise refused
        return await reply

    def queue(self, held: Held) -> None:
        """Puts what comes from now on behind what is `held`, until `catch_up` has had all of that handled.

        Together they may be more at once than a module takes: nobody is to be answered Busy for that.
        """
        self._queue = held

    async def catch_up(self, within_s: float) -> None:
        """Has what is queued handled, in `within_s` at most; what comes joins the queue for half of that."""
        held = self._queue
        if held is None:
            return
        ends = asyncio.get_running_loop().call_later(within_s / 2, self._end_queue)
        try:
            await held.hand_over(self.handle, within_s)
        finally:
            ends.cancel()
            self._end_queue()
            held.refuse()

    def _end_queue(self) -> None:
        self._queue = None

    def renew(self, requests: Mapping[str, Call], events: Mapping[Address, Events]) -> None:
        """Has the handlers of another copy of the module called from now on."""
        self._requests = requests
        for where, handlers in events.items():
            self._topics[where].handlers = handlers

    async def aclose(self, grace_s: float, cancelled_within_s: float = 5.0) -> None:
        """Takes nothing more, lets handlers finish for `grace_s`, then cancels them, which may take a while too."""
        self._closed = True
        if self._queue is not None:
            self._queue.refuse()
            self._end_queue()
        await self._tasks.wait(grace_s)
        await self._tasks.aclose(cancelled_within_s)


class _Topic:
    """The events of one topic that wait, and their handlers by type."""

    __slots__ = ("earlier", "handlers", "running", "waiting", "waiting_bytes")

    def __init__(self, handlers: Events) -> None:
        self.handlers = handlers
        self.waiting: deque[Message] = deque()
        self.waiting_bytes = 0
        self.earlier: deque[Message] = deque()
        self.running = False

    def next(self) -> Message:
        """The oldest that waits, taken out."""
        message = self.waiting.popleft()
        self.waiting_bytes -= len(message.payload)
        return message
