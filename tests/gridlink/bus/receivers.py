"""Receivers for tests of the bus: one that records and answers as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from gridlink.address import Address
from gridlink.bus.protocol import Answer
from gridlink.errors import GridlinkError
from gridlink.message import Message
from gridlink.tasks import Tasks

Reply = Callable[[Message], Awaitable[bytes | GridlinkError]]


async def echo(message: Message) -> bytes:
    """The payload, as it came."""
    return bytes(message.payload)


class Recorder:
    """Keeps what it is given, and answers requests with `reply`, each in a task of its own, as an inbox does."""

    def __init__(self, reply: Reply = echo, refuses: GridlinkError | None = None) -> None:
        self.requests: list[Message] = []
        self.events: list[Message] = []
        self.answered = 0
        self._reply, self._refuses = reply, refuses
        self._tasks = Tasks("recorder")

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        self.requests.append(message)
        if self._refuses is None:
            self._tasks.spawn(self._answer(message, answer), name="answer")
        return self._refuses

    async def _answer(self, message: Message, answer: Answer) -> None:
        result = await self._reply(message)
        self.answered += 1
        answer(result)

    def take_event(self, message: Message) -> None:
        self.events.append(message)

    @property
    def payloads(self) -> list[bytes]:
        """The bodies of the events, in order of arrival."""
        return [bytes(event.payload) for event in self.events]

    async def aclose(self) -> None:
        await self._tasks.aclose()


class Gate:
    """A reply that waits until the test opens it."""

    def __init__(self) -> None:
        self.entered, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, message: Message) -> bytes:
        self.entered.set()
        await self.opened.wait()
        return b'"opened"'


def message(
    to: Address, type: str = "do", payload: bytes = b"{}", *, timeout_s: float | None = 5.0, source: str = ""
) -> Message:
    """A message as a Sender makes it; `timeout_s` None for an event."""
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    return Message(
        address=to, type=type, payload=payload, source=source, deadline_s=deadline_s, wants_reply=timeout_s is not None
    )
