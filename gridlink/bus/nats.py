"""The bus over NATS: one connection a node, and the in-process bus for the node's own share.

`no_echo`: what a node sends never comes back to it, so that nobody gets a message twice. Requests share one reply
subscription with counter tokens. While the connection is down, requests fail at once, and nothing is kept for later.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gridlink.address import Address, is_instance, readable, subject
from gridlink.bus import wire
from gridlink.bus.authentication import authentication, unreachable
from gridlink.bus.client import Client, Error, Listener
from gridlink.bus.deadlines import Deadlines
from gridlink.bus.denials import Denials, may_not_hear, may_not_send
from gridlink.bus.failover import Attempts
from gridlink.bus.local import HEADER_BYTES, LocalBus, Registration, nobody
from gridlink.bus.outside import Outside, address_of
from gridlink.bus.protocol import Answer, Prefer, Receiver
from gridlink.bus.registration import NatsRegistration
from gridlink.config import Credentials
from gridlink.errors import Closed, ConnectionLost, GridlinkError, NameTaken, NoSuchRole, Stopping
from gridlink.message import Message
from gridlink.tasks import Tasks, is_cancelled

if TYPE_CHECKING:
    from gridlink.bus.client import Subscription as NatsSubscription
    from gridlink.bus.raw import Raw

log = logging.getLogger("gridlink.bus")

DRAIN_S = 2.0
_AGAIN_S = 0.05  # between looks whether a connection is back


class NatsBus(Outside):
    """Keeps gridlink.bus.Bus for one node of a site. Made by `connect`; `aclose` ends the connection."""

    def __init__(self, site: str, node: str) -> None:
        super().__init__()
        self.site, self.node = site, node
        self.url = ""
        self.local = LocalBus(node, site)
        self.lost_events = 0
        self.refuses = ""
        self.on_reconnect: Callable[[], None] | None = None
        self.on_topology: Callable[[], None] | None = None
        self.own_share: Callable[[Address], float] = lambda _: 1.0  # which part of an address's members is ours
        self._up = asyncio.Event()
        self._client = Client()
        self._client.on_topology = self._topology_changed
        self._denials = Denials(node)
        self._client.on_denied = self._denied
        self._inbox = f"_INBOX.{node}.{secrets.token_hex(6)}"
        self._tokens = itertools.count(1)
        self._in_flight: dict[bytes, tuple[asyncio.Future[bytes], Message]] = {}
        self._deadlines = Deadlines()
        self._subscriptions: dict[str, NatsSubscription] = {}
        self._subscribing = asyncio.Lock()
        self._closed = False
        self._tasks = Tasks(f"bus of {node}")
        self._closing: asyncio.Task[None] | None = None
        self._raw: Raw | None = None

    @property
    def max_payload_bytes(self) -> int:
        """The server's limit for a payload."""
        return self.local.max_payload_bytes

    async def connect(self, url: str, credentials: Credentials | None = None, within_s: float = 5.0) -> None:
        """Connects to the server(s) at `url` (comma-separated), trying for `within_s`.

        Raises ServerUnreachable, AccessDenied for credentials that may not get replies, and Closed. Cancelling it
        leaves nothing open.
        """
        self.url = url
        if credentials is not None and credentials.inbox_prefix:
            self._inbox = f"{credentials.inbox_prefix}.{self._inbox.removeprefix('_INBOX.')}"
        attempts = Attempts(within_s)
        try:
            async with asyncio.timeout(within_s):
                await self._client.connect(
                    servers=[part.strip() for part in url.split(",")],
                    name=f"gridlink {self.node}",
                    no_echo=True,
                    error_cb=attempts.note,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    connect_timeout=2,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]
                    ping_interval=1,
                    max_outstanding_pings=2,
                    pending_size=-1,
                    **authentication(credentials or Credentials()),
                )
                await self._hear_replies()
        except (TimeoutError, OSError, Error, ValueError) as error:
            await self._client.leave()
            cause = attempts.last or error
            wanted = bool(self._client._server_info.get("auth_required"))
            raise unreachable(url, within_s, _reason(cause), wanted) from error
        except asyncio.CancelledError as error:
            self._client.end()
            if is_cancelled():
                raise
            raise Closed("the bus was closed while it was being connected") from error
        attempts.succeeded()
        self.local.max_payload_bytes = self._client.max_payload - HEADER_BYTES
        if self._denials.denies_hearing(f"{self._inbox}.*"):
            await self._client.leave()
            raise may_not_hear(f"{self._inbox}.* (set NATS_INBOX_PREFIX to what they allow)", self.node)
        self._denials.guarded = bool(self._client._server_info.get("auth_required"))
        self._up.set()

    async def _hear_replies(self) -> None:
        """Subscribes to the replies; a connection that breaks right after it was made is waited for."""
        await self._client.listen(f"{self._inbox}.*", self._replied)
        while not self._closed:
            try:
                return await self._client.flush()
            except Error:
                await asyncio.sleep(_AGAIN_S)
        raise asyncio.CancelledError  # by `aclose`

    async def connected(self) -> None:
        """See gridlink.bus.Bus."""
        await self._up.wait()

    def request(self, message: Message, prefer: Prefer = "local") -> Coroutine[Any, Any, bytes]:
        """See gridlink.bus.Bus."""
        if not self.local.has_member(message.address):
            return self._request(message)
        if prefer == "local" or (prefer == "any" and random.random() < self.own_share(message.address)):
            return self.local.request(message)
        return self._request_elsewhere(message)

    async def _request_elsewhere(self, message: Message) -> bytes:
        """Asks the other nodes first, and this one where they have left."""
        try:
            return await self._request(message)
        except NoSuchRole:
            return await self.local.request(message)

    async def _request(self, message: Message) -> bytes:
        self.local.check(message)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        token = self._new_token()
        self._in_flight[token.encode()] = (future, message)
        if message.deadline_s is not None:
            self._deadlines.watch(future, message)
        try:
            self._put(message, f"{self._inbox}.{token}")
            if self._client.is_behind:
                await self._catch_up()
            return await future
        finally:
            self._in_flight.pop(token.encode(), None)
            self._deadlines.forget(future)

    async def send(self, message: Message) -> None:
        """See gridlink.bus.Bus. The server's 503 for a role without members arrives within a round trip."""
        if self.local.has_member(message.address):
            return await self.local.send(message)
        self.local.check(message)
        token = self._new_token()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._in_flight[token.encode()] = (future, message)
        try:
            self._put(message, f"{self._inbox}.{token}")
            await self._client.flush()
            if future.done():
                future.result()
        except Error as error:
            raise _lost(error) from error
        finally:
            self._in_flight.pop(token.encode(), None)
            if future.done():
                future.exception()

    def _new_token(self) -> str:
        return f"{next(self._tokens):x}"

    async def publish(self, message: Message) -> None:
        """See gridlink.bus.Bus. While disconnected, own listeners are served and the rest is counted as lost."""
        self.local.check(message)
        self.local.deliver(message)
        try:
            self._put(message)
            if self._client.is_behind:
                await self._catch_up()
        except ConnectionLost:
            self.lost_events += 1
            return
        if self._denials.guarded:
            await self._check_passed(message)

    async def _check_passed(self, message: Message) -> None:
        """Raises AccessDenied where the server doesn't take the event: nothing else would ever tell."""
        name = subject(self.site, message.address, message.type)
        if self._denials.is_unsure(name):
            with contextlib.suppress(Error, TimeoutError):
                await self._client.flush()
        if self._denials.denies(name):
            raise may_not_send(message, self.node)

    async def serve(self, address: Address, receiver: Receiver) -> NatsRegistration:
        """See gridlink.bus.Bus. A role is a queue group of its own name."""
        registration = await self.local.serve(address, receiver)
        queue = address if address.startswith("role.") else ""
        return await self._registered(address, registration, queue, self._requested)

    async def subscribe(self, address: Address, type: str, receiver: Receiver) -> NatsRegistration:
        """See gridlink.bus.Bus."""
        registration = await self.local.subscribe(address, type, receiver)
        return await self._registered(address, registration, "", self._published)

    async def _registered(
        self, address: Address, local: Registration, queue: str, listener: Listener
    ) -> NatsRegistration:
        """The registration, once it is in effect on the server; undone where that fails or is cancelled."""
        registration = NatsRegistration(self, address, local)
        try:
            await self._ensure(address, queue, listener)
        except BaseException:
            if local.close():
                await self.forget(address, drained=False)
            raise
        return registration

    async def forget(self, address: Address, *, drained: bool = True) -> None:
        """Ends the node's NATS subscription for an address; if `drained`, what comes until then is still delivered."""
        subscription = self._subscriptions.pop(subject(self.site, address, "*"), None)
        if subscription is not None and not self._closed:
            with contextlib.suppress(Error, TimeoutError):  # the connection is gone, and the subscription
                async with asyncio.timeout(DRAIN_S):
                    await (subscription.drain() if drained else subscription.unsubscribe())  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """See gridlink.bus.Bus. What was published is flushed first; cancelling it doesn't keep the connection open."""
        if self._closing is None:
            self._closed = True
            self._fail_in_flight(Closed("the bus was closed"))
            await self.local.aclose()
            self._closing = self._tasks.spawn(self._client.leave(), name="close")
        await asyncio.shield(self._closing)

    async def _ensure(self, address: Address, queue: str, listener: Listener) -> None:
        name = subject(self.site, address, "*")
        async with self._subscribing:
            if name in self._subscriptions:
                return
            if not self._client.is_connected:
                raise _lost(None)
            try:
                self._subscriptions[name] = await self._client.listen(name, listener, queue)
                await self._client.flush()
            except (Error, TimeoutError) as error:
                raise _lost(error) from error
            if self._denials.denies_hearing(name):
                await self._subscriptions.pop(name).unsubscribe()
                raise may_not_hear(readable(address), self.node)

    def _put(self, message: Message, reply: str = "") -> None:
        name = subject(self.site, message.address, message.type)
        try:
            self._client.put(name, reply, message.payload, wire.headers_of(message))
        except Error as error:
            raise _lost(error) from error

    async def _catch_up(self) -> None:
        """Waits for a server that reads more slowly than we write."""
        try:
            await self._client.caught_up()
        except OSError as error:
            raise _lost(error) from error

    def _requested(self, subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> None:
        if self._is_misdirected(subject, reply):
            return
        answer = self._answer(reply.decode())
        try:
            address, type_name = address_of(subject)
            message = wire.message_of(address, type_name, body, headers, bool(reply))
            if self.refuses and is_instance(address):
                refused: GridlinkError | None = NameTaken(self.refuses)
            elif self.local.has_member(address):
                refused = self.local.member(address).take_request(message, answer)
            else:
                refused = Stopping(f"{readable(address)} has just left node {self.node}: try again")
        except GridlinkError as error:
            refused = error
        if refused is not None:
            answer(refused)

    def _published(self, subject: bytes, _: bytes, body: bytes, headers: bytes | None) -> None:
        address, type_name = address_of(subject)
        self.local.deliver(wire.message_of(address, type_name, body, headers, False))

    def _answer(self, reply: str) -> Answer:
        def answer(result: bytes | GridlinkError) -> None:
            if not reply:
                return
            result = self.local.checked_reply(result)
            headers, body = wire.error_reply(result) if isinstance(result, GridlinkError) else ({}, result)
            try:
                self._client.put(reply, "", body, wire.block(headers) if headers else b"")
            except Error as error:
                log.warning("a reply was lost with the connection: %r", error)

        return answer

    def _replied(self, subject: bytes, _: bytes, body: bytes, raw: bytes | None) -> None:
        waiting = self._in_flight.get(subject[len(self._inbox) + 1 :])
        if waiting is None or waiting[0].done():
            return
        future, message = waiting
        headers = wire.parse_headers(raw) if raw else None
        if not headers:
            future.set_result(body)
        elif headers.get("Status") == wire.NO_RESPONDERS:
            future.set_exception(nobody(message.address))
        elif (error := wire.error_of(headers, body)) is not None:
            future.set_exception(error)
        else:
            future.set_result(body)

    @property
    def store_domain(self) -> str:
        """The JetStream domain of the very server that we are connected to; empty where it keeps nothing."""
        return str(self._client._server_info.get("domain") or "")

    def raw(self) -> Raw:
        """The connection, for durable topics and whatever else JetStream does."""
        if self._raw is None:
            from gridlink.bus.raw import Raw  # noqa: PLC0415 - where something is durable, and nowhere else

            self._raw = Raw(self._client, f"{self._inbox}-raw", self._up.wait)
        return self._raw

    def _fail_in_flight(self, error: GridlinkError) -> None:
        if self._raw is not None:
            self._raw.fail(error)
        for future, _ in self._in_flight.values():
            if not future.done():
                future.set_exception(error)

    def _denied(self, text: str) -> None:
        name = self._denials.note(text)
        for future, message in list(self._in_flight.values()) if name else ():
            if not future.done() and subject(self.site, message.address, message.type).lower() == name:
                future.set_exception(may_not_send(message, self.node))

    async def _disconnected(self) -> None:
        # What nats-py has buffered would be sent after the reconnect, long after its sender was told that it failed.
        was_up = self._up.is_set()
        self._up.clear()
        self._client.drop_unsent()
        if was_up and not self._closed:
            log.warning("the connection to %s is lost; trying again every 0.1 s", self.url)
        self._fail_in_flight(_lost(None))

    def _topology_changed(self) -> None:
        """A server has come or gone: those behind it are to hear of us, and we of them, before the next heartbeat."""
        if self._up.is_set() and not self._closed and self.on_topology is not None:
            self.on_topology()

    async def _reconnected(self) -> None:
        if self._closed:
            return
        log.info("connected again to %s", self._client.connected_url and self._client.connected_url.netloc)
        self._denials.forget()
        self._up.set()
        if self.on_reconnect is not None:
            self.on_reconnect()


def _lost(error: BaseException | None) -> ConnectionLost:
    reason = f" ({_reason(error)})" if error is not None else ""
    return ConnectionLost(f"the connection to the bus is down{reason}; it is being restored: try again")


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
