"""The one protocol of a bus, and what a receiver is to it. Two buses keep it: `local` and `nats`.

A bus carries messages whose payload is bytes. It never calls a handler: it hands a message to a Receiver, which
answers from a task of its own, so that neither the sender's cancellation nor a long chain of calls reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from gridlink.address import Address
from gridlink.errors import GridlinkError
from gridlink.message import Message

Answer = Callable[[bytes | GridlinkError], None]
"""Sends the reply or the error of one request to whoever sent it. Called at most once; it doesn't block."""


Prefer = Literal["local", "any", "elsewhere"]
"""Which member of a role: `local`, one in the sender's own node, if there is one; `any`, each of the site is as likely;
`elsewhere`, one in another node, if there is one."""


class Receiver(Protocol):
    """Somebody who takes messages. Neither method blocks or raises."""

    def take_request(self, message: Message, answer: Answer) -> GridlinkError | None:
        """Begins to serve a request; returns the error instead where it won't (Busy, NoSuchType)."""

    def take_event(self, message: Message) -> None:
        """Queues an event, or drops the oldest one that waits."""


class Subscription(Protocol):
    """One registration with the bus."""

    async def aclose(self) -> None:
        """Ends the registration: no message reaches the receiver after it. May be called twice."""


class Bus(Protocol):
    """Carries requests and events between the instances of a site.

    All methods raise Closed after `aclose`. Cancelling a request forgets its reply; its handler runs on.
    """

    node: str
    site: str
    url: str  # of the server; empty where there is none
    on_reconnect: Callable[[], None] | None  # called when a lost connection is there again
    on_topology: Callable[[], None] | None  # called when a server of the site has come or gone
    refuses: str  # why requests from outside to instances of this node are refused; empty where they aren't
    own_share: Callable[[Address], float]  # which part of an address's members is in this node, from 0 to 1

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload that it carries."""

    async def connected(self) -> None:
        """Returns when messages can be sent; at once where nothing is wrong."""

    async def request(self, message: Message, prefer: Prefer = "local") -> bytes:
        """Sends to one receiver and returns its reply.

        Raises NoSuchRole or NoSuchInstance at once where nobody is there, RequestTimeout at `message.deadline_s`,
        ConnectionLost when the connection breaks meanwhile, PayloadTooLarge, and whatever the receiver answered.
        """

    async def send(self, message: Message) -> None:
        """Sends to one receiver without waiting for the handler; raises NoSuchRole where nobody is there."""

    async def publish(self, message: Message) -> None:
        """Sends to all receivers of a topic; at most once, in order from one sender."""

    async def serve(self, address: Address, receiver: Receiver) -> Subscription:
        """Registers a receiver for a role or an instance; in effect on the server when it returns."""

    async def subscribe(self, address: Address, type: str, receiver: Receiver) -> Subscription:
        """Registers a receiver for events of a type on a topic; `*` stands for all types."""

    async def allow_taps(self) -> None:
        """From now on shows taps, while they ask for it, what this node's instances are asked and answer."""

    async def answer_all(self, subject_name: str, answers: Callable[[str], Iterable[bytes]]) -> None:
        """Answers requests of other programs on a subject of theirs (`$SRV.>`), with any number of replies each."""

    async def aclose(self) -> None:
        """Ends all registrations, fails the requests in flight with Closed. May be called twice."""
