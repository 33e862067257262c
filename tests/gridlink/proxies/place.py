"""A place for a proxy under test: an instance, and a registry that is a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridlink.address import Address, receiver, topic
from gridlink.message import Call, Message
from gridlink.proxies import Around


@dataclass
class FakePeer:
    """An instance that the registry knows."""

    name: str
    roles: tuple[str, ...] = ()


@dataclass
class Place:
    """What a proxy was told and what it counted."""

    instance: str = "storage@b"
    roles: tuple[str, ...] = ("storage",)
    behind: dict[str, Sequence[FakePeer]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    site: str = "site"
    refused: int = 0
    failed: int = 0

    def around(self) -> Around:
        """What the proxy is told."""
        return Around(
            site=self.site,
            instance=self.instance,
            roles=self.roles,
            refused=self._count_refused,
            failed=self._count_failed,
            behind=lambda address: self.behind.get(address, ()),
            knows=lambda instance: instance in self.known,
        )

    def _count_refused(self) -> None:
        self.refused += 1

    def _count_failed(self) -> None:
        self.failed += 1


def asked(to: str = "storage", type: str = "get", payload: bytes = b"{}", source: str = "guard@a") -> Message:
    """A request to a role or an instance."""
    return Message(address=receiver(to), type=type, payload=payload, source=source, id="x1", wants_reply=True)


def event(name: str = "measurement", type: str = "voltage", payload: bytes = b"{}", source: str = "meter@a") -> Message:
    """An event on a topic."""
    return Message(address=topic(name), type=type, payload=payload, source=source, id="x2")


def to(address: str, message: Message) -> Message:
    """The message with another address."""
    return Message(
        address=Address(address), type=message.type, payload=message.payload, source=message.source, id=message.id
    )


class Heard:
    """The end of a chain: keeps the messages that reach it, and answers what `reply` says."""

    def __init__(self, reply: Callable[[Message], Any] | None = None) -> None:
        self.messages: list[Message] = []
        self._reply = reply or (lambda message: b'"done"')

    async def __call__(self, message: Message) -> Any:
        """Takes a message."""
        self.messages.append(message)
        return self._reply(message)

    @property
    def call(self) -> Call:
        """Itself, as a Call."""
        return self
