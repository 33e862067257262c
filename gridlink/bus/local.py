"""The in-process bus: delivers between the instances of one node. The NATS bus uses it for its own node's share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gridlink.address import Address, readable
from gridlink.bus.deadlines import Deadlines
from gridlink.bus.protocol import Prefer, Receiver
from gridlink.errors import AlreadyRegistered, Closed, GridlinkError, NoSuchInstance, NoSuchRole, PayloadTooLarge
from gridlink.message import Message

if TYPE_CHECKING:
    from gridlink.bus.mirror import Mirror

HEADER_BYTES = 4096  # kept free of a server's limit, which counts a message's headers too
MAX_PAYLOAD_BYTES = 1024 * 1024 - HEADER_BYTES  # NATS's default, so that a module behaves the same on both


class LocalBus:
    """Keeps gridlink.bus.Bus for the instances of one process."""

    def __init__(self, node: str = "local", site: str = "local") -> None:
        self.node, self.site, self.url = node, site, ""
        self.refuses = ""  # nobody is outside
        self.on_reconnect: Callable[[], None] | None = None
        self.on_topology: Callable[[], None] | None = None
        self.own_share: Callable[[Address], float] = lambda _: 1.0
        self.max_payload_bytes = MAX_PAYLOAD_BYTES
        self.mirror: Mirror | None = None  # while a tap looks
        self._members: dict[Address, deque[Receiver]] = {}
        self._listeners: dict[Address, dict[str, list[Receiver]]] = {}
        self._deadlines = Deadlines()
        self._closed = False

    def has_member(self, address: Address) -> bool:
        """Whether a receiver of this process serves the address."""
        return address in self._members

    async def connected(self) -> None:
        """See gridlink.bus.Bus. In one process there is nothing to lose."""

    async def request(self, message: Message, prefer: Prefer = "local") -> bytes:
        """See gridlink.bus.Bus. Here every member is local."""
        if self._closed or len(message.payload) > self.max_payload_bytes:
            self.check(message)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answer(reply: bytes | GridlinkError) -> None:
            if future.done():
                return
            if not isinstance(reply, GridlinkError) and len(reply) <= self.max_payload_bytes:
                future.set_result(reply)
            else:
                future.set_exception(reply if isinstance(reply, GridlinkError) else self._large_reply(reply))

        refused = self.member(message.address).take_request(message, answer)
        if refused is not None:
            raise refused
        self._deadlines.watch(future, message)
        try:
            return await future
        finally:
            self._deadlines.forget(future)

    async def send(self, message: Message) -> None:
        """See gridlink.bus.Bus."""
        self.check(message)
        refused = self.member(message.address).take_request(message, _nobody_waits)
        if refused is not None:
            raise refused

    async def publish(self, message: Message) -> None:
        """See gridlink.bus.Bus."""
        self.check(message)
        self.deliver(message)

    def deliver(self, message: Message) -> None:
        """Hands an event to this process's listeners."""
        types = self._listeners.get(message.address)
        if types is None:
            return
        for receiver in types.get(message.type, ()):
            receiver.take_event(message)
        for receiver in types.get("*", ()):
            receiver.take_event(message)

    def member(self, address: Address) -> Receiver:
        """The next member in turn; raises NoSuchRole or NoSuchInstance."""
        members = self._members.get(address)
        if members is None:
            raise nobody(address)
        members.rotate(-1)
        return members[-1] if self.mirror is None else self.mirror.before(members[-1])

    async def serve(self, address: Address, receiver: Receiver) -> Registration:
        """See gridlink.bus.Bus."""
        self._check_open()
        members = self._members.setdefault(address, deque())
        if receiver in members:
            raise _registered(readable(address))
        members.append(receiver)
        return Registration(self, address, None, receiver)

    async def subscribe(self, address: Address, type: str, receiver: Receiver) -> Registration:
        """See gridlink.bus.Bus."""
        self._check_open()
        receivers = self._listeners.setdefault(address, {}).setdefault(type, [])
        if receiver in receivers:
            raise _registered(f"{type!r} of {readable(address)}")
        receivers.append(receiver)
        return Registration(self, address, type, receiver)

    def count(self, address: Address) -> int:
        """How many registrations the address has in this process."""
        listeners = sum(len(receivers) for receivers in self._listeners.get(address, {}).values())
        return len(self._members.get(address, ())) + listeners

    def drop(self, address: Address, type: str | None, receiver: Receiver) -> bool:
        """Ends a registration; returns whether it was the address's last one in this process."""
        if type is None:
            members = self._members.get(address, deque())
            members.remove(receiver)
            if not members:
                self._members.pop(address, None)
            return not members
        types = self._listeners[address]
        types[type].remove(receiver)
        if not types[type]:
            del types[type]
        if not types:
            del self._listeners[address]
        return not types

    async def allow_taps(self) -> None:
        """See gridlink.bus.Bus. No program outside reaches this bus."""

    async def answer_all(self, subject_name: str, answers: Callable[[str], Iterable[bytes]]) -> None:
        """See gridlink.bus.Bus. No program outside reaches this bus: nobody will ask."""

    async def aclose(self) -> None:
        """See gridlink.bus.Bus."""
        self._closed = True
        if self.mirror is not None:
            self.mirror.close()
        self._deadlines.fail_all(Closed("the bus was closed"))

    def check(self, message: Message) -> None:
        """Raises Closed or PayloadTooLarge."""
        self._check_open()
        if len(message.payload) > self.max_payload_bytes:
            raise self._too_large(f"{readable(message.address)} {message.type}", len(message.payload))

    def checked_reply(self, reply: bytes | GridlinkError) -> bytes | GridlinkError:
        """The reply, or PayloadTooLarge in its place."""
        if isinstance(reply, GridlinkError) or len(reply) <= self.max_payload_bytes:
            return reply
        return self._large_reply(reply)

    def _large_reply(self, reply: bytes) -> PayloadTooLarge:
        return self._too_large("the reply", len(reply))

    def _too_large(self, what: str, size: int) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"{what}: expected at most {self.max_payload_bytes} bytes of payload, got {size}: split it, or send a "
            "reference to a file",
            size_bytes=size,
            limit_bytes=self.max_payload_bytes,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this bus is closed: use it inside its `async with`")


class Registration:
    """A receiver's registration with a LocalBus."""

    def __init__(self, bus: LocalBus, address: Address, type: str | None, receiver: Receiver) -> None:
        self._bus: LocalBus | None = bus
        self._entry = (address, type, receiver)

    async def aclose(self) -> None:
        """Ends the registration; may be called twice."""
        self.close()

    @property
    def is_last(self) -> bool:
        """Whether it is the address's only one in this process; False once it has ended."""
        return self._bus is not None and self._bus.count(self._entry[0]) == 1

    def close(self) -> bool:
        """Ends the registration; returns whether it was the address's last one in this process."""
        bus, self._bus = self._bus, None
        return bus is not None and bus.drop(*self._entry)


def _registered(what: str) -> AlreadyRegistered:
    return AlreadyRegistered(f"this receiver is registered for {what} already: close that registration first")


def nobody(address: Address) -> GridlinkError:
    """The error for an address that nobody serves."""
    name = readable(address)
    if address.startswith("instance."):
        return NoSuchInstance(f"no instance {name} is running: `gridlink ls` lists those that are")
    return NoSuchRole(f"no running module has the {name}: `gridlink ls` lists the roles there are")


def _nobody_waits(_: bytes | GridlinkError) -> None:
    """The answer to a message that was sent without waiting for one."""
