"""What a node answers about itself, at `_node@NODE`: schemas by digest, its instances' counters, its imports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gridlink import address
from gridlink.bus.protocol import Answer, Subscription
from gridlink.codec import codec
from gridlink.errors import GridlinkError, NoSuchType
from gridlink.message import Message
from gridlink.tasks import Tasks

if TYPE_CHECKING:
    from gridlink.node.node import Node


class About:
    """Keeps gridlink.bus.Receiver for the node itself."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tasks = Tasks(f"{address.NODE}@{node.node}")
        self._subscription: Subscription | None = None
        self._questions: dict[str, Callable[[bytes], bytes]] = {
            "schema": self._schema,
            "counters": self._counters,
            "imports": self._imports,
        }

    async def open(self) -> None:
        """Begins to answer."""
        where = address.instance(f"{address.NODE}@{self._node.node}")
        self._subscription = await self._node.bus.serve(where, self)

    async def aclose(self) -> None:
        """Answers no more; may be called twice."""
        if self._subscription is not None:
            await self._subscription.aclose()
        await self._tasks.aclose()

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """See gridlink.bus.Receiver."""
        question = self._questions.get(message.type)
        if question is None:
            return NoSuchType(f"a node answers {', '.join(self._questions)}, not {message.type!r}")
        self._tasks.spawn(self._answer(question, message.payload, answer), name=message.type)
        return None

    async def _answer(self, question: Callable[[bytes], bytes], body: bytes, answer: Answer) -> None:
        try:
            result: bytes | GridlinkError = question(body)
        except GridlinkError as error:
            result = error
        await answer(result)

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
