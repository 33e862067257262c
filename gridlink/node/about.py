"""What a node answers about itself, at `_node@NODE`: schemas by digest, its instances' counters, its imports."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gridlink import address
from gridlink.bus.protocol import Answer, Subscription
from gridlink.codec import codec
from gridlink.errors import AccessDenied, Busy, GridlinkError, NoSuchInstance, NoSuchType, RequestTimeout
from gridlink.message import Message
from gridlink.module.warrants import OF_A_NODE, key_of
from gridlink.node.namesake import WHO, Who
from gridlink.tasks import Tasks

if TYPE_CHECKING:
    from gridlink.module.instance import Instance
    from gridlink.node.footprint.accounting import Accounting
    from gridlink.node.node import Node
    from gridlink.node.succession import Succession


MAX_IN_FLIGHT = 64  # questions at once


class About:
    """Keeps gridlink.bus.Receiver for the node itself."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tasks = Tasks(f"{address.NODE}@{node.node}")
        self._subscription: Subscription | None = None
        self._since_s = time.monotonic()
        self._accounting: Accounting | None = None  # once somebody has looked
        self._succession: Succession | None = None  # once a module of the node has moved
        self._questions: dict[str, Callable[[bytes], bytes | Awaitable[bytes]]] = {
            "schema": self._schema,
            "counters": self._counters,
            "imports": self._imports,
            WHO: self._who,
            "footprint": self._footprint,
            "objects": self._objects,
            "stacks": self._stacks,
            "allocations": self._allocations,
            "health": self._health,
            "configure": self._configure,
            **{what: partial(self._succeeded, what) for what in ("hold", "resume", "waiting", "take")},
        }

    async def open(self) -> None:
        """Begins to answer."""
        where = address.instance(f"{address.NODE}@{self._node.node}")
        self._subscription = await self._node.bus.serve(where, self)

    async def aclose(self) -> None:
        """Answers no more; may be called twice."""
        if self._subscription is not None:
            await self._subscription.aclose()
        if self._accounting is not None:
            self._accounting.stop()
        if self._succession is not None:
            await self._succession.aclose()
        await self._tasks.aclose()

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """See gridlink.bus.Receiver."""
        question = self._questions.get(message.type)
        if question is None:
            return NoSuchType(f"a node answers {', '.join(self._questions)}, not {message.type!r}")
        if len(self._tasks) >= MAX_IN_FLIGHT:
            return Busy(f"node {self._node.node} answers {MAX_IN_FLIGHT} questions already: try again later")
        if message.deadline_s is not None and message.deadline_s <= time.monotonic():
            return RequestTimeout(f"{message.type} reached node {self._node.node} after its time: it was not begun")
        if message.type in OF_A_NODE:
            node, to = self._node.node, f"{address.NODE}@{self._node.node}"
            try:
                self._node.warrants.check(key_of(message.type, node), to, message.type, message.payload, message.id)
            except AccessDenied as error:
                return error
        self._tasks.spawn(self._answer(question, message.payload, answer), name=message.type)
        return None

    async def _answer(self, question: Callable[[bytes], bytes | Awaitable[bytes]], body: bytes, answer: Answer) -> None:
        try:
            found = question(body)
            result: bytes | GridlinkError = found if isinstance(found, bytes) else await found
        except GridlinkError as error:
            result = error
        answer(result)

    def take_event(self, message: Message) -> None:
        """A node takes no events."""

    def _schema(self, body: bytes) -> bytes:
        digest = codec(str).decode(body)
        return codec(dict[str, Any]).encode(self._node.registry.own_schema(digest))

    def _counters(self, _: bytes) -> bytes:
        found = {name: instance.counters for name, instance in self._node.instances.items()}
        return codec(Any).encode(found)

    def _imports(self, _: bytes) -> bytes:
        return codec(list[str]).encode(sorted(sys.modules))

    def _who(self, _: bytes) -> bytes:
        node, up_s = self._node, time.monotonic() - self._since_s
        return codec(Who).encode(Who(node.registry.boot, node.machine, os.getpid(), up_s, node.bus.refuses))

    def _footprint(self, body: bytes) -> bytes:
        from gridlink.node.footprint.accounting import Accounting  # noqa: PLC0415 - where somebody looks
        from gridlink.node.footprint.report import Look, footprint  # noqa: PLC0415

        if self._accounting is None:
            self._accounting = Accounting()
        return codec(Any).encode(footprint(self._node, self._accounting, codec(Look).decode(body)))

    async def _objects(self, body: bytes) -> bytes:
        from gridlink.node.footprint.objects import objects_of  # noqa: PLC0415 - where somebody looks

        instance = self._instance(codec(str).decode(body))
        return codec(Any).encode(await objects_of(instance.name, instance.roots(), instance.environment.directory))

    async def _allocations(self, body: bytes) -> bytes:
        from gridlink.node.footprint.allocations import Trace, allocations_of  # noqa: PLC0415 - where somebody looks

        asked = codec(Trace).decode(body)
        instance = self._instance(asked.instance)
        return codec(Any).encode(await allocations_of(instance.name, instance.environment.directory, asked.for_s))

    async def _succeeded(self, what: str, body: bytes) -> bytes:
        from gridlink.node.succession import Succession  # noqa: PLC0415 - while a module moves

        if self._succession is None:
            self._succession = Succession(self._node, self._instance)
        return await self._succession.answer(what, body)

    def _stacks(self, body: bytes) -> bytes:
        from gridlink.node.footprint.stacks import stacks_of  # noqa: PLC0415 - where somebody looks

        return codec(Any).encode(stacks_of(self._instance(codec(str).decode(body)).name))

    async def _health(self, body: bytes) -> bytes:
        instance = self._instance(codec(str).decode(body))
        health = {"unhealthy": await instance.unhealthy(), "busy": await instance.busy()}
        return codec(dict[str, str]).encode(health)

    async def _configure(self, body: bytes) -> bytes:
        """Has an instance take what its file says now."""
        await self._node.configurator.take(self._instance(codec(str).decode(body)).name)
        return codec(None).encode(None)

    def _instance(self, name: str) -> Instance:
        found = self._node.instances.get(name)
        if found is None:
            known = ", ".join(self._node.instances) or "none"
            raise NoSuchInstance(f"node {self._node.node} has no instance {name!r} that runs: it has {known}")
        return found
